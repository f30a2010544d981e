//! Reading a backup: into a device, or only to see that it can be read.

use parpen_base::Buf;
use parpen_block::{Progress, Remote};
use parpen_model::Condition;
use parpen_model::ports::{Archived, Place, Target};

use crate::ObjectArchive;
use crate::segment::BLOCK;
use crate::view::{View, WINDOW};

/// A stretch of the volume: its bytes, or zeros.
struct Stretch {
    at: u64,
    len: u64,
    bytes: Option<Vec<u8>>,
}

pub(crate) async fn load(
    archive: &ObjectArchive,
    place: &Place,
    to: &Target,
    progress: &dyn Progress,
) -> Result<(), Condition> {
    let manifest = archive.manifest(place).await?;
    if to.to.geometry().size < manifest.size {
        return Err(Condition::invalid("size", "the volume is smaller than the backup"));
    }
    let blocks = manifest.size.div_ceil(BLOCK);
    let mut view = View::new(archive, place, &manifest.layers);
    let mut next = Vec::new();
    for first in (0..blocks).step_by(WINDOW as usize) {
        let here = std::mem::take(&mut next);
        // The next stretches come while these are written.
        let (read, wrote) = tokio::join!(
            stretches(&mut view, manifest.size, first, WINDOW.min(blocks - first)),
            write_all(to, here)
        );
        wrote?;
        next = read?;
        progress.moved(first * BLOCK);
    }
    write_all(to, next).await?;
    to.to.flush().await?;
    progress.durable(manifest.size);
    Ok(())
}

pub(crate) async fn verify(
    archive: &ObjectArchive,
    place: &Place,
    progress: &dyn Progress,
) -> Result<Archived, Condition> {
    let manifest = archive.manifest(place).await?;
    let blocks = manifest.size.div_ceil(BLOCK);
    let mut view = View::new(archive, place, &manifest.layers);
    for first in (0..blocks).step_by(WINDOW as usize) {
        stretches(&mut view, manifest.size, first, WINDOW.min(blocks - first)).await?;
        progress.moved(((first + WINDOW) * BLOCK).min(manifest.size));
    }
    Ok(manifest.archived())
}

/// What the blocks from `first` on hold, neighbours of one kind joined.
async fn stretches(
    view: &mut View<'_>,
    size: u64,
    first: u64,
    count: u64,
) -> Result<Vec<Stretch>, Condition> {
    let slots = view.window(first, count).await?;
    let found: Vec<_> = slots.iter().flatten().copied().collect();
    let mut bytes = view.fetch(found).await?.into_iter();
    let mut all: Vec<Stretch> = Vec::new();
    for (i, slot) in slots.iter().enumerate() {
        let at = (first + i as u64) * BLOCK;
        let len = (size - at).min(BLOCK);
        let block = match slot {
            Some(_) => {
                let mut block = bytes.next().ok_or_else(|| Condition::internal("a block was not fetched"))?;
                // Where the volume ends elsewhere than it did when the block was stored.
                block.resize(len as usize, 0);
                Some(block)
            }
            None => None,
        };
        match (all.last_mut(), block) {
            (Some(Stretch { len: n, bytes: Some(before), .. }), Some(block)) => {
                before.extend_from_slice(&block);
                *n += len;
            }
            (Some(Stretch { len: n, bytes: None, .. }), None) => *n += len,
            (_, bytes) => all.push(Stretch { at, len, bytes }),
        }
    }
    Ok(all)
}

async fn write_all(to: &Target, all: Vec<Stretch>) -> Result<(), Condition> {
    for Stretch { at, len, bytes } in all {
        match bytes {
            Some(mut bytes) => {
                if let Some(cipher) = &to.cipher {
                    cipher.decrypt(at / parpen_base::SECTOR, &mut bytes);
                }
                write(&to.to, at, &bytes).await?;
            }
            None if to.blank => {}
            None => to.to.clear(at, len as u32).await?,
        }
    }
    Ok(())
}

async fn write(to: &Remote, at: u64, bytes: &[u8]) -> Result<(), Condition> {
    let limit = (to.geometry().maximum as usize).max(1);
    let mut at = at;
    for piece in bytes.chunks(limit.min(1 << 20)) {
        to.write(at, Buf::copy_of(piece), false).await?;
        at += piece.len() as u64;
    }
    Ok(())
}
