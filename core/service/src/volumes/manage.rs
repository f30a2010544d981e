//! Taking over what a pool holds already, and letting it go again: the bytes stay where they are.

use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{Health, Life, Standing, Usage, When};
use parpen_model::{
    Api, Attributes, Condition, Found, Handle, Kind, Label, Limits, Pool, PoolId, Scope, Snapshot,
    SnapshotId, Stamp, Subject, Volume, VolumeId, VolumeTypeId, WriteTx, read, write,
};
use uuid::Uuid;

use crate::media::{WantedPlacement, place};
use crate::names::{self, Naming};
use crate::quotas::{self, Need};
use crate::transfers::aliases_for;
use crate::{Ports, attachments, parts, types};

/// Something that a pool holds.
#[derive(Clone, Debug)]
pub struct Manageable {
    /// Which.
    pub subject: Subject,
    /// Size in bytes.
    pub size: u64,
    /// The volume that a snapshot was taken of.
    pub origin: Option<VolumeId>,
    /// The side shows it already.
    pub managed: bool,
    /// Somebody attaches it.
    pub held: bool,
}

/// What something that is taken over is called and linked to.
#[derive(Clone, Debug, Default)]
pub struct Takeover {
    /// Its names.
    pub naming: Naming,
    /// Its policy.
    pub volume_type: Option<VolumeTypeId>,
    /// What the API keeps with it.
    pub attributes: Attributes,
}

/// The volumes (or the snapshots) of a pool, whether `api` shows them or not, rows or none.
pub async fn manageable(
    ports: &Ports,
    actor: &Actor,
    pool: &Pool,
    api: Api,
    kind: Kind,
) -> Result<Vec<Manageable>, Condition> {
    may(actor, Power::Operate, None)?;
    let found = ports.figures.inventory(pool).await?;
    read(&*ports.meta, move |tx| {
        let mut all = Vec::new();
        for f in found.into_iter().filter(|f| f.subject.kind() == kind) {
            let (managed, origin) = match f.subject {
                Subject::Volume(id) => {
                    let row = tx.find::<Volume>(Scope::All, id)?;
                    (row.map(|v| v.life != Life::Ready || !v.hidden.contains(&api)), None)
                }
                Subject::Snapshot(id) => {
                    let row = tx.find::<Snapshot>(Scope::All, id)?;
                    let origin = row.as_ref().map(|s| s.origin).or_else(|| origin_of(&f));
                    let shown =
                        |s: Snapshot| s.transient || s.life != Life::Ready || !s.hidden.contains(&api);
                    (row.map(shown), origin)
                }
            };
            all.push(Manageable {
                subject: f.subject,
                size: f.size,
                origin,
                managed: managed.unwrap_or(false),
                held: !attachments::holders(tx, f.subject)?.is_empty(),
            });
        }
        Ok(all)
    })
    .await
}

fn origin_of(f: &Found) -> Option<VolumeId> {
    Label::from_bytes(&f.label)?.origin.map(VolumeId)
}

