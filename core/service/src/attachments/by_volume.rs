//! The flow of sides that speak of volumes only: announce, connect, hold, give back, let go. Its rows are attachments
//! like all others, marked as made so; an announcement is one that is attaching without a holder.

use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{AttachEvent, AttachState, Standing, When, attachment};
use parpen_model::{
    Attachment, AttachmentId, Condition, JobId, Kind, ProjectId, Rights, Volume, VolumeId, WriteTx, write,
};

use super::connect::connect_in;
use super::reserve::draft;
use super::{Connect, DetachTerms, reassign, refuse_conflict, refuse_in_use, settle};
use crate::{Ports, access, hosts};

/// The holder that a side names when it says that it has the volume.
#[derive(Clone, Debug)]
pub struct Hold {
    /// The machine, in its own words.
    pub instance: Option<String>,
    /// The host's spelling.
    pub host: Option<String>,
    /// Where it shows the device.
    pub mountpoint: Option<String>,
    /// What it does.
    pub rights: Rights,
}

fn volume(tx: &mut dyn WriteTx, actor: &Actor, id: VolumeId) -> Result<(Volume, Vec<Attachment>), Condition> {
    let v: Volume = tx.read().get(actor.scope, id)?;
    may(actor, Power::Write, Some(v.project))?;
    let held = tx.read().children(id)?;
    Ok((v, held))
}

/// An announcement, or a connection of which nobody has said yet that he has it.
fn is_pending(a: &&Attachment) -> bool {
    a.by_volume && a.state == AttachState::Attaching
}

fn step(a: &mut Attachment, event: AttachEvent) -> Result<(), Condition> {
    a.state = attachment(a.state, event).map_err(|r| r.about(Kind::Attachment, a.id))?;
    Ok(())
}

/// An attachment that is attaching and has no holder yet.
fn announced(
    tx: &mut dyn WriteTx,
    ports: &Ports,
    v: &Volume,
    rights: Rights,
) -> Result<Attachment, Condition> {
    refuse_conflict(tx.read(), v, !v.shared, &[], None)?;
    let mut a = draft(ports, v, if v.readonly { Rights::ReadOnly } else { rights })?;
    a.by_volume = true;
    step(&mut a, AttachEvent::Connect)?;
    Ok(a)
}

fn fence(
    tx: &mut dyn WriteTx,
    ports: &Ports,
    project: ProjectId,
    id: VolumeId,
    leaving: Vec<AttachmentId>,
) -> Result<JobId, Condition> {
    let mut job = reassign::fence_job(ports, project, vec![id.into()], leaving)?;
    tx.insert(&mut job)?;
    Ok(job.id)
}

async fn finish(ports: &Ports, job: Option<JobId>) -> Result<(), Condition> {
    if let Some(job) = job {
        ports.jobs.begin(job);
        ports.jobs.wait(job).await?;
    }
    Ok(())
}

/// Announces that somebody will attach a volume.
pub async fn announce(ports: &Ports, actor: &Actor, id: VolumeId) -> Result<(), Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    write(&*ports.meta, move |tx| {
        let (v, _) = volume(tx, &actor_in, id)?;
        let from: &[Standing] =
            if v.shared { &[Standing::Free, Standing::Attached] } else { &[Standing::Free] };
        When::Only(from).check(Kind::Volume, v.id, v.standing())?;
        let mut a = announced(tx, &ports_in, &v, Rights::ReadWrite)?;
        tx.insert(&mut a)?;
        settle(tx, id.into())
    })
    .await
    .map(|_| ())
}

/// Takes announcements back, and connections of which nobody has said yet that he has them.
pub async fn withdraw(ports: &Ports, actor: &Actor, id: VolumeId) -> Result<(), Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let (job, _) = write(&*ports.meta, move |tx| {
        let (mut v, held) = volume(tx, &actor_in, id)?;
        let pending: Vec<AttachmentId> = held.iter().filter(is_pending).map(|a| a.id).collect();
        for mut a in held.into_iter().filter(|a| pending.contains(&a.id)) {
            super::leave(tx, &mut a)?;
        }
        if v.declared == Some(Standing::Attaching) {
            v.declared = None;
            tx.update(&mut v)?;
        }
        if pending.is_empty() {
            return Ok(None);
        }
        settle(tx, id.into())?;
        fence(tx, &ports_in, v.project, id, pending).map(Some)
    })
    .await?;
    finish(ports, job).await
}

