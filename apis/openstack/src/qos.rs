//! Quality-of-service specs.

use std::collections::BTreeMap;

use http::StatusCode;
use parpen_http::Reply;
use parpen_identity::{Power, may};
use parpen_model::{Condition, Kind, Limits, Qos, QosConsumer, QosId, Subject, VolumeTypeId};
use parpen_service::qos::{self, Wanted};
use parpen_service::types;
use serde_json::{Map, Value, json};

use crate::cx::{Cx, one};
use crate::errors::{fault, invalid_input, said};
use crate::fields::{Fields, document, refuse, required};
use crate::from_wire::id_in_path;
use crate::paging::{Listed, page};
use crate::strict::{TEXT_MAX, check_specs};
use crate::to_wire::{links, policy, time};

impl Listed for Qos {
    const KIND: Kind = Kind::Qos;
    const SORTS: &'static [&'static str] = &["id", "name", "consumer"];

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "id" => json!(self.id.to_string()),
            "name" => json!(self.name),
            "consumer" => json!(self.consumer.word()),
            "created_at" => json!(time(self.stamp.created)),
            "updated_at" => json!(self.stamp.updated.map(time)),
            _ => return None,
        })
    }

    fn metadata(&self, _: &str) -> Option<&str> {
        None
    }
}

fn id(cx: &Cx) -> Result<QosId, Condition> {
    id_in_path(Kind::Qos, cx.param("id")).map(QosId)
}

/// Keys that the service cannot keep to: a part of the requests only, bursts, or by size.
fn unbound(want: &Wanted) -> Vec<&str> {
    let known = ["total_iops_sec", "total_bytes_sec"];
    let halves = |what: &str| ["read", "write"].map(|half| format!("{half}_{what}_sec"));
    let both: Vec<String> = ["iops", "bytes"]
        .into_iter()
        .map(halves)
        .filter(|pair| pair.iter().all(|key| want.specs.contains_key(key)))
        .flatten()
        .collect();
    let bound = |key: &str| known.contains(&key) || both.iter().any(|b| b == key);
    want.specs.keys().map(String::as_str).filter(|key| !bound(key)).collect()
}

/// The ceilings that specs mean to the service itself. It does not tell reads from writes: two ceilings on the halves
/// are kept to as one on their sum, and one of them alone cannot be kept to.
pub(crate) fn bind(want: &Wanted) -> Limits {
    if !want.consumer.binds_the_service() {
        return Limits::default();
    }
    let number = |key: &str| want.specs.get(key).and_then(|v| v.trim().parse::<u64>().ok());
    let ceiling = |what: &str| {
        let halves = || {
            let read = number(&format!("read_{what}_sec"))?;
            Some(read.saturating_add(number(&format!("write_{what}_sec"))?))
        };
        number(&format!("total_{what}_sec")).or_else(halves)
    };
    Limits { bytes_per_second: ceiling("bytes"), requests_per_second: ceiling("iops") }
}

/// Says which specs will not be kept to, where an operator looks.
fn warn(q: &Qos) {
    let want = Wanted { consumer: q.consumer, specs: q.specs.clone() };
    let keys = unbound(&want);
    if q.consumer.binds_the_service() && !keys.is_empty() {
        let keys = keys.join(", ");
        tracing::warn!(
            qos = q.name,
            keys,
            "the service keeps to none of these keys of quality-of-service specs"
        );
    }
}

fn consumer(specs: &mut Map<String, Value>) -> Result<Option<QosConsumer>, Condition> {
    let Some(given) = specs.shift_remove("consumer").filter(|v| !v.is_null()) else { return Ok(None) };
    let found = QosConsumer::ALL.into_iter().find(|c| given == c.word());
    let valid = QosConsumer::ALL.map(QosConsumer::word).join(", ");
    found.map(Some).ok_or_else(|| invalid_input(format!("Valid consumer of QoS specs are: [{valid}]")))
}

