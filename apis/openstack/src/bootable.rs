//! What machines start from: a volume that says so, and the image that it began as, which copies tell of, too.

use parpen_model::{Attributes, Backup, Snapshot, Volume};
use serde_json::{Value, json};

use crate::from_wire::{IMAGE, OWN};

/// Whether machines may start from the volume.
pub(crate) fn is_bootable(attributes: &Attributes) -> bool {
    attributes.value(OWN, "bootable").and_then(Value::as_bool).unwrap_or(false)
}

/// Says whether machines may.
pub(crate) fn set(attributes: &mut Attributes, bootable: bool) {
    attributes.entry(OWN).insert("bootable".into(), json!(bootable));
}

/// A copy of what machines start from is started from, too, and tells of the same image.
fn hand_on(starts: bool, from: &Attributes, copy: &mut Attributes) {
    if starts {
        set(copy, true);
        copy.set(IMAGE, from.get(IMAGE).cloned().unwrap_or_default());
    }
}

/// To a copy of a volume.
pub(crate) fn from_volume(v: &Volume, copy: &mut Attributes) {
    hand_on(is_bootable(&v.attributes), &v.attributes, copy);
}

/// To a volume that is made from a snapshot. Whether machines start from that is its volume's to say while it is there.
pub(crate) fn from_snapshot(s: &Snapshot, origin: Option<&Volume>, copy: &mut Attributes) {
    let by_image = || s.attributes.get(IMAGE).is_some();
    hand_on(origin.map_or_else(by_image, |v| is_bootable(&v.attributes)), &s.attributes, copy);
}

/// To a member of a group's copy: of a snapshot that somebody took, or of one that stands in for its volume.
pub(crate) fn from_member(s: &Snapshot, origin: Option<&Volume>, copy: &mut Attributes) {
    match origin {
        Some(v) if s.transient => from_volume(v, copy),
        _ => from_snapshot(s, origin, copy),
    }
}

/// To a snapshot: what is made from it later has the image of now, whatever becomes of the volume.
pub(crate) fn to_snapshot(v: &Volume, snapshot: &mut Attributes) {
    snapshot.set(IMAGE, v.attributes.get(IMAGE).cloned().unwrap_or_default());
}

/// To a volume that a backup is restored to, where the one that was backed up had an image.
pub(crate) fn from_backup(b: &Backup, restored: &mut Attributes) {
    hand_on(b.described.get(IMAGE).is_some(), &b.described, restored);
}
