//! What the array tells of objects, in the core's words.

use parpen_array as array;
use parpen_model::{CopyState, Due, HeldObject, Keeping, StoredObject, Survey, Whereabouts};

/// How everything is kept.
pub fn survey(s: array::Survey) -> Survey {
    Survey {
        all: s.all.into_iter().map(|(id, k)| (id, keeping(k))).collect(),
        due: s.due.into_iter().map(|(disk, d)| (disk, due(d))).collect(),
    }
}

fn keeping(k: array::Keeping) -> Keeping {
    Keeping {
        tree: k.tree,
        stored: k.stored,
        on_disk: k.on_disk,
        due: k.due,
        planned: k.planned,
        short: k.short,
        behind: k.behind,
        behind_bytes: k.behind_bytes,
        soon: k.soon,
        away: k.away,
        lost: k.lost,
        unreachable_bytes: k.unreachable_bytes,
        needed: k.needed,
        missing: k.missing,
        missing_targets: k.missing_targets,
        leaving: k.leaving,
    }
}

fn due(d: array::Due) -> Due {
    Due { gets: d.gets, bytes_in: d.bytes_in, gives: d.gives, bytes_out: d.bytes_out }
}

/// Where the objects of one volume or snapshot are.
pub fn whereabouts(w: array::Whereabouts) -> Whereabouts {
    let disks = |t: &array::Tuple| t.disks().to_vec();
    let object = |o: &array::Object| StoredObject {
        disks: disks(&o.at),
        stored: o.stored,
        own: o.own,
        due: disks(&o.due),
        planned: disks(&o.planned),
    };
    Whereabouts { sets: w.sets.iter().map(disks).collect(), objects: w.objects.iter().map(object).collect() }
}

/// What a disk has.
pub fn held(h: array::Held) -> HeldObject {
    let copy = match h.copy {
        array::Copy::Good => CopyState::Good,
        array::Copy::Behind => CopyState::Behind,
        array::Copy::Unknown => CopyState::Unknown,
        array::Copy::Coming => CopyState::Coming,
        array::Copy::Stray => CopyState::Stray,
    };
    HeldObject { of: h.of, at: h.at, bytes: h.bytes, version: h.version, generation: h.generation, copy }
}
