//! Extra specs of volume types: kept as they are given; those that bind volumes here become the type's rules.

use http::StatusCode;
use parpen_base::GIB;
use parpen_http::Reply;
use parpen_model::{Condition, TypeRules, VolumeType};
use parpen_service::types;
use serde_json::{Map, Value};

use super::{changeable, demands, named};
use crate::cx::{Cx, one};
use crate::errors::{fault, said};
use crate::fields::{Fields, document, refuse, required};
use crate::from_wire::METADATA;
use crate::strict::check_specs;
use crate::to_wire::policy;

/// Characters of keys besides letters and digits.
const KEY: &str = "-_:.";

/// A spec's value without the operator for equality of texts.
fn plain(value: &str) -> &str {
    value.trim().strip_prefix("s==").map_or(value.trim(), str::trim)
}

/// The rules that extra specs mean.
fn rules(specs: &Map<String, Value>) -> Result<TypeRules, Condition> {
    let text = |key: &str| specs.get(key).and_then(Value::as_str);
    let either = |key: &str| text(key).or_else(|| text(&format!("capabilities:{key}")));
    let pool = either("pool_name").or_else(|| either("volume_backend_name"));
    let size = |key: &str| match text(key) {
        None => Ok(None),
        Some(t) => {
            let gib: Option<u64> = t.trim().parse().ok();
            let bytes = gib.and_then(|n| n.checked_mul(GIB));
            bytes.map(Some).ok_or_else(|| refuse(key, &Value::String(t.into()), "is not of type 'integer'"))
        }
    };
    Ok(TypeRules {
        pool: pool.map(plain).filter(|p| !p.is_empty()).map(str::to_string),
        lacking: demands::lacking(specs),
        shared: text("multiattach").is_some_and(|m| m.trim().eq_ignore_ascii_case("<is> true")),
        smallest: size("provisioning:min_vol_size")?,
        largest: size("provisioning:max_vol_size")?,
    })
}

/// Gives a type these extra specs and what follows from them.
pub(super) fn set(t: &mut VolumeType, specs: Map<String, Value>) -> Result<(), Condition> {
    let on = |key: &str| specs.get(key).and_then(Value::as_str) == Some("<is> True");
    if on("multiattach") && on("cacheable") {
        return Err(said("cacheable cannot be set with multiattach."));
    }
    t.rules = rules(&specs)?;
    t.attributes.set(METADATA, specs);
    Ok(())
}

/// Changes the extra specs of a type that no volume is linked to.
async fn change(
    cx: &Cx,
    mut how: impl FnMut(&mut Map<String, Value>) -> Result<(), Condition> + Send + 'static,
) -> Result<(), Condition> {
    let actor = cx.actor()?;
    parpen_identity::may(actor, parpen_identity::Power::Operate, None)?;
    let id = changeable(cx).await?;
    let change: types::ChangeType = Box::new(move |t| {
        let mut specs = t.attributes.get(METADATA).cloned().unwrap_or_default();
        how(&mut specs)?;
        set(t, specs)
    });
    let changed = types::change_rules(cx.ports(), actor, id, change).await;
    changed.map(|_| ()).map_err(|condition| match condition {
        Condition::InUse { .. } => said("Volume Type is currently in use."),
        other => other,
    })
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    one(StatusCode::OK, "extra_specs", policy::specs(named(&cx).await?.as_ref(), cx.actor()?))
}

fn none(cx: &Cx) -> Reply {
    let (id, key) = (cx.param("id"), cx.param("key"));
    let text = format!("Volume Type {id} has no extra specs with key {key}.");
    fault(StatusCode::NOT_FOUND, &text)
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    let key = cx.param("key").to_string();
    let all = policy::specs(named(&cx).await?.as_ref(), cx.actor()?);
    match all.get(&key).cloned() {
        Some(value) => Ok(Reply::json(StatusCode::OK, &Map::from_iter([(key, value)]))),
        None => Ok(none(&cx)),
    }
}

pub(crate) async fn merge(mut cx: Cx) -> Result<Reply, Condition> {
    let body = Fields(document(&mut cx.request).await?);
    body.only("body", &["extra_specs"])?;
    let more = body.specs("extra_specs", KEY)?.ok_or_else(|| required("extra_specs"))?;
    let given = more.clone();
    change(&cx, move |specs| {
        specs.extend(more.clone());
        Ok(())
    })
    .await?;
    one(StatusCode::OK, "extra_specs", Value::Object(given))
}

pub(crate) async fn put(mut cx: Cx) -> Result<Reply, Condition> {
    let body = document(&mut cx.request).await?;
    check_specs("body", &body, KEY)?;
    if body.len() != 1 {
        return Err(refuse("body", &Value::Object(body), "does not hold exactly one property"));
    }
    if !body.contains_key(cx.param("key")) {
        return Err(said("Request body and URI mismatch"));
    }
    let more = body.clone();
    change(&cx, move |specs| {
        specs.extend(more.clone());
        Ok(())
    })
    .await?;
    Ok(Reply::json(StatusCode::OK, &body))
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    let key = cx.param("key").to_string();
    let absent = || Condition::not_found(parpen_model::Kind::Other, "extra spec");
    let removed = change(&cx, move |specs| specs.shift_remove(&key).map(|_| ()).ok_or_else(absent)).await;
    match removed {
        Ok(()) => Ok(Reply::empty(StatusCode::ACCEPTED)),
        Err(Condition::NotFound { what: parpen_model::Kind::Other, .. }) => Ok(none(&cx)),
        Err(other) => Err(other),
    }
}
