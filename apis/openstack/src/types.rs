//! Volume types: looking. The default one stands for volumes that are linked to none.

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::{Condition, Kind, VolumeType};
use parpen_service::types;
use serde_json::{Map, Value, json};

use crate::cx::{Cx, one};
use crate::from_wire::{self, DEFAULT_TYPE_ID};
use crate::to_wire;

/// The type that the path names; `None` is the default one.
async fn get(cx: &Cx) -> Result<Option<VolumeType>, Condition> {
    let id = from_wire::id_in_path(Kind::VolumeType, cx.param("id"))?;
    match id {
        DEFAULT_TYPE_ID => Ok(None),
        id => types::get(cx.ports(), cx.actor()?, &id.to_string()).await.map(Some),
    }
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    let rows = types::list(cx.ports(), cx.actor()?).await?;
    let public = cx.request.query_value("is_public").and_then(|v| crate::fields::truth(&v));
    let wanted = |t: &Option<&VolumeType>| public.is_none_or(|p| p == t.is_none_or(|t| t.public));
    let all = std::iter::once(None).chain(rows.iter().map(Some));
    let items: Vec<Value> = all.filter(wanted).map(to_wire::volume_type).collect();
    one(StatusCode::OK, "volume_types", json!(items))
}

pub(crate) async fn default(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    one(StatusCode::OK, "volume_type", to_wire::volume_type(None))
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    one(StatusCode::OK, "volume_type", to_wire::volume_type(get(&cx).await?.as_ref()))
}

pub(crate) async fn specs(cx: Cx) -> Result<Reply, Condition> {
    one(StatusCode::OK, "extra_specs", to_wire::specs(get(&cx).await?.as_ref()))
}

pub(crate) async fn spec(cx: Cx) -> Result<Reply, Condition> {
    let key = cx.param("key").to_string();
    let all = to_wire::specs(get(&cx).await?.as_ref());
    let value = all.get(&key).cloned();
    let value = value.ok_or_else(|| Condition::not_found(Kind::Other, format!("extra spec {key}")))?;
    Ok(Reply::json(StatusCode::OK, &Map::from_iter([(key, value)])))
}

pub(crate) async fn encryption(cx: Cx) -> Result<Reply, Condition> {
    get(&cx).await?; // no type is encrypted, but an unknown one is not found
    Ok(Reply::json(StatusCode::OK, &json!({})))
}
