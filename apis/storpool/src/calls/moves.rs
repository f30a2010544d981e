//! What the relocator and the balancer move: by disk, by volume, by group of volumes.

use std::collections::BTreeMap;

use parpen_model::{Condition, Keeping, Pool, PoolId, Subject};
use parpen_service::objects::{self, Share, Spread};
use parpen_service::{disks, snapshots};
use serde_json::{Map, Value};

use super::whereabouts::Looked;
use super::{Call, Done, volumes, whereabouts};
use crate::to_wire::{self, Allocation, Amounts};

/// All disks, each with what becomes of it.
async fn by_disk(c: &Call<'_>, of: impl Fn(&parpen_model::Disk) -> Amounts) -> Result<Done, Condition> {
    let all = disks::list(c.ports, c.actor).await?;
    let by_id = all.iter().map(|d| (d.id.to_string(), to_wire::disk_target(d, of(d), c.generation)));
    c.shown(by_id.collect::<Map<String, Value>>())
}

/// `VolumeRelocatorDisksList`.
pub async fn relocated(c: &Call<'_>) -> Result<Done, Condition> {
    let due = objects::kept(c.ports, c.actor).await?.due;
    by_disk(c, |d| Amounts::by_due(d, due.get(&d.id))).await
}

/// `VolumeBalancerDisksList`.
pub async fn balanced(c: &Call<'_>) -> Result<Done, Condition> {
    let plans = disks::planned(c.ports, c.actor).await?;
    let share = |id: u16| plans.iter().flat_map(|(_, p)| p).flat_map(|p| &p.disks).find(|s| s.disk == id);
    by_disk(c, |d| Amounts::by_plan(d, share(d.id))).await
}

/// What becomes of one volume or snapshot on those disks that have something of its own or get it.
async fn disks_of(c: &Call<'_>, of: Looked, by: fn(&Share) -> Amounts) -> Result<Done, Condition> {
    let spread = objects::spread(c.ports, c.actor, &of.pool, of.what).await?;
    let all = disks::list(c.ports, c.actor).await?;
    let shared = all.iter().filter_map(|d| Some((d, spread.shares.get(&d.id)?)));
    let by_id = shared.map(|(d, s)| (d.id.to_string(), to_wire::disk_target(d, by(s), c.generation)));
    c.shown(by_id.collect::<Map<String, Value>>())
}

/// `VolumeRelocatorVolumeDisks` and `VolumeBalancerVolumeDisks`.
pub async fn of_volume(c: &Call<'_>, by: fn(&Share) -> Amounts) -> Result<Done, Condition> {
    disks_of(c, whereabouts::volume(c).await?, by).await
}

/// `VolumeRelocatorSnapshotDisks` and `VolumeBalancerSnapshotDisks`.
pub async fn of_snapshot(c: &Call<'_>, by: fn(&Share) -> Amounts) -> Result<Done, Condition> {
    disks_of(c, whereabouts::snapshot(c).await?, by).await
}

/// A volume or snapshot as the balancer lists it.
struct Listed {
    what: Subject,
    seq: i64,
    name: String,
    size: u64,
    doc: Value,
    keeping: Keeping,
    pool: Pool,
}

async fn listed(c: &Call<'_>) -> Result<Vec<Listed>, Condition> {
    let kept = objects::kept(c.ports, c.actor).await?;
    let mut all = Vec::new();
    for v in volumes::all(c).await? {
        let keeping = kept.of(v.pool.id, v.volume.id, v.volume.size);
        all.push(Listed {
            what: v.volume.id.into(),
            seq: v.volume.stamp.seq,
            name: v.volume.shown_in(parpen_model::Api::StorPool),
            size: v.volume.size,
            doc: to_wire::balanced_volume(&v, &keeping),
            keeping,
            pool: v.pool,
        });
    }
    for s in snapshots::list(c.ports, c.actor, None, true).await? {
        let keeping = kept.of(s.pool.id, s.snapshot.id, s.snapshot.size);
        all.push(Listed {
            what: s.snapshot.id.into(),
            seq: s.snapshot.stamp.seq,
            name: to_wire::snapshot_name(&s.snapshot),
            size: s.snapshot.size,
            doc: to_wire::balanced_snapshot(&s, &keeping),
            keeping,
            pool: s.pool,
        });
    }
    Ok(all)
}

/// `VolumeBalancerVolumesStatus`.
pub async fn volumes_status(c: &Call<'_>) -> Result<Done, Condition> {
    c.shown(listed(c).await?.into_iter().map(|l| l.doc).collect::<Vec<_>>())
}

async fn disk_sets(c: &Call<'_>, of: Looked) -> Result<Done, Condition> {
    let spread = objects::spread(c.ports, c.actor, &of.pool, of.what).await?;
    let row = listed(c).await?.into_iter().find(|l| l.what == of.what);
    // It may have gone since.
    let row = row.ok_or_else(|| Condition::not_found(of.what.kind(), c.name()))?;
    c.shown(to_wire::with_disk_sets(row.doc, &spread))
}

/// `VolumeBalancerVolumeDiskSets`.
pub async fn volume_disk_sets(c: &Call<'_>) -> Result<Done, Condition> {
    disk_sets(c, whereabouts::volume(c).await?).await
}

/// `VolumeBalancerSnapshotDiskSets`.
pub async fn snapshot_disk_sets(c: &Call<'_>) -> Result<Done, Condition> {
    disk_sets(c, whereabouts::snapshot(c).await?).await
}

/// `VolumeBalancerGroups`: what grew from one another has its objects on the same disks and moves together.
pub async fn groups(c: &Call<'_>) -> Result<Done, Condition> {
    let mut groups: BTreeMap<(PoolId, u64), Vec<Listed>> = BTreeMap::new();
    for one in listed(c).await?.into_iter().filter(|l| l.keeping.tree != 0) {
        groups.entry((one.pool.id, one.keeping.tree)).or_default().push(one);
    }
    let mut out = Vec::new();
    for mut members in groups.into_values() {
        members.sort_by_key(|l| l.seq);
        let mut spread = Spread::default();
        for m in &members {
            spread.join(objects::spread(c.ports, c.actor, &m.pool, m.what).await?);
        }
        let keepings: Vec<&Keeping> = members.iter().map(|m| &m.keeping).collect();
        let Some(root) = members.first() else { continue };
        out.push(to_wire::allocation(&Allocation {
            root: &root.doc,
            volumes: members.iter().map(|m| m.name.as_str()).collect(),
            size: members.iter().map(|m| m.size).sum(),
            stored: keepings.iter().map(|k| k.stored).sum(),
            is_feasible: objects::is_feasible(&root.keeping, &spread),
            is_blocked: keepings.iter().any(|k| objects::is_blocked(k)),
            spread: &spread,
        }));
    }
    c.shown(out)
}
