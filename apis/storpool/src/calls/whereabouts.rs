//! Where the objects of a volume are, and what is on a disk.

use std::collections::HashMap;

use parpen_model::{Condition, Disk, Kind, Pool, Subject};
use parpen_service::{disks, objects, snapshots};
use serde_json::Value;
use uuid::Uuid;

use super::disks::{lasting, number};
use super::{Call, Done, volumes};
use crate::to_wire::{self, ObjectOwner};

/// Longest list of objects in one answer: 8 TiB that is shared with nobody. More is counted only.
const OBJECTS_MAX: usize = 1 << 18;

/// A volume or snapshot: its document, and where it lives.
pub struct Looked {
    pub doc: Value,
    pub pool: Pool,
    pub what: Subject,
}

/// The volume in the path.
pub async fn volume(c: &Call<'_>) -> Result<Looked, Condition> {
    let v = c.volume(c.name()).await?;
    let doc = serde_json::to_value(to_wire::volume(&v)).map_err(Condition::internal)?;
    Ok(Looked { doc, pool: v.pool, what: v.volume.id.into() })
}

/// The snapshot in the path.
pub async fn snapshot(c: &Call<'_>) -> Result<Looked, Condition> {
    let s = c.snapshot(c.name()).await?;
    let doc = serde_json::to_value(to_wire::snapshot(&s)).map_err(Condition::internal)?;
    Ok(Looked { doc, pool: s.pool, what: s.snapshot.id.into() })
}

async fn describe(c: &Call<'_>, of: Looked) -> Result<Done, Condition> {
    let (sets, all) = objects::places(c.ports, c.actor, (&of.pool, of.what), OBJECTS_MAX).await?;
    c.shown(to_wire::with_places(of.doc, &sets, &all))
}

async fn info(c: &Call<'_>, of: Looked) -> Result<Done, Condition> {
    let spread = objects::spread(c.ports, c.actor, &of.pool, of.what).await?;
    c.shown(to_wire::with_spread(of.doc, &spread))
}

/// `VolumeDescribe`.
pub async fn volume_describe(c: &Call<'_>) -> Result<Done, Condition> {
    describe(c, volume(c).await?).await
}

/// `SnapshotDescribe`.
pub async fn snapshot_describe(c: &Call<'_>) -> Result<Done, Condition> {
    describe(c, snapshot(c).await?).await
}

/// `VolumeGetInfo`.
pub async fn volume_info(c: &Call<'_>) -> Result<Done, Condition> {
    info(c, volume(c).await?).await
}

/// `SnapshotGetInfo`.
pub async fn snapshot_info(c: &Call<'_>) -> Result<Done, Condition> {
    info(c, snapshot(c).await?).await
}

/// The disk in the path, and who may own what is on it. A disk that is down is refused: nobody knows what is on it.
async fn disk(c: &Call<'_>) -> Result<(Disk, HashMap<Uuid, ObjectOwner>), Condition> {
    let found = disks::get(c.ports, c.actor, number(c)?).await?;
    let mut owners = HashMap::new();
    for v in volumes::all(c).await? {
        owners.insert(v.volume.id.0, ObjectOwner::volume(&v));
    }
    for s in snapshots::list(c.ports, c.actor, None, true).await? {
        owners.insert(s.snapshot.id.0, ObjectOwner::snapshot(&s));
    }
    Ok((found, owners))
}

/// `DiskDescribe`.
pub async fn disk_describe(c: &Call<'_>) -> Result<Done, Condition> {
    let (found, owners) = disk(c).await?;
    let all = objects::all_on_disk(c.ports, c.actor, found.id, OBJECTS_MAX).await.map_err(lasting)?;
    c.shown(to_wire::disk_with_objects(to_wire::disk(&found, c.generation), &all, &owners))
}

/// `ServerDiskDescribe`: one server has them all.
pub async fn server_disk_describe(c: &Call<'_>) -> Result<Done, Condition> {
    let server = c.params.get("id");
    if server != to_wire::SERVER.to_string() {
        return Err(Condition::not_found(Kind::Other, format!("server {server}")));
    }
    disk_describe(c).await
}

/// `DiskGetInfo`.
pub async fn disk_info(c: &Call<'_>) -> Result<Done, Condition> {
    let (found, owners) = disk(c).await?;
    let parts = objects::on_disk(c.ports, c.actor, found.id).await.map_err(lasting)?;
    c.shown(to_wire::disk_with_parts(to_wire::disk(&found, c.generation), &parts, &owners))
}
