//! Locks: an exclusive claim on a volume by a named host. Others are cut from the plain export at once.

use parpen_identity::{Actor, Power, may};
use parpen_model::{Attachment, Condition, Kind, Lock, LockId, Stamp, Volume, VolumeId, read, write};

use crate::attachments::{holder, reassign, settle};
use crate::{Ports, Started, access, hosts};

/// The lock on a volume, if there is one.
pub async fn get(ports: &Ports, actor: &Actor, volume: VolumeId) -> Result<Option<Lock>, Condition> {
    let actor = actor.clone();
    read(&*ports.meta, move |tx| {
        let v: Volume = tx.get(actor.scope, volume)?;
        may(&actor, Power::Read, Some(v.project))?;
        access::lock_of(tx, &v)
    })
    .await
}

/// Locks a volume for a host. The same host again is fine; a lock or an attachment of another host is a refusal.
pub async fn lock(
    ports: &Ports,
    actor: &Actor,
    volume: VolumeId,
    host: &str,
) -> Result<Started<Lock>, Condition> {
    let (ports_in, actor_in, spelling) = (ports.clone(), actor.clone(), host.to_string());
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let v: Volume = tx.read().get(actor_in.scope, volume)?;
        may(&actor_in, Power::Write, Some(v.project))?;
        let host = hosts::find_or_make(tx, &*ports_in.entropy, &*ports_in.clock, &spelling)?;
        access::check_lock(tx.read(), &v, Some(host.id.into()))?;
        let held: Vec<Attachment> = tx.read().children(volume)?;
        if let Some(other) = held.iter().find(|a| a.host != Some(host.id)) {
            return Err(Condition::in_use(Kind::Volume, &v.handle, vec![holder(tx.read(), other)?]));
        }
        let lock = match access::lock_of(tx.read(), &v)? {
            Some(l) => l,
            None => {
                let mut l = Lock {
                    id: LockId(ports_in.entropy.uuid()),
                    volume,
                    project: v.project,
                    host: host.id,
                    spelling: spelling.clone(),
                    stamp: Stamp::at(ports_in.clock.now()),
                };
                tx.insert(&mut l)?;
                l
            }
        };
        settle(tx, volume.into())?;
        let mut job = reassign::fence_job(&ports_in, v.project, vec![volume.into()], Vec::new())?;
        tx.insert(&mut job)?;
        Ok((lock, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

/// Takes a host's lock off; held by another host or by nobody, nothing changes. Answers whether one was taken off.
pub async fn unlock(ports: &Ports, actor: &Actor, volume: VolumeId, host: &str) -> Result<bool, Condition> {
    let (ports_in, actor_in, spelling) = (ports.clone(), actor.clone(), host.to_string());
    let (job, _) = write(&*ports.meta, move |tx| {
        let v: Volume = tx.read().get(actor_in.scope, volume)?;
        may(&actor_in, Power::Write, Some(v.project))?;
        let host = hosts::find(tx.read(), &spelling)?;
        let Some(l) = access::lock_of(tx.read(), &v)?.filter(|l| Some(l.host) == host.as_ref().map(|h| h.id))
        else {
            return Ok(None);
        };
        tx.delete::<Lock>(l.id)?;
        settle(tx, volume.into())?;
        let mut job = reassign::fence_job(&ports_in, v.project, vec![volume.into()], Vec::new())?;
        tx.insert(&mut job)?;
        Ok(Some(job.id))
    })
    .await?;
    let Some(job) = job else { return Ok(false) };
    ports.jobs.begin(job);
    ports.jobs.wait(job).await?;
    Ok(true)
}
