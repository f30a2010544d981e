//! Naming the holder of a reserved attachment, and its word that it has the device.

use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{AttachEvent, attachment};
use parpen_model::{
    Attachment, AttachmentId, Attributes, Condition, Kind, Scope, Subject, Volume, WriteTx, write,
};

use super::{reassign, settle};
use crate::{Ports, Started, access, hosts};

/// Who connects.
#[derive(Clone, Debug)]
pub struct Connect {
    /// The holder's spelling.
    pub host: String,
    /// Where it shows the device, in its own words.
    pub mountpoint: Option<String>,
    /// What the API keeps with it (the connector).
    pub attributes: Attributes,
}

/// Names the holder and opens the attachment's export to it. An exclusive attachment shuts the plain export.
pub async fn connect(
    ports: &Ports,
    actor: &Actor,
    id: AttachmentId,
    by: Connect,
) -> Result<Started<Attachment>, Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut a: Attachment = tx.read().get(actor_in.scope, id)?;
        may(&actor_in, Power::Write, Some(a.project))?;
        connect_in(tx, &ports_in, &mut a, &by)?;
        let mut job = reassign::fence_job(&ports_in, a.project, vec![a.subject], Vec::new())?;
        tx.insert(&mut job)?;
        Ok((a, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

/// Names the holder within a transaction; a job must follow that shuts the plain export and lets the holder in.
pub(super) fn connect_in(
    tx: &mut dyn WriteTx,
    ports: &Ports,
    a: &mut Attachment,
    by: &Connect,
) -> Result<(), Condition> {
    let host = hosts::find_or_make(tx, &*ports.entropy, &*ports.clock, &by.host)?;
    if let Subject::Volume(v) = a.subject {
        let v: Volume = tx.read().get(Scope::All, v)?;
        access::check_lock(tx.read(), &v, Some(host.id.into()))?;
    }
    let open = ports.sessions.of(access::plain_export(a.subject));
    let open: Vec<_> = open.into_iter().filter(|s| s.host != Some(host.id.into())).collect();
    if a.exclusive && !open.is_empty() {
        let name = access::title(tx.read(), a.subject)?;
        return Err(access::in_use_by(a.subject.kind(), name, &open));
    }
    a.state = attachment(a.state, AttachEvent::Connect).map_err(|r| r.about(Kind::Attachment, a.id))?;
    a.host = Some(host.id);
    a.returned = false;
    a.mountpoint = by.mountpoint.clone().or(a.mountpoint.take());
    a.attributes.merge(by.attributes.clone());
    a.stamp.updated = Some(ports.clock.now());
    tx.update(a)?;
    settle(tx, a.subject)
}

/// The holder reports that it has the device.
pub async fn complete(
    ports: &Ports,
    actor: &Actor,
    id: AttachmentId,
) -> Result<(Attachment, u64), Condition> {
    let (actor, now) = (actor.clone(), ports.clock.now());
    write(&*ports.meta, move |tx| {
        let mut a: Attachment = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Write, Some(a.project))?;
        a.state = attachment(a.state, AttachEvent::Complete).map_err(|r| r.about(Kind::Attachment, a.id))?;
        a.attached = a.attached.or(Some(now));
        a.stamp.updated = Some(now);
        tx.update(&mut a)?;
        settle(tx, a.subject)?;
        Ok(a)
    })
    .await
}
