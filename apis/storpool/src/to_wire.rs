//! From what the core knows to this API's documents. One document carries the fields of the oldest and of
//! the newest bindings: the strict ones pass over what they do not know, but an optional field that is null
//! breaks them, so what is absent is left out.

mod cluster;
mod moves;
mod objects;
mod status;
mod templates;

use cluster::left;
pub use cluster::{DESCRIPTION_MAX, SERVER, describes, disk, placement_group, services, task};
pub use moves::{
    Allocation, Amounts, allocation, balanced_snapshot, balanced_volume, disk_target, with_disk_sets,
};
pub use objects::{ObjectOwner, disk_with_objects, disk_with_parts, with_places, with_spread};
pub use status::statuses;
pub use templates::{template, template_status};

use parpen_model::lifecycle::{AttachState, Life};
use parpen_model::{Api, Attributes, Condition, Limits, Placement, Rights, Snapshot, Stamp, VolumeType};
use parpen_service::{snapshots, volumes};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::from_wire::BANDWIDTH_UNIT;
use crate::names::{self, global_id};

/// Bytes of one object.
const OBJECT: u64 = 32 * parpen_base::MIB;
/// The namespace of what only this API stores, and the member that holds tags.
pub const ATTRIBUTES: &str = "storpool";
/// See [`ATTRIBUTES`].
pub const TAGS: &str = "tags";
/// How "none" is printed where a name or number is expected.
pub const NONE: &str = "-";

/// A ceiling: a number or `-`.
#[derive(Serialize)]
#[serde(untagged)]
pub enum CeilingDoc {
    /// A number.
    At(u64),
    /// Unlimited.
    Unlimited(&'static str),
}

/// Ceilings on I/O.
#[derive(Serialize)]
pub struct LimitsDoc {
    bw: CeilingDoc,
    iops: CeilingDoc,
}

impl LimitsDoc {
    fn of(limits: Limits) -> LimitsDoc {
        let print = |n: Option<u64>| n.map_or(CeilingDoc::Unlimited(NONE), CeilingDoc::At);
        LimitsDoc {
            bw: print(limits.bytes_per_second.map(|b| b / BANDWIDTH_UNIT)),
            iops: print(limits.requests_per_second),
        }
    }
}

/// What volumes and snapshots have in common.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    name: String,
    id: i64,
    global_id: String,
    parent_name: String,
    parent_volume_id: i64,
    template_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    template_id: Option<i64>,
    size: u64,
    replication: u8,
    place_all: String,
    place_tail: String,
    place_head: String,
    #[serde(flatten)]
    limits: LimitsDoc,
    visible_volume_id: i64,
    objects_count: u64,
    creation_timestamp: i64,
    flags: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Value>,
}

/// What a summary is made of, whatever it is of.
struct Parts<'a> {
    name: String,
    id: Uuid,
    parent: Option<&'a Snapshot>,
    kind: Option<&'a VolumeType>,
    size: u64,
    placement: &'a Placement,
    limits: Limits,
    stamp: &'a Stamp,
    attributes: &'a Attributes,
}

fn objects_in(size: u64) -> u64 {
    size.div_ceil(OBJECT)
}

impl Summary {
    fn of(p: Parts<'_>) -> Summary {
        // A template that was made elsewhere may have a name that the bindings refuse.
        let kind = p.kind.filter(|t| names::is_template_name(&t.name));
        Summary {
            name: p.name,
            id: p.stamp.seq,
            global_id: global_id(p.id),
            parent_name: p.parent.map(snapshot_name).unwrap_or_default(),
            parent_volume_id: p.parent.map_or(0, |s| s.stamp.seq),
            template_name: kind.map(|t| t.name.clone()).unwrap_or_default(),
            template_id: kind.map(|t| t.stamp.seq),
            size: p.size,
            replication: p.placement.replication,
            place_all: p.placement.all.clone(),
            place_tail: p.placement.tail.clone(),
            place_head: p.placement.all.clone(),
            limits: LimitsDoc::of(p.limits),
            visible_volume_id: p.stamp.seq,
            objects_count: objects_in(p.size),
            creation_timestamp: p.stamp.created.as_second(),
            flags: 0,
            tags: p.attributes.value(ATTRIBUTES, TAGS).cloned(),
        }
    }
}

/// The name of a snapshot; one that is being deleted is marked.
pub fn snapshot_name(s: &Snapshot) -> String {
    let mark = if s.life == Life::Deleting { "*" } else { "" };
    format!("{mark}{}", s.shown_in(Api::StorPool))
}

/// A volume.
pub fn volume(v: &volumes::View) -> Summary {
    Summary::of(Parts {
        name: v.volume.shown_in(Api::StorPool),
        id: v.volume.id.0,
        parent: v.parent.as_ref(),
        kind: v.volume_type.as_ref(),
        size: v.volume.size,
        placement: &v.volume.placement,
        limits: v.volume.limits,
        stamp: &v.volume.stamp,
        attributes: &v.volume.attributes,
    })
}

/// A snapshot.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotDoc {
    #[serde(flatten)]
    summary: Summary,
    on_volume: String,
    auto_name: bool,
    bound: bool,
    deleted: bool,
    transient: bool,
    recovering_from_remote: bool,
}

/// A snapshot.
pub fn snapshot(s: &snapshots::View) -> SnapshotDoc {
    let row = &s.snapshot;
    let summary = Summary::of(Parts {
        name: snapshot_name(row),
        id: row.id.0,
        parent: s.parent.as_ref(),
        kind: s.volume_type.as_ref(),
        size: row.size,
        placement: &row.placement,
        limits: row.limits,
        stamp: &row.stamp,
        attributes: &row.attributes,
    });
    let on = s.origin.as_ref().filter(|v| v.life != Life::Deleting);
    SnapshotDoc {
        summary,
        on_volume: on.map_or(NONE.to_string(), |v| v.shown_in(Api::StorPool)),
        auto_name: row.auto_named,
        bound: row.bound,
        deleted: row.life == Life::Deleting,
        transient: row.transient,
        recovering_from_remote: false,
    }
}

/// A document of a volume or snapshot with the bytes that can be read in it and those that its deletion frees.
pub fn with_space(doc: impl Serialize, (stored, freed): (u64, u64)) -> Result<Value, Condition> {
    let mut doc = serde_json::to_value(doc).map_err(Condition::internal)?;
    if let Some(doc) = doc.as_object_mut() {
        doc.insert("storedSize".into(), json!(stored));
        doc.insert("spaceUsed".into(), json!(freed));
    }
    Ok(doc)
}

/// The attachments of one volume or snapshot, with their order of creation. Those that are only announced
/// or are being taken away are not there for clients, and hosts without a number have no place in this
/// list.
pub fn attachments(
    name: &str,
    id: Uuid,
    snapshot: bool,
    all: &[volumes::Attached],
) -> impl Iterator<Item = (i64, Value)> {
    all.iter().filter_map(move |held| {
        let a = &held.attachment;
        let there = matches!(a.state, AttachState::Attaching | AttachState::Attached);
        let client = held.host.as_ref().and_then(names::client_of_host).filter(|_| there)?;
        let rights = match a.rights {
            Rights::ReadOnly => "ro",
            Rights::ReadWrite => "rw",
        };
        let doc = json!({
            "volume": name, "snapshot": snapshot, "client": client, "rights": rights,
            "pos": a.slot.unwrap_or(0), "globalId": global_id(id),
        });
        Some((a.stamp.seq, doc))
    })
}
