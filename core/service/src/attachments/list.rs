//! Looking at attachments.

use parpen_identity::{Actor, Power, may};
use parpen_model::{Attachment, AttachmentId, Condition, Host, Query, ReadTx, Scope, look, read};

use crate::Ports;
use crate::volumes::Attached;

fn with_host(tx: &dyn ReadTx, a: Attachment) -> Result<Attached, Condition> {
    let host = a.host.map(|h| tx.find::<Host>(Scope::All, h)).transpose()?.flatten();
    Ok(Attached { attachment: a, host })
}

/// One attachment.
pub async fn get(ports: &Ports, actor: &Actor, id: AttachmentId) -> Result<Attached, Condition> {
    let scope = actor.scope;
    let found = look(&*ports.meta, move |tx| with_host(tx, tx.get(scope, id)?)).await?;
    may(actor, Power::Read, Some(found.attachment.project))?;
    Ok(found)
}

/// All attachments that the actor may see, the oldest first.
pub async fn list(ports: &Ports, actor: &Actor) -> Result<Vec<Attached>, Condition> {
    may(actor, Power::Read, None)?;
    let scope = actor.scope;
    read(&*ports.meta, move |tx| {
        tx.list::<Attachment>(scope, &Query::default())?.into_iter().map(|a| with_host(tx, a)).collect()
    })
    .await
}