/// Takes a volume over: from now on `api` shows it as the actor's project's.
pub async fn take_over(
    ports: &Ports,
    actor: &Actor,
    pool: PoolId,
    reference: &str,
    api: Api,
    new: Takeover,
) -> Result<Volume, Condition> {
    may(actor, Power::Operate, None)?;
    names::check(&new.naming.name)?;
    let pool: Pool = read(&*ports.meta, move |tx| tx.get(Scope::All, pool)).await?;
    let found = on_disk(ports, &pool, Kind::Volume, reference).await?;
    let id = VolumeId(found.subject.uuid());
    let (actor, now) = (actor.clone(), ports.clock.now());
    let (taken, _) = write(&*ports.meta, move |tx| {
        parts::refuse_frozen(tx.read(), pool.id)?;
        let kind =
            new.volume_type.map(|t| types::usable(tx.read(), actor.scope, actor.project, t)).transpose()?;
        let (mut v, known) = match tx.read().find::<Volume>(Scope::All, id)? {
            Some(v) if v.life != Life::Ready || !v.hidden.contains(&api) => {
                return Err(Condition::exists(Kind::Volume, id));
            }
            Some(v) => (v, true),
            None => (adopted(tx, &pool, &found, &new.naming, Stamp::at(now))?, false),
        };
        if !known || v.project != actor.project {
            quotas::admit(tx.read(), actor.project, &Need::volume(&v))?;
        }
        v.hidden.retain(|a| *a != api);
        v.aliases = aliases_for(v.aliases, v.project);
        v.project = actor.project;
        v.name = new.naming.name.clone();
        v.volume_type = new.volume_type;
        if kind.is_some() {
            v.limits = types::limits_of(tx.read(), kind.as_ref())?;
        }
        v.shared = kind.as_ref().is_some_and(|t| t.rules.shared);
        v.declared = None;
        v.attributes.merge(new.attributes.clone());
        v.stamp.updated = Some(now);
        if known {
            tx.update(&mut v)?
        } else {
            tx.insert(&mut v)?
        }
        Ok(v)
    })
    .await?;
    if let Err(e) = ports.figures.relabel(taken.pool, Label::of_volume(&taken)).await {
        tracing::warn!(volume = %taken.id, error = ?e, "the label on disk is older than the row; the next start renews it");
    }
    Ok(taken)
}

/// What a pool holds under that name: an id, or `volume-<id>` or `snapshot-<id>` as other systems write it, or a handle.
async fn on_disk(ports: &Ports, pool: &Pool, kind: Kind, reference: &str) -> Result<Found, Condition> {
    let bare = reference.trim_start_matches("volume-").trim_start_matches("snapshot-");
    let id = Uuid::parse_str(bare).ok();
    let named = |f: &Found| Label::from_bytes(&f.label).is_some_and(|l| l.handle == reference);
    let found = ports.figures.inventory(pool).await?;
    let mut all = found.into_iter().filter(|f| f.subject.kind() == kind);
    all.find(|f| id.map_or_else(|| named(f), |id| f.subject.uuid() == id))
        .ok_or_else(|| Condition::not_found(kind, reference))
}

/// A row for a volume of which only the bytes are known.
fn adopted(
    tx: &mut dyn WriteTx,
    pool: &Pool,
    found: &Found,
    naming: &Naming,
    stamp: Stamp,
) -> Result<Volume, Condition> {
    let id = VolumeId(found.subject.uuid());
    let label = Label::from_bytes(&found.label);
    let project = label.as_ref().map_or(Uuid::nil(), |l| l.project).into();
    let (pool, placement) = place(tx.read(), Some(pool.id), &WantedPlacement::default())?;
    let handle = names::free_handle(tx.read(), &[pool.id.0], |n| Handle::from_name(&naming.name, id.0, n))?;
    Ok(Volume {
        id,
        name: naming.name.clone(),
        handle,
        aliases: naming.aliases.clone(),
        project,
        pool: pool.id,
        size: found.size,
        volume_type: None,
        placement,
        limits: Limits::default(),
        readonly: false,
        shared: false,
        parent: None,
        made_from: None,
        life: Life::Ready,
        usage: Usage::Free,
        work: Vec::new(),
        health: Health::Up,
        declared: None,
        migration: None,
        group: None,
        hidden: Vec::new(),
        epoch: 1,
        key: label.and_then(|l| l.key),
        attributes: Attributes::default(),
        fault: None,
        stamp,
    })
}

