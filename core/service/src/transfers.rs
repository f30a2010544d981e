//! Offering a volume to another project: whoever knows the key may take it.

use parpen_identity::{Actor, Power, may, secret_fits, secret_hash};
use parpen_model::lifecycle::{Declaration, Standing, When, declare};
use parpen_model::{
    Alias, Api, Condition, Kind, Label, ProjectId, Query, ReadTx, Scope, Snapshot, Stamp, Transfer,
    TransferId, Volume, VolumeId, VolumeType, read, write,
};

use crate::quotas::{self, Need};
use crate::volumes::ChangeAttributes;
use crate::volumes::resize::at_rest;
use crate::{Ports, access, attachments, names};

/// An offer and its key, which is told this once.
pub struct Offered {
    /// The row.
    pub transfer: Transfer,
    /// Whoever says it may take the volume.
    pub key: String,
}

/// An offer to be made.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Of which volume.
    pub volume: VolumeId,
    /// What it is called.
    pub name: Option<String>,
    /// The snapshots stay with their owner.
    pub without_snapshots: bool,
    /// The volume may be encrypted.
    pub encrypted: bool,
}

/// Offers a volume.
pub async fn create(ports: &Ports, actor: &Actor, offer: Offer) -> Result<Offered, Condition> {
    let Offer { volume, name, without_snapshots, encrypted } = offer;
    if let Some(name) = &name {
        names::check(name)?;
    }
    let key = parpen_identity::short_secret(&*ports.entropy);
    let key_hash = secret_hash(&key)?;
    let (id, stamp) = (TransferId(ports.entropy.uuid()), Stamp::at(ports.clock.now()));
    let actor = actor.clone();
    let (transfer, _) = write(&*ports.meta, move |tx| {
        let mut v: Volume = tx.read().get(actor.scope, volume)?;
        may(&actor, Power::Write, Some(v.project))?;
        When::Only(&[Standing::Free]).check(Kind::Volume, v.id, v.standing())?;
        if !encrypted && is_encrypted(tx.read(), &v)? {
            return Err(Condition::invalid("volume", "transferring encrypted volume is not supported"));
        }
        if !without_snapshots {
            for s in snapshots_of(tx.read(), &v)?.iter().filter(|s| !s.transient) {
                When::Only(&[Standing::Free]).check(Kind::Snapshot, s.id, s.standing())?;
            }
        }
        v.declared = declare(v.standing(), Declaration::Offer).map_err(|r| r.about(Kind::Volume, volume))?;
        tx.update(&mut v)?;
        // An older offer of a volume that somebody called free again is over.
        for old in tx.read().children::<Transfer>(volume)? {
            tx.delete::<Transfer>(old.id)?;
        }
        let mut t = Transfer {
            id,
            name: name.clone(),
            volume,
            project: v.project,
            key_hash: key_hash.clone(),
            without_snapshots,
            stamp,
        };
        tx.insert(&mut t)?;
        Ok(t)
    })
    .await?;
    Ok(Offered { transfer, key })
}

fn is_encrypted(tx: &dyn ReadTx, v: &Volume) -> Result<bool, Condition> {
    let kind = v.volume_type.map(|t| tx.find::<VolumeType>(Scope::All, t)).transpose()?.flatten();
    Ok(v.is_encrypted(kind.as_ref()))
}

/// One offer.
pub async fn get(ports: &Ports, actor: &Actor, id: TransferId) -> Result<Transfer, Condition> {
    may(actor, Power::Read, None)?;
    let scope = actor.scope;
    read(&*ports.meta, move |tx| tx.get(scope, id)).await
}

/// Offers that the actor sees, of one project or all, the oldest first.
pub async fn list(
    ports: &Ports,
    actor: &Actor,
    project: Option<ProjectId>,
) -> Result<Vec<Transfer>, Condition> {
    may(actor, Power::Read, None)?;
    let scope = actor.scope;
    read(&*ports.meta, move |tx| tx.list(scope, &Query { project, ..Query::default() })).await
}

/// The offer of a volume is over; that an operator called it something else meanwhile stays.
fn withdraw(v: &mut Volume) {
    if let Ok(next) = declare(v.standing(), Declaration::Withdraw) {
        v.declared = next;
    }
    v.epoch += 1;
}

