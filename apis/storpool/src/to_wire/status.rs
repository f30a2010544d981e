//! How volumes and snapshots fare.

use std::collections::BTreeSet;

use parpen_model::lifecycle::{Health, Life};
use parpen_model::{Api, Keeping};
use parpen_service::objects::{Kept, health, is_blocked};
use parpen_service::{snapshots, volumes};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{snapshot, snapshot_name, volume};

/// What the status of a volume or snapshot adds to its summary.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<S> {
    #[serde(flatten)]
    summary: S,
    status: &'static str,
    snapshot: bool,
    migrating: bool,
    decreased_redundancy: bool,
    balancer_blocked: bool,
    stored_size: u64,
    on_disk_size: u64,
    syncing_data_bytes: u64,
    syncing_meta_objects: u64,
    up_soon_chains_count: u64,
    down_bytes: u64,
    down_drives: BTreeSet<u16>,
    missing_drives: BTreeSet<u16>,
    missing_target_drives: BTreeSet<u16>,
    soft_ejecting_drives: BTreeSet<u16>,
}

/// The status word: a total function of what the row says.
fn status_word(life: Life, health: Health) -> &'static str {
    match (life, health) {
        (Life::Creating | Life::Deleting | Life::Error, _) | (_, Health::Down) => "down",
        (Life::Ready, Health::Up) => "up",
        (Life::Ready, Health::UpSoon) => "up soon",
        (Life::Ready, Health::DataLost) => "data lost",
    }
}

fn status<S: Serialize>(
    summary: S,
    snapshot: bool,
    (life, row): (Life, Health),
    size: u64,
    keeping: Keeping,
) -> Value {
    let status = status_word(life, health(row, &keeping));
    let unreachable = keeping.soon + keeping.away + keeping.lost;
    json!(Status {
        summary,
        status,
        snapshot,
        migrating: keeping.due > 0,
        decreased_redundancy: keeping.short + unreachable > 0,
        balancer_blocked: is_blocked(&keeping),
        // Client data is never more than the size, whatever the store counts on its account.
        stored_size: keeping.stored.min(size),
        on_disk_size: keeping.on_disk,
        syncing_data_bytes: keeping.behind_bytes,
        syncing_meta_objects: keeping.behind,
        up_soon_chains_count: keeping.soon,
        // What is not there yet, or not any more, cannot be read either.
        down_bytes: if life == Life::Ready { keeping.unreachable_bytes } else { size },
        down_drives: keeping.needed,
        missing_drives: keeping.missing,
        missing_target_drives: keeping.missing_targets,
        soft_ejecting_drives: keeping.leaving,
    })
}

/// The status of volumes and snapshots by name.
pub fn statuses(volumes: &[volumes::View], snapshots: &[snapshots::View], kept: &Kept) -> Map<String, Value> {
    let of_volume = |v: &volumes::View| {
        let row = &v.volume;
        let keeping = kept.of(row.pool, row.id, row.size);
        (row.shown_in(Api::StorPool), status(volume(v), false, (row.life, row.health), row.size, keeping))
    };
    let of_snapshot = |s: &snapshots::View| {
        let row = &s.snapshot;
        let keeping = kept.of(row.pool, row.id, row.size);
        (snapshot_name(row), status(snapshot(s), true, (row.life, row.health), row.size, keeping))
    };
    volumes.iter().map(of_volume).chain(snapshots.iter().map(of_snapshot)).collect()
}
