//! Every operation of the router's table, called by whom and with what it should not be.

mod calls;
mod fields;
mod hostile;
mod scene;
mod strangers;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use parpen_http::{HttpRequest, Via};
use serde_json::Value;

use calls::Call;
use scene::Scene;

/// What came back, whatever it is.
#[derive(Debug)]
struct Answer {
    status: u16,
    text: String,
}

impl Answer {
    /// A refusal is this API's error document, which repeats its status, and never a fault of ours.
    fn is_sound(&self) -> bool {
        if self.status < 400 {
            return true;
        }
        let document: Value = serde_json::from_str(&self.text).unwrap_or_default();
        let inner = document.as_object().and_then(|o| o.values().next());
        let said = inner.is_some_and(|e| e["code"] == self.status && e["message"].is_string());
        self.status < 500 && said && self.text.len() < 4000
    }
}

impl Scene {
    /// Sends bytes to a path under a token.
    async fn send(&self, call: &Call, target: &str, token: &[u8], body: Vec<u8>) -> Answer {
        let version = ("openstack-api-version", b"volume 3.71".to_vec());
        self.send_with(call, target, &[("x-auth-token", token.to_vec()), version], body).await
    }

    async fn send_with(
        &self,
        call: &Call,
        target: &str,
        headers: &[(&str, Vec<u8>)],
        body: Vec<u8>,
    ) -> Answer {
        let kind = match (call.method.clone(), call.pattern.ends_with("/file")) {
            (Method::PUT, true) => "application/octet-stream",
            (Method::PATCH, _) => "application/openstack-images-v2.1-json-patch",
            _ => "application/json",
        };
        let more = [("host", b"h:1".to_vec()), ("content-type", kind.as_bytes().to_vec())];
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().chain(&more) {
            map.insert(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        let via = Via::Tcp(([127, 0, 0, 1], 1).into());
        let request = HttpRequest::new(call.method.clone(), target, map, via, body.into());
        let reply = self.c.api.answer(request).await.reply;
        let text = reply.as_bytes().map(|b| String::from_utf8_lossy(b).into_owned());
        Answer { status: reply.status.as_u16(), text: text.unwrap_or_default() }
    }
}

/// A document as it is sent.
fn bytes(document: &Value) -> Vec<u8> {
    match document {
        Value::Null => Vec::new(),
        other => other.to_string().into_bytes(),
    }
}
