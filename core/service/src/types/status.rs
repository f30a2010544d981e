//! How volume types are used, and how much room there is where they place.

use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::Life;
use parpen_model::{Condition, Query, Snapshot, Volume, VolumeType, read};

use crate::capacity::{GroupRoom, for_placement};
use crate::media::{WantedPlacement, place};
use crate::{Ports, objects};

/// How a type is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Volumes that are linked to it.
    pub volumes: u64,
    /// Snapshots of such volumes, those that are being removed among them.
    pub snapshots: u64,
    /// Those of them.
    pub removing: u64,
    /// Bytes of the volumes.
    pub size: u64,
    /// The same, every copy counted.
    pub total: u64,
    /// Bytes that are stored in them.
    pub stored: u64,
    /// The same on all disks together.
    pub on_disk: u64,
    /// Room for new ones; none where nobody can be placed.
    pub room: GroupRoom,
}

/// The types that the actor may use, the oldest first, with their use.
pub async fn status(ports: &Ports, actor: &Actor) -> Result<Vec<(VolumeType, Use)>, Condition> {
    may(actor, Power::Read, None)?;
    let kept = objects::kept(ports, actor).await?;
    let scope = actor.scope;
    let (volumes, snapshots) = read(&*ports.meta, move |tx| {
        let volumes: Vec<Volume> = tx.list(scope, &Query::default())?;
        Ok((volumes, tx.list::<Snapshot>(scope, &Query::default())?))
    })
    .await?;
    let mut all = Vec::new();
    for t in super::list(ports, actor).await? {
        let mut used = Use { room: room(ports, &t).await?, ..Use::default() };
        for v in volumes.iter().filter(|v| v.volume_type == Some(t.id) && v.life != Life::Deleting) {
            let keeping = kept.of(v.pool, v.id, v.size);
            used.volumes += 1;
            used.size += v.size;
            used.total += v.size.saturating_mul(u64::from(v.placement.replication));
            used.stored += keeping.stored.min(v.size);
            used.on_disk += keeping.on_disk;
        }
        for s in snapshots.iter().filter(|s| s.volume_type == Some(t.id)) {
            used.snapshots += 1;
            used.removing += u64::from(s.life == Life::Deleting);
        }
        all.push((t, used));
    }
    Ok(all)
}

async fn room(ports: &Ports, t: &VolumeType) -> Result<GroupRoom, Condition> {
    let (all, tail) = (t.place_all.clone(), t.place_tail.clone());
    let (pool, want) = (t.pool, WantedPlacement { all, tail, replication: t.replication });
    let placed = read(&*ports.meta, move |tx| place(tx, pool, &want)).await;
    match placed {
        Ok((pool, placement)) => match for_placement(ports, &pool, &placement).await {
            Err(error) => {
                tracing::warn!(pool = %pool.name, ?error, "a pool does not tell how much room it has");
                Ok(GroupRoom::default())
            }
            room => room,
        },
        // Its groups have gone, or have fewer disks than it asks for copies.
        Err(Condition::NotFound { .. } | Condition::NoSpace(_) | Condition::Invalid { .. }) => {
            Ok(GroupRoom::default())
        }
        Err(e) => Err(e),
    }
}
