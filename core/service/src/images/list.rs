//! Looking at images.

use parpen_identity::{Actor, Power, may};
use parpen_model::{Condition, Image, ImageId, Query, read};

use crate::Ports;

/// All images that the actor may use, the oldest first.
pub async fn list(ports: &Ports, actor: &Actor) -> Result<Vec<Image>, Condition> {
    may(actor, Power::Read, None)?;
    let scope = actor.scope;
    read(&*ports.meta, move |tx| tx.list(scope, &Query::default())).await
}

/// One image.
pub async fn get(ports: &Ports, actor: &Actor, id: ImageId) -> Result<Image, Condition> {
    may(actor, Power::Read, None)?;
    let scope = actor.scope;
    read(&*ports.meta, move |tx| tx.get(scope, id)).await
}
