//! Version documents of Block Storage, for clients that do not know us yet.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::Condition;
use serde_json::{Value, json};

use crate::cx::Cx;
use crate::microversion::Microversion;

fn v3(base: &str) -> Value {
    json!({
        "id": "v3.0",
        "status": "CURRENT",
        "version": Microversion::MAX.to_string(),
        "min_version": Microversion::MIN.to_string(),
        "updated": "2023-08-31T00:00:00Z",
        "links": [{ "rel": "self", "href": format!("{base}/volume/v3/") }],
        "media-types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.volume+json;version=3"
        }],
    })
}

fn document(cx: &Cx) -> Value {
    json!({ "versions": [v3(&cx.base)] })
}

pub(crate) async fn all(cx: Cx) -> Result<Reply, Condition> {
    Ok(Reply::json(StatusCode::MULTIPLE_CHOICES, &document(&cx)))
}

pub(crate) async fn v3_only(cx: Cx) -> Result<Reply, Condition> {
    Ok(Reply::json(StatusCode::OK, &document(&cx)))
}