/// Names the host that connects and lets it in; the answer's export is how it gets to the bytes.
pub async fn initialize(
    ports: &Ports,
    actor: &Actor,
    id: VolumeId,
    by: Connect,
    rights: Rights,
) -> Result<Attachment, Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let ((a, job), _) = write(&*ports.meta, move |tx| {
        let (v, held) = volume(tx, &actor_in, id)?;
        let host = hosts::find(tx.read(), &by.host)?.map(|h| h.id);
        let pending = held.iter().find(|a| is_pending(a) && a.host.is_none());
        let same = held.iter().find(|a| a.by_volume && a.host.is_some() && a.host == host);
        let mut a = match same.or(pending) {
            // Asked again, it is answered again.
            Some(a) if a.state == AttachState::Attached && !a.returned => return Ok((a.clone(), None)),
            Some(a) => a.clone(),
            None => {
                let mut a = announced(tx, &ports_in, &v, rights)?;
                tx.insert(&mut a)?;
                a
            }
        };
        if a.state == AttachState::Attached {
            a.returned = false;
            tx.update(&mut a)?;
        } else {
            connect_in(tx, &ports_in, &mut a, &by)?;
        }
        let job = fence(tx, &ports_in, v.project, id, Vec::new())?;
        Ok((a, Some(job)))
    })
    .await?;
    finish(ports, job).await?;
    Ok(a)
}

/// The holder says that it has the volume: announced or connected before, or just so.
pub async fn hold(ports: &Ports, actor: &Actor, id: VolumeId, want: Hold) -> Result<(), Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let (job, _) = write(&*ports.meta, move |tx| {
        let (v, held) = volume(tx, &actor_in, id)?;
        if v.readonly && want.rights == Rights::ReadWrite {
            return Err(Condition::invalid("mode", "the volume is read-only"));
        }
        let host = match &want.host {
            Some(h) => Some(hosts::find_or_make(tx, &*ports_in.entropy, &*ports_in.clock, h)?.id),
            None => None,
        };
        let same = |a: &&Attachment| {
            a.state == AttachState::Attached
                && match (&want.instance, host) {
                    (Some(i), _) => a.instance.as_ref() == Some(i),
                    (None, h) => h.is_some() && a.host == h,
                }
        };
        if held.iter().any(|a| same(&a)) {
            settle(tx, id.into())?;
            return Ok(None);
        }
        let mut a = match held.iter().find(is_pending) {
            Some(a) => a.clone(),
            None => {
                let from: &[Standing] =
                    if v.shared { &[Standing::Free, Standing::Attached] } else { &[Standing::Free] };
                When::Only(from).check(Kind::Volume, v.id, v.standing())?;
                let mut a = announced(tx, &ports_in, &v, want.rights)?;
                tx.insert(&mut a)?;
                a
            }
        };
        refuse_open(&ports_in, &v, &a)?;
        step(&mut a, AttachEvent::Complete)?;
        a.host = a.host.or(host);
        a.instance = want.instance.clone().or(a.instance);
        a.mountpoint = want.mountpoint.clone().or(a.mountpoint);
        a.rights = if v.readonly { Rights::ReadOnly } else { want.rights };
        a.attached = Some(ports_in.clock.now());
        tx.update(&mut a)?;
        settle(tx, id.into())?;
        fence(tx, &ports_in, v.project, id, Vec::new()).map(Some)
    })
    .await?;
    finish(ports, job).await
}

/// Who has the plain export open is not pushed out by somebody who attaches.
fn refuse_open(ports: &Ports, v: &Volume, a: &Attachment) -> Result<(), Condition> {
    let open = ports.sessions.of(access::plain_export(v.id.into()));
    if a.exclusive && !open.is_empty() {
        return Err(access::in_use_by(Kind::Volume, v.handle.to_string(), &open));
    }
    Ok(())
}

