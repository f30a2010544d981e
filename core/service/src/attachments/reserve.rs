//! Announcing an attachment, with or without its holder.

use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{AttachState, Life, Standing, When, Work};
use parpen_model::{
    Attachment, AttachmentId, Attributes, Condition, JobId, Kind, Rights, Stamp, Volume, VolumeId, WriteTx,
    write,
};

use super::connect::connect_in;
use super::{Connect, export_name, reassign, refuse_conflict, settle};
use crate::Ports;

/// What is announced.
#[derive(Clone, Debug)]
pub struct Reserve {
    /// What is to be attached.
    pub volume: VolumeId,
    /// What the holder will do.
    pub rights: Rights,
    /// The machine it is for, in its own words.
    pub instance: Option<String>,
    /// What the API keeps with it.
    pub attributes: Attributes,
}

/// What is announced, who connects at once, and from where that is allowed.
#[derive(Clone, Debug)]
pub struct Attach {
    /// What is announced.
    pub reserve: Reserve,
    /// Who connects at once.
    pub by: Option<Connect>,
    /// The states it is allowed from, unless its machine has an attachment of it already.
    pub when: When,
}

/// A volume that is becoming a snapshot takes no new holder.
pub(super) fn refuse_freezing(v: &Volume) -> Result<(), Condition> {
    if !v.work.contains(&Work::Freezing) {
        return Ok(());
    }
    let (what, name) = (Kind::Volume, v.handle.to_string());
    Err(Condition::WrongState { what, name, actual: Work::Freezing.to_string(), wanted: "ready".into() })
}

/// Reserves a volume: from now on nobody else gets it exclusively. The holder is named later.
pub async fn reserve(ports: &Ports, actor: &Actor, want: Reserve) -> Result<(Attachment, u64), Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    write(&*ports.meta, move |tx| reserve_in(tx, &ports_in, &actor_in, &want, When::default())).await
}

/// Reserves a volume and names its holder in one, all or nothing. The job lets the holder in.
pub async fn attach(
    ports: &Ports,
    actor: &Actor,
    want: Attach,
) -> Result<(Attachment, Option<JobId>), Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let ((now, job), _) = write(&*ports.meta, move |tx| {
        let mut a = reserve_in(tx, &ports_in, &actor_in, &want.reserve, want.when)?;
        let Some(by) = &want.by else { return Ok((a, None)) };
        connect_in(tx, &ports_in, &mut a, by)?;
        let mut job = reassign::fence_job(&ports_in, a.project, vec![a.subject], Vec::new())?;
        tx.insert(&mut job)?;
        Ok((a, Some(job.id)))
    })
    .await?;
    if let Some(job) = job {
        ports.jobs.begin(job);
    }
    Ok((now, job))
}

fn reserve_in(
    tx: &mut dyn WriteTx,
    ports: &Ports,
    actor: &Actor,
    want: &Reserve,
    when: When,
) -> Result<Attachment, Condition> {
    let v: Volume = tx.read().get(actor.scope, want.volume)?;
    may(actor, Power::Write, Some(v.project))?;
    // One machine may have it twice, as when it moves from one host to another.
    let instance = want.instance.as_deref();
    let held: Vec<Attachment> = tx.read().children(v.id)?;
    let moves = instance.is_some()
        && held.iter().any(|a| a.instance.as_deref() == instance)
        && matches!(v.standing(), Standing::Attached | Standing::Reserved);
    if !moves {
        when.check(Kind::Volume, v.id, v.standing())?;
    }
    refuse_conflict(tx.read(), &v, !v.shared, &[], instance)?;
    let rights = if v.readonly { Rights::ReadOnly } else { want.rights };
    let mut a = draft(ports, &v, rights)?;
    a.instance = want.instance.clone();
    a.attributes = want.attributes.clone();
    tx.insert(&mut a)?;
    settle(tx, a.subject)?;
    Ok(a)
}

/// The row of a new attachment of a volume that is ready, exclusive unless the volume is shared.
pub(super) fn draft(ports: &Ports, v: &Volume, rights: Rights) -> Result<Attachment, Condition> {
    if v.life != Life::Ready {
        let (what, name) = (Kind::Volume, v.handle.to_string());
        return Err(Condition::WrongState { what, name, actual: v.life.to_string(), wanted: "ready".into() });
    }
    refuse_freezing(v)?;
    Ok(Attachment {
        id: AttachmentId(ports.entropy.uuid()),
        subject: v.id.into(),
        project: v.project,
        host: None,
        rights,
        exclusive: !v.shared,
        state: AttachState::Reserved,
        export: export_name(&*ports.entropy),
        slot: None,
        mountpoint: None,
        instance: None,
        attached: None,
        by_volume: false,
        returned: false,
        attributes: Attributes::default(),
        stamp: Stamp::at(ports.clock.now()),
    })
}
