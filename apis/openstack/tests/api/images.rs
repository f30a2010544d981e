//! Images: what the every-operation tests do not look at.

use http::Method;
use serde_json::{Value, json};

use crate::{Cinder, Got};

impl Cinder {
    /// A raw image of these bytes.
    pub(crate) async fn image(&self, bytes: &str) -> String {
        let body = json!({ "name": "i", "disk_format": "raw", "container_format": "bare" });
        let made = self.image_call(&self.token, Method::POST, "", body).await;
        let id = made.body["id"].as_str().unwrap().to_string();
        let headers = [("x-auth-token", self.token.as_str()), ("content-type", "application/octet-stream")];
        let stored = self.raw(Method::PUT, &format!("/image/v2/images/{id}/file"), &headers, bytes).await;
        assert_eq!(stored.status, 204, "{}", stored.body);
        id
    }

    async fn image_call(&self, token: &str, method: Method, path: &str, body: Value) -> Got {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("x-auth-token", token), ("content-type", "application/json")];
        self.raw(method, &format!("/image/v2/images{path}"), &headers, &body).await
    }
}

/// Whoever noted the id of an image must never find another project's bytes there: an id that was deleted could be
/// taken by anybody who named it.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_id_is_given_once() {
    let c = Cinder::start().await;
    let demo = c.project("demo").await;
    let (_, stranger) = c.persona("anna", &demo, "member").await;
    let body = json!({ "name": "i", "disk_format": "raw", "container_format": "bare" });
    let made = c.image_call(&c.token, Method::POST, "", body.clone()).await;
    let id = made.body["id"].as_str().unwrap().to_string();
    let mut again = body;
    again["id"] = json!(id);
    let at = format!("/{id}");
    assert_eq!(
        c.image_call(&stranger, Method::POST, "", again.clone()).await.status,
        409,
        "while it is there"
    );
    assert_eq!(c.image_call(&c.token, Method::DELETE, &at, Value::Null).await.status, 204);
    assert_eq!(c.image_call(&c.token, Method::GET, &at, Value::Null).await.status, 404);
    for token in [&stranger, &c.token] {
        let refused = c.image_call(token, Method::POST, "", again.clone()).await;
        assert_eq!(refused.status, 409, "{}", refused.body);
        assert_eq!(c.image_call(token, Method::GET, &at, Value::Null).await.status, 404);
    }
    let fresh = "7d1c0f8e-6a55-4c3e-9d8c-0d3b5f0a9b11";
    again["id"] = json!(fresh);
    assert_eq!(c.image_call(&stranger, Method::POST, "", again).await.body["id"], fresh);
}
