//! How the volumes of a type are encrypted. Only the record is kept here.

use http::StatusCode;
use parpen_http::Reply;
use parpen_identity::{Power, may};
use parpen_model::{Condition, ControlLocation, Kind};
use parpen_service::types::{self, Encryption};
use serde_json::{Map, Value, json};

use super::{changeable, named};
use crate::cx::{Cx, one};
use crate::errors::{fault, said};
use crate::fields::{Fields, refuse, required};
use crate::strict::TEXT_MAX;
use crate::to_wire::policy;

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    Ok(Reply::json(StatusCode::OK, &policy::encryption(named(&cx).await?.as_ref())))
}

fn none(cx: &Cx) -> Reply {
    let text = format!("Volume type encryption for type {} does not exist.", cx.param("id"));
    fault(StatusCode::NOT_FOUND, &text)
}

pub(crate) async fn item(cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let key = cx.param("encryption").to_string();
    match policy::encryption(named(&cx).await?.as_ref()).remove(&key) {
        Some(value) => Ok(Reply::json(StatusCode::OK, &Map::from_iter([(key, value)]))),
        None => Ok(none(&cx)),
    }
}

/// How a volume is encrypted: its key's id, and what its type says if that is encrypted.
async fn metadata_of(cx: &Cx) -> Result<Map<String, Value>, Condition> {
    let view = crate::volumes::get(cx).await?;
    let key = view.volume.key.as_ref().map(|k| k.id.to_string());
    let mut doc = Map::from_iter([("encryption_key_id".to_string(), json!(key))]);
    if let Some(e) = view.volume_type.as_ref().and_then(|t| t.encryption.as_ref()) {
        doc.extend(policy::encryption_specs(e));
    }
    Ok(doc)
}

/// `GET /volumes/{id}/encryption`, which hosts read before they attach.
pub(crate) async fn of_volume(cx: Cx) -> Result<Reply, Condition> {
    Ok(Reply::json(StatusCode::OK, &metadata_of(&cx).await?))
}

/// One item of it, bare.
pub(crate) async fn of_volume_item(cx: Cx) -> Result<Reply, Condition> {
    let key = cx.param("key").to_string();
    let value = metadata_of(&cx).await?.remove(&key).ok_or_else(|| Condition::not_found(Kind::Other, key))?;
    let text = match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    };
    Ok(Reply::bytes(StatusCode::OK, "text/plain; charset=UTF-8", text))
}

fn wanted(fields: &Fields) -> Result<Encryption, Condition> {
    let there = |name: &str| fields.0.contains_key(name);
    let key_size = match fields.whole("key_size", 0)? {
        None => None,
        Some(n) => {
            let bits = u32::try_from(n).ok().filter(|b| i32::try_from(*b).is_ok());
            let large = || refuse("key_size", &Value::from(n), "is greater than the maximum of 2147483647");
            Some(bits.ok_or_else(large)?)
        }
    };
    let location = match fields.0.get("control_location") {
        None => None,
        Some(Value::String(s)) if s == "front-end" => Some(ControlLocation::FrontEnd),
        Some(Value::String(s)) if s == "back-end" => Some(ControlLocation::BackEnd),
        Some(other) => {
            return Err(refuse("control_location", other, "is not one of ['front-end', 'back-end']"));
        }
    };
    if let Some(given @ Value::Null) = fields.0.get("provider") {
        return Err(refuse("provider", given, "is not of type 'string'"));
    }
    Ok(Encryption {
        provider: fields.text("provider", TEXT_MAX)?,
        cipher: there("cipher").then_some(fields.text("cipher", TEXT_MAX)?),
        key_size: there("key_size").then_some(key_size),
        control_location: location,
    })
}

fn in_use(what: &'static str) -> impl Fn(Condition) -> Condition {
    move |condition| match condition {
        Condition::InUse { .. } => said(format!("Cannot {what} encryption specs. Volume type in use.")),
        other => other,
    }
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let fields = Fields::read_alone(&mut cx.request, "encryption").await?;
    let want = wanted(&fields)?;
    if want.provider.is_none() {
        return Err(required("provider"));
    }
    if want.control_location.is_none() {
        return Err(required("control_location"));
    }
    let id = changeable(&cx).await?;
    let made = types::encrypt(cx.ports(), cx.actor()?, id, want, true).await;
    let (t, _) = made.map_err(in_use("create")).map_err(|condition| match condition {
        Condition::Exists { .. } => said(format!("Volume type encryption for type {id} already exists.")),
        other => other,
    })?;
    let mut doc = policy::encryption(Some(&t));
    doc.retain(|key, _| !key.ends_with("_at") && key != "deleted");
    one(StatusCode::OK, "encryption", Value::Object(doc))
}

pub(crate) async fn update(mut cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let fields = Fields::read_alone(&mut cx.request, "encryption").await?;
    let want = wanted(&fields)?;
    let id = changeable(&cx).await?;
    match types::encrypt(cx.ports(), cx.actor()?, id, want, false).await.map_err(in_use("update")) {
        Ok(_) => one(StatusCode::OK, "encryption", Value::Object(fields.0)),
        Err(Condition::NotFound { what: Kind::Other, .. }) => Ok(none(&cx)),
        Err(other) => Err(other),
    }
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let id = changeable(&cx).await?;
    match types::unencrypt(cx.ports(), cx.actor()?, id).await.map_err(in_use("delete")) {
        Ok(_) => Ok(Reply::empty(StatusCode::ACCEPTED)),
        Err(Condition::NotFound { what: Kind::Other, .. }) => Ok(none(&cx)),
        Err(other) => Err(other),
    }
}