/// Specs as texts: numbers and truth values are taken as they are written.
fn texts(specs: Map<String, Value>) -> Result<BTreeMap<String, String>, Condition> {
    let one = |(key, value): (String, Value)| {
        let text = match value {
            Value::String(s) => s,
            Value::Null => String::new(),
            Value::Number(n) => n.to_string(),
            Value::Bool(b) => b.to_string(),
            other => return Err(refuse(&key, &other, "is not of type 'string'")),
        };
        let length = key.chars().count();
        if length == 0 || length > TEXT_MAX {
            return Err(invalid_input(format!(
                "Key \"{key:.64}\" has {length} characters, 1 to {TEXT_MAX} are allowed."
            )));
        }
        if text.chars().count() > TEXT_MAX {
            return Err(refuse(&key, &Value::String(text), "is too long"));
        }
        Ok((key, text))
    };
    specs.into_iter().map(one).collect()
}

/// Writes into connection information what the host itself is to keep to.
pub(crate) async fn tell(cx: &Cx, of: Subject, info: &mut Value) -> Result<(), Condition> {
    let (Subject::Volume(id), Some(fields)) = (of, info.as_object_mut()) else { return Ok(()) };
    if let Some(known) = fields.get_mut("qos_specs") {
        *known = json!(qos::told_to_host(cx.ports(), id).await?);
    }
    Ok(())
}

fn shown(cx: &Cx, q: &Qos) -> Result<Reply, Condition> {
    let links = links(cx.look(), "qos-specs", q.id);
    Ok(Reply::json(StatusCode::OK, &json!({ "qos_specs": policy::qos(q), "links": links })))
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    let page = page(&cx, qos::list(cx.ports(), cx.actor()?).await?)?;
    Ok(page.reply("qos_specs", "qos_specs_links", policy::qos))
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let fields = Fields::read_alone(&mut cx.request, "qos_specs").await?;
    let name = fields.name("name")?;
    let mut specs = fields.0;
    specs.shift_remove("name");
    let consumer = consumer(&mut specs)?.unwrap_or(QosConsumer::BackEnd);
    let want = Wanted { consumer, specs: texts(specs)? };
    let made = qos::create(cx.ports(), cx.actor()?, &name, want, Box::new(bind)).await;
    let (q, _) = made.map_err(|condition| match condition {
        Condition::Exists { name, .. } => Condition::Conflict(format!("QoS Specs {name} already exists.")),
        other => other,
    })?;
    warn(&q);
    shown(&cx, &q)
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    shown(&cx, &qos::get(cx.ports(), cx.actor()?, id(&cx)?).await?)
}