/// Lets a volume go: `api` does not show it any more. Others do, and its bytes stay.
pub async fn let_loose(
    ports: &Ports,
    actor: &Actor,
    id: VolumeId,
    api: Api,
    when: When,
) -> Result<(), Condition> {
    let (actor, now) = (actor.clone(), ports.clock.now());
    write(&*ports.meta, move |tx| {
        let mut v: Volume = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Operate, Some(v.project))?;
        when.check(Kind::Volume, v.id, v.standing())?;
        super::resize::at_rest(&v)?;
        let held = attachments::holders(tx.read(), id.into())?;
        let snapshots = tx.read().children::<Snapshot>(id)?;
        let shown = snapshots.iter().filter(|s| !s.transient && !s.hidden.contains(&api));
        let by: Vec<String> = held
            .into_iter()
            .chain(shown.map(|s| format!("snapshot {}", names::short(s))))
            .chain(v.group.map(|_| "its group".to_string()))
            .collect();
        if !by.is_empty() {
            return Err(Condition::in_use(Kind::Volume, &v.handle, by));
        }
        v.hidden.push(api);
        v.stamp.updated = Some(now);
        tx.update(&mut v)
    })
    .await
    .map(|_| ())
}

/// Lets a snapshot go: `api` does not show it any more.
pub async fn let_snapshot_loose(
    ports: &Ports,
    actor: &Actor,
    id: SnapshotId,
    api: Api,
) -> Result<(), Condition> {
    let actor = actor.clone();
    write(&*ports.meta, move |tx| {
        let mut s: Snapshot = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Operate, Some(s.project))?;
        When::Only(&[Standing::Free, Standing::Error]).check(Kind::Snapshot, s.id, s.standing())?;
        if s.group_snapshot.is_some() {
            return Err(Condition::in_use(Kind::Snapshot, &s.handle, vec!["a snapshot of a group".into()]));
        }
        s.hidden.push(api);
        tx.update(&mut s)
    })
    .await
    .map(|_| ())
}

/// Takes a snapshot of a volume over: from now on `api` shows it.
pub async fn take_snapshot_over(
    ports: &Ports,
    actor: &Actor,
    of: VolumeId,
    reference: &str,
    api: Api,
    new: Takeover,
) -> Result<Snapshot, Condition> {
    may(actor, Power::Operate, None)?;
    names::check(&new.naming.name)?;
    let scope = actor.scope;
    let (v, pool) = read(&*ports.meta, move |tx| {
        let v: Volume = tx.get(scope, of)?;
        let pool: Pool = tx.get(Scope::All, v.pool)?;
        Ok((v, pool))
    })
    .await?;
    let found = on_disk(ports, &pool, Kind::Snapshot, reference).await?;
    let now = ports.clock.now();
    let (taken, _) = write(&*ports.meta, move |tx| {
        let id = SnapshotId(found.subject.uuid());
        let (mut s, known) = match tx.read().find::<Snapshot>(Scope::All, id)? {
            Some(s) if s.transient || s.life != Life::Ready || !s.hidden.contains(&api) => {
                return Err(Condition::exists(Kind::Snapshot, id));
            }
            Some(s) if s.origin != of => {
                return Err(Condition::invalid("snapshot", format!("it is not one of volume {of}")));
            }
            Some(s) => (s, true),
            None if origin_of(&found) != Some(of) => {
                return Err(Condition::invalid("snapshot", format!("it is not one of volume {of}")));
            }
            None => {
                let mut s = crate::snapshots::draft(tx.read(), &v, id, &new.naming, Stamp::at(now))?;
                (s.life, s.size, s.parent) = (Life::Ready, found.size, None);
                (s, false)
            }
        };
        s.hidden.retain(|a| *a != api);
        s.name = new.naming.name.clone();
        s.project = v.project;
        if !known {
            // One that was only let go has counted all the while.
            quotas::admit(tx.read(), s.project, &Need::snapshot(&s))?;
        }
        s.declared = None;
        s.attributes.merge(new.attributes.clone());
        s.stamp.updated = Some(now);
        if known {
            tx.update(&mut s)?
        } else {
            tx.insert(&mut s)?
        }
        Ok(s)
    })
    .await?;
    Ok(taken)
}
