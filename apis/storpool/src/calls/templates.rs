//! Templates, which the core calls volume types.

use std::collections::HashMap;

use parpen_model::{Attributes, Condition, Kind, Limits, Stamp, TypeRules, VolumeType, VolumeTypeId};
use parpen_service::types::Retune;
use parpen_service::{snapshots, types};
use serde_json::Value;
use uuid::Uuid;

use super::{Call, Done, called};
use crate::from_wire::{TemplateCreate, TemplateUpdate};
use crate::names::is_template_name;
use crate::to_wire;

async fn print(c: &Call<'_>, types: Vec<VolumeType>) -> Result<Vec<Value>, Condition> {
    let all = snapshots::list(c.ports, c.actor, None, false).await?;
    let by_id: HashMap<_, _> = all.into_iter().map(|s| (s.snapshot.id, s.snapshot)).collect();
    Ok(types.iter().map(|t| to_wire::template(t, t.parent.and_then(|id| by_id.get(&id)))).collect())
}

/// `VolumeTemplatesList`: those whose names this API can say.
pub async fn list(c: &Call<'_>) -> Result<Done, Condition> {
    let all = types::list(c.ports, c.actor).await?;
    let sayable = all.into_iter().filter(|t| is_template_name(&t.name)).collect();
    c.shown(print(c, sayable).await?)
}

async fn find(c: &Call<'_>, name: &str) -> Result<VolumeType, Condition> {
    let found = types::get(c.ports, c.actor, name).await;
    found.map_err(|e| called(e, Kind::VolumeType, name))
}

/// `VolumeTemplateDescribe`: one object, not a list.
pub async fn one(c: &Call<'_>) -> Result<Done, Condition> {
    let found = find(c, c.name()).await?;
    c.shown(print(c, vec![found]).await?.pop())
}

/// `VolumeTemplateCreate`.
pub async fn create(c: &Call<'_>) -> Result<Done, Condition> {
    let want = TemplateCreate::read(c.body)?;
    let parent = match &want.parent {
        Some(name) => Some(c.snapshot(name).await?.snapshot.id),
        None => None,
    };
    let new = VolumeType {
        // The use case gives id and times.
        id: VolumeTypeId(Uuid::nil()),
        stamp: Stamp::at(c.ports.clock.now()),
        name: want.name,
        description: None,
        public: true,
        pool: None,
        place_all: want.placement.all,
        place_tail: want.placement.tail,
        replication: want.placement.replication,
        limits: want.ceilings.over(Limits::default()),
        size: want.size,
        parent,
        encryption: None,
        qos: None,
        access: Vec::new(),
        rules: TypeRules::default(),
        attributes: Attributes::default(),
    };
    types::create(c.ports, c.actor, new).await?;
    c.done(Value::Null).await
}

/// `VolumeTemplatesStatus`: of those whose names this API can say.
pub async fn status(c: &Call<'_>) -> Result<Done, Condition> {
    let all = types::status(c.ports, c.actor).await?;
    let sayable = all.iter().filter(|(t, _)| is_template_name(&t.name));
    c.shown(sayable.map(|(t, used)| to_wire::template_status(t, used)).collect::<Vec<_>>())
}

/// `VolumeTemplateUpdate`.
pub async fn update(c: &Call<'_>) -> Result<Done, Condition> {
    let want = TemplateUpdate::read(c.body)?;
    let id = find(c, c.name()).await?.id;
    let parent = match &want.parent {
        Some(name) => Some(c.snapshot(name).await?.snapshot.id),
        None => None,
    };
    let retune = Retune {
        name: want.rename,
        placement: want.placement,
        limits: want.ceilings,
        size: want.size,
        parent,
        propagate: want.propagate,
    };
    types::retune(c.ports, c.actor, id, retune).await?;
    c.done(Value::Null).await
}

/// `VolumeTemplateDelete`.
pub async fn delete(c: &Call<'_>) -> Result<Done, Condition> {
    let id = find(c, c.name()).await?.id;
    types::delete(c.ports, c.actor, id).await?;
    c.done(Value::Null).await
}