pub(crate) async fn update(mut cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let given = Fields::read_alone(&mut cx.request, "qos_specs").await?.0;
    check_specs("qos_specs", &given, "-_:. /")?;
    let mut specs = given.clone();
    let consumer = consumer(&mut specs)?;
    let more = texts(specs)?;
    let change: qos::Change = Box::new(move |want| {
        want.consumer = consumer.unwrap_or(want.consumer);
        want.specs.extend(more.clone());
        Ok(())
    });
    let (q, _) = qos::edit(cx.ports(), cx.actor()?, id(&cx)?, change, Box::new(bind)).await?;
    warn(&q);
    one(StatusCode::OK, "qos_specs", Value::Object(given))
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    qos::delete(cx.ports(), cx.actor()?, id(&cx)?, cx.asks("force")).await.map_err(|condition| {
        match condition {
            Condition::InUse { .. } => said("Qos specs still in use."),
            other => other,
        }
    })?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

pub(crate) async fn unset(mut cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let body = Fields(document(&mut cx.request).await?);
    body.only("body", &["keys"])?;
    let keys = match body.0.get("keys") {
        None => return Err(required("keys")),
        Some(Value::Array(keys)) => keys.clone(),
        Some(other) => return Err(refuse("keys", other, "is not of type 'array'")),
    };
    let text = |key: &Value| match key {
        Value::String(s) if !s.is_empty() && s.chars().count() <= TEXT_MAX => Ok(s.clone()),
        other => Err(refuse("keys", other, "is not of type 'string'")),
    };
    let keys: Vec<String> = keys.iter().map(text).collect::<Result<_, _>>()?;
    let (spec, mut gone) = (id(&cx)?, None);
    let q = qos::get(cx.ports(), cx.actor()?, spec).await?;
    // Those before the first unknown one go, as Cinder has it.
    let there: Vec<String> = keys
        .into_iter()
        .take_while(|key| {
            let known = q.specs.contains_key(key);
            if !known {
                gone = Some(key.clone());
            }
            known
        })
        .collect();
    let any = !there.is_empty();
    let change: qos::Change = Box::new(move |want| {
        want.specs.retain(|key, _| !there.contains(key));
        Ok(())
    });
    if any || gone.is_none() {
        qos::edit(cx.ports(), cx.actor()?, spec, change, Box::new(bind)).await?;
    }
    match gone {
        None => Ok(Reply::empty(StatusCode::ACCEPTED)),
        Some(key) => {
            Ok(fault(StatusCode::NOT_FOUND, &format!("QoS spec {spec} has no spec with key {key}.")))
        }
    }
}

pub(crate) async fn associations(cx: Cx) -> Result<Reply, Condition> {
    let all = qos::associations(cx.ports(), cx.actor()?, id(&cx)?).await?;
    one(StatusCode::OK, "qos_associations", Value::Array(all.iter().map(policy::association).collect()))
}

/// The type that the query names.
async fn volume_type(cx: &Cx) -> Result<VolumeTypeId, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let text = cx.request.query_value("vol_type_id").filter(|t| !t.is_empty());
    let text = text.ok_or_else(|| said("Volume Type id must not be None."))?;
    let id = id_in_path(Kind::VolumeType, &text)?;
    types::get(cx.ports(), cx.actor()?, &id.to_string()).await.map(|t| t.id)
}

pub(crate) async fn associate(cx: Cx) -> Result<Reply, Condition> {
    let of = volume_type(&cx).await?;
    qos::associate(cx.ports(), cx.actor()?, id(&cx)?, of).await.map_err(|condition| match condition {
        Condition::InUse { by, .. } => said(format!(
            "Invalid volume type: Type {of} is already associated with another qos specs: {}",
            by.join(", ")
        )),
        other => other,
    })?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

pub(crate) async fn disassociate(cx: Cx) -> Result<Reply, Condition> {
    let of = volume_type(&cx).await?;
    qos::disassociate(cx.ports(), cx.actor()?, id(&cx)?, Some(of)).await?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

pub(crate) async fn disassociate_all(cx: Cx) -> Result<Reply, Condition> {
    qos::disassociate(cx.ports(), cx.actor()?, id(&cx)?, None).await?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_kept_to_is_bound_and_the_rest_is_named() {
        let want = |consumer, specs: &[(&str, &str)]| Wanted {
            consumer,
            specs: specs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        };
        let both = [("read_iops_sec", "100"), ("write_iops_sec", "50"), ("total_bytes_sec", "4096")];
        let w = want(QosConsumer::Both, &both);
        assert_eq!(bind(&w), Limits { bytes_per_second: Some(4096), requests_per_second: Some(150) });
        assert!(unbound(&w).is_empty());
        let half = want(QosConsumer::BackEnd, &[("read_iops_sec", "100"), ("total_iops_sec_max", "9")]);
        assert_eq!(bind(&half), Limits::default());
        assert_eq!(unbound(&half), ["read_iops_sec", "total_iops_sec_max"]);
        assert_eq!(bind(&want(QosConsumer::FrontEnd, &both)), Limits::default());
        assert_eq!(bind(&want(QosConsumer::Both, &[("total_iops_sec", "many")])), Limits::default());
    }
}
