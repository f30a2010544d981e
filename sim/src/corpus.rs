//! Real structures of the format as seeds for fuzzing: what one short life leaves on a disk.

use std::path::Path;

use parpen_engine::{Layout, Sound};

use crate::model::{Change, Id};
use crate::profile::Profile;
use crate::trace::Trace;
use crate::world::{Failure, World};

/// Bytes of the header's magic, and where type and length stand in it.
const MAGIC: &[u8] = b"PARP";
const TYPE_AT: usize = 4;
const LEN_AT: usize = 8;

/// The fuzz target for a structure of this type number.
fn target(kind: u8) -> &'static str {
    match kind {
        1 => "superblock",
        2 => "record",
        _ => "checkpoint",
    }
}

/// Lives a short life and gives `(target, bytes)` of every structure that it left on the disk.
pub fn structures() -> Result<Vec<(&'static str, Vec<u8>)>, Failure> {
    let mut world = World::<Sound>::new(1, Profile::CrashAtomic, Trace::new(false));
    // The targets know the objects of the product, and those alone.
    let object_blocks = Layout::product(1 << 40).object_blocks;
    world.format(Layout { object_blocks, ..Layout::tiny() })?;
    world.recover()?;
    let (volume, snapshot, clone): (Id, Id, Id) = (world.fresh_id(), world.fresh_id(), world.fresh_id());
    let size = 20 * parpen_engine::BLOCK;
    for change in [Change::Create { id: volume, size }, Change::Snapshot(vec![(volume, snapshot)])] {
        let stamps = world.fresh_stamps(40);
        world.change(change);
        world.drain()?;
        world.write(volume, 8, &stamps);
        world.drain()?;
    }
    world.change(Change::Clone { from: snapshot, id: clone, size });
    world.drain()?;
    world.close_now()?;
    let stamps = world.fresh_stamps(16);
    world.write(clone, 0, &stamps);
    world.drain()?;
    world.zero(volume, 0, 32);
    world.drain()?;
    world.change(Change::Relabel { id: clone, version: 1 });
    world.drain()?;
    let pages: Vec<_> =
        (0..Profile::CrashAtomic.pages() as usize).map(|page| world.disk.peek(page)).collect();
    Ok((0..pages.len()).filter_map(|at| structure(&pages[at..])).collect())
}

/// The structure that begins with the first of these pages. Only log records surely go on in the next pages.
fn structure(pages: &[Vec<u8>]) -> Option<(&'static str, Vec<u8>)> {
    let first = pages.first().filter(|page| page.starts_with(MAGIC))?;
    let len = u32::from_le_bytes(first[LEN_AT..LEN_AT + 4].try_into().ok()?) as usize;
    let target = target(first[TYPE_AT]);
    if len > first.len() && target != "record" {
        return None;
    }
    let mut bytes = pages[..len.div_ceil(first.len()).min(pages.len())].concat();
    bytes.truncate(len);
    Some((target, bytes))
}

/// Writes each structure to a file in `folder/<target>/`.
pub fn write(folder: &Path) -> Result<(), Failure> {
    let io = |e: std::io::Error| format!("{}: {e}", folder.display());
    for (i, (target, bytes)) in structures()?.into_iter().enumerate() {
        let folder = folder.join(target);
        std::fs::create_dir_all(&folder).map_err(io)?;
        std::fs::write(folder.join(format!("{i:02}")), bytes).map_err(io)?;
    }
    Ok(())
}