/// A host gives its connections back (no host: all do). Those that nobody holds yet end; of the others the exports shut.
pub async fn give_back(
    ports: &Ports,
    actor: &Actor,
    id: VolumeId,
    host: Option<String>,
    terms: DetachTerms,
) -> Result<(), Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let (job, _) = write(&*ports.meta, move |tx| {
        let (v, held) = volume(tx, &actor_in, id)?;
        let who = host.as_ref().map(|h| hosts::find(tx.read(), h)).transpose()?;
        let mut args = (Vec::new(), Vec::new());
        for mut a in held {
            let meant = match &who {
                None => a.by_volume,
                Some(h) => a.by_volume && a.host.is_some() && a.host == h.as_ref().map(|h| h.id),
            };
            if !meant || a.host.is_none() && a.state != AttachState::Attaching {
                continue;
            }
            refuse_in_use(&ports_in, &a, terms)?;
            if is_pending(&&a) {
                super::leave(tx, &mut a)?;
                args.0.push(a.id);
            } else {
                a.returned = true;
                tx.update(&mut a)?;
                args.1.push(a.id);
            }
        }
        if args.0.is_empty() && args.1.is_empty() {
            return Ok(None);
        }
        settle(tx, id.into())?;
        let mut job =
            reassign::fence_job_with(&ports_in, v.project, id.into(), args.0.clone(), args.1.clone())?;
        tx.insert(&mut job)?;
        Ok(Some(job.id))
    })
    .await?;
    finish(ports, job).await
}

/// Ends an attachment, the only one if none is named. Nobody holding it is no fault: what was announced ends.
pub async fn let_go(
    ports: &Ports,
    actor: &Actor,
    id: VolumeId,
    which: Option<AttachmentId>,
    terms: DetachTerms,
) -> Result<(), Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let (job, _) = write(&*ports.meta, move |tx| {
        let (v, held) = volume(tx, &actor_in, id)?;
        let mut meant: Vec<Attachment> = match which {
            Some(a) => held.into_iter().filter(|x| x.id == a).collect(),
            None => held,
        };
        if let (Some(a), true) = (which, meant.is_empty()) {
            return Err(Condition::not_found(Kind::Attachment, a));
        }
        if meant.iter().filter(|a| a.state == AttachState::Attached).count() > 1 {
            return Err(Condition::in_use(Kind::Volume, v.id, vec!["more than one holder".into()]));
        }
        if which.is_none() && meant.iter().any(|a| a.state == AttachState::Attached) {
            meant.retain(|a| a.state == AttachState::Attached);
        }
        let mut leaving = Vec::new();
        for mut a in meant {
            refuse_in_use(&ports_in, &a, terms)?;
            super::leave(tx, &mut a)?;
            leaving.push(a.id);
        }
        settle(tx, id.into())?;
        if leaving.is_empty() {
            return Ok(None);
        }
        fence(tx, &ports_in, v.project, id, leaving).map(Some)
    })
    .await?;
    finish(ports, job).await
}

/// Whoever holds one volume holds another from now on, in the same place: he has swapped them already.
pub async fn swap(ports: &Ports, actor: &Actor, from: VolumeId, to: VolumeId) -> Result<(), Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let (job, _) = write(&*ports.meta, move |tx| {
        let (_, held) = volume(tx, &actor_in, from)?;
        let (v, pending) = volume(tx, &actor_in, to)?;
        let mut leaving = Vec::new();
        for mut old in held.into_iter().filter(|a| a.state == AttachState::Attached) {
            let mut a = match pending.iter().find(is_pending) {
                Some(a) => a.clone(),
                None => {
                    let mut a = announced(tx, &ports_in, &v, old.rights)?;
                    tx.insert(&mut a)?;
                    a
                }
            };
            step(&mut a, AttachEvent::Complete)?;
            (a.host, a.instance, a.mountpoint) = (old.host, old.instance.clone(), old.mountpoint.clone());
            a.attached = Some(ports_in.clock.now());
            tx.update(&mut a)?;
            super::leave(tx, &mut old)?;
            leaving.push(old.id);
        }
        settle(tx, from.into())?;
        settle(tx, to.into())?;
        let mut job = reassign::fence_job(&ports_in, v.project, vec![from.into(), to.into()], leaving)?;
        tx.insert(&mut job)?;
        Ok(Some(job.id))
    })
    .await?;
    finish(ports, job).await
}