/// Takes an offer back.
pub async fn delete(ports: &Ports, actor: &Actor, id: TransferId) -> Result<(), Condition> {
    let actor = actor.clone();
    write(&*ports.meta, move |tx| {
        let t: Transfer = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Write, Some(t.project))?;
        if let Some(mut v) = tx.read().find::<Volume>(Scope::All, t.volume)? {
            withdraw(&mut v);
            tx.update(&mut v)?;
        }
        tx.delete::<Transfer>(id)
    })
    .await
    .map(|_| ())
}

/// Takes an offered volume, with its snapshots unless they stay behind, in one transaction. `change` makes what APIs
/// keep with it the new owner's.
pub async fn accept(
    ports: &Ports,
    actor: &Actor,
    id: TransferId,
    key: &str,
    mut change: ChangeAttributes,
) -> Result<Transfer, Condition> {
    may(actor, Power::Write, Some(actor.project))?;
    // Who takes it is of another project: the key is what lets him see the offer. It is checked here, for that is slow.
    let known: Transfer = read(&*ports.meta, move |tx| tx.get(Scope::All, id)).await?;
    if !secret_fits(key, &known.key_hash) {
        let why = format!("Attempt to transfer {id} with invalid auth key.");
        return Err(Condition::invalid("auth key", why));
    }
    let (actor, now) = (actor.clone(), ports.clock.now());
    let open = ports.sessions.of(access::plain_export(known.volume.into()));
    let ((transfer, labels), _) = write(&*ports.meta, move |tx| {
        let t: Transfer = tx.read().get(Scope::All, id)?;
        let mut v: Volume = tx.read().get(Scope::All, t.volume)?;
        When::Only(&[Standing::Offered]).check(Kind::Volume, v.id, v.standing())?;
        at_rest(&v)?;
        let mut held = attachments::holders(tx.read(), v.id.into())?;
        held.extend((!open.is_empty()).then(|| "an open session".to_string()));
        if !held.is_empty() {
            return Err(Condition::in_use(Kind::Volume, &v.handle, held));
        }
        if v.group.is_some() {
            let why = format!("Volume {} must not be part of a consistency group.", v.id);
            return Err(Condition::invalid("volume", why));
        }
        withdraw(&mut v);
        refuse_over(tx.read(), &v, actor.project, t.without_snapshots)?;
        let mut labels = Vec::new();
        if !t.without_snapshots {
            for mut s in snapshots_of(tx.read(), &v)? {
                s.aliases = aliases_for(s.aliases, s.project);
                s.project = actor.project;
                // The others of its group stay with whoever took them together.
                s.group_snapshot = None;
                change(&mut s.attributes);
                tx.update(&mut s)?;
                labels.push((s.pool, Label::of_snapshot(&s)));
            }
        }
        v.aliases = aliases_for(v.aliases, v.project);
        v.project = actor.project;
        change(&mut v.attributes);
        v.stamp.updated = Some(now);
        tx.update(&mut v)?;
        labels.push((v.pool, Label::of_volume(&v)));
        tx.delete::<Transfer>(id)?;
        Ok((t, labels))
    })
    .await?;
    for (pool, label) in labels {
        if let Err(e) = ports.figures.relabel(pool, label).await {
            tracing::warn!(error = ?e, "a label on disk is older than its row; the next start renews it");
        }
    }
    Ok(transfer)
}

/// The snapshots that go with a volume. Those of an earlier owner, who kept them, are not this one's to give away.
fn snapshots_of(tx: &dyn ReadTx, v: &Volume) -> Result<Vec<Snapshot>, Condition> {
    Ok(tx.children::<Snapshot>(v.id)?.into_iter().filter(|s| s.project == v.project).collect())
}

/// Refuses what the taker's ceilings do not allow; what is his already counts already.
fn refuse_over(tx: &dyn ReadTx, v: &Volume, to: ProjectId, without_snapshots: bool) -> Result<(), Condition> {
    if v.project == to {
        return Ok(());
    }
    let mut need = Need::volume(v);
    if !without_snapshots {
        let snapshots = snapshots_of(tx, v)?;
        need = snapshots.iter().filter(|s| !s.transient).fold(need, Need::and_snapshot);
    }
    quotas::admit(tx, to, &need)
}

/// Names that were unique within the old project are not taken along: somebody there may bear them.
pub(crate) fn aliases_for(aliases: Vec<Alias>, old: ProjectId) -> Vec<Alias> {
    let old = old.to_string();
    aliases.into_iter().filter(|a| a.scope != old || a.api == Api::Native).collect()
}
