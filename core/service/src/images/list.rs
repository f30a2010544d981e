//! Looking at images.

use parpen_identity::{Actor, Power, may};
use parpen_model::{Condition, Image, ImageId, Kind, Noun, Query, Visibility, read};

use crate::Ports;

/// All images that the actor may use, the oldest first.
pub async fn list(ports: &Ports, actor: &Actor) -> Result<Vec<Image>, Condition> {
    super::kept_here(ports)?;
    may(actor, Power::Read, None)?;
    let scope = actor.scope;
    read(&*ports.meta, move |tx| tx.list(scope, &Query::default())).await
}

/// One image.
pub async fn get(ports: &Ports, actor: &Actor, id: ImageId) -> Result<Image, Condition> {
    super::kept_here(ports)?;
    may(actor, Power::Read, None)?;
    let scope = actor.scope;
    read(&*ports.meta, move |tx| tx.get(scope, id)).await
}

/// One image that is to fill a volume, wherever images are kept.
pub async fn source(ports: &Ports, actor: &Actor, id: ImageId) -> Result<Image, Condition> {
    let Some(other) = ports.images.elsewhere() else { return get(ports, actor, id).await };
    may(actor, Power::Read, None)?;
    let unknown = || Condition::not_found(Kind::Image, id);
    let found = other.find(id).await?.ok_or_else(unknown)?;
    let shared = found.visibility == Visibility::Shared;
    if actor.scope.sees(found.project()) || (shared && other.is_shared_with(id, actor.project).await?) {
        return Ok(found);
    }
    Err(unknown())
}
