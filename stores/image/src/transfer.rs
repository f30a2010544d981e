//! Between an image's disk and a volume.
//!
//! Whoever has the bytes as a stream gives them by [`put`] and [`finish`], or takes them by [`window`].

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use parpen_base::Buf;
use parpen_block::{Progress, Remote};
use parpen_model::Condition;

use crate::disk::{Disk, Format, ReadAt, unreadable};
use crate::files::off;
use crate::qcow2::Writer;

/// Bytes that are moved together.
pub const WINDOW: u64 = 4 << 20;
/// Zeros are looked for in pieces of this size.
const GRAIN: usize = 64 << 10;

/// Writes the disk into a device; what the device has beyond it reads as zeros afterwards.
pub async fn load<R: ReadAt + 'static>(
    mut disk: Disk<R>,
    to: &Remote,
    blank: bool,
    progress: &dyn Progress,
) -> Result<(), Condition> {
    let (size, room) = (disk.size(), to.geometry().size);
    if size > room {
        return Err(Condition::invalid("size", "the volume is smaller than the image's disk"));
    }
    for at in (0..size).step_by(WINDOW as usize) {
        let len = (size - at).min(WINDOW) as usize;
        let (back, bytes) = off(move || {
            let mut bytes = vec![0; len];
            disk.read(at, &mut bytes)?;
            Ok((disk, bytes))
        })
        .await?;
        disk = back;
        put(to, blank, at, &bytes).await?;
        progress.moved(at + len as u64);
    }
    finish(to, blank, size).await?;
    progress.durable(size);
    Ok(())
}

/// Writes a part of a disk into a device; zeros take no room.
pub async fn put(to: &Remote, blank: bool, at: u64, bytes: &[u8]) -> Result<(), Condition> {
    for (offset, n, zero) in runs(bytes) {
        let here = at + offset as u64;
        match (zero, blank) {
            (true, true) => {}
            (true, false) => to.clear(here, n as u32).await?,
            (false, _) => write(to, here, &bytes[offset..offset + n]).await?,
        }
    }
    Ok(())
}

/// Ends a disk of `size` bytes in a device: what lies beyond it reads as zeros, and all of it is durable.
pub async fn finish(to: &Remote, blank: bool, size: u64) -> Result<(), Condition> {
    let room = to.geometry().size;
    if !blank {
        for at in (size..room).step_by(1 << 30) {
            to.clear(at, (room - at).min(1 << 30) as u32).await?;
        }
    }
    to.flush().await?;
    Ok(())
}

/// Whether a device reads as zeros everywhere, as far as it can tell.
pub async fn is_blank(device: &Remote) -> Result<bool, Condition> {
    if !device.capabilities().extents {
        return Ok(false);
    }
    let size = device.geometry().size;
    let mut at = 0;
    while at < size {
        let map = device.extents(at, (size - at).min(1 << 30) as u32).await?;
        if map.iter().any(|e| !e.zero) {
            return Ok(false);
        }
        match map.iter().map(|e| e.len).sum::<u64>() {
            0 => return Ok(false),
            n => at += n,
        }
    }
    Ok(true)
}

/// Some bytes of a device, zeros and all.
pub async fn window(from: &Remote, at: u64, len: u64) -> Result<Vec<u8>, Condition> {
    let mut bytes = vec![0; len as usize];
    for (start, buf) in read(from, at, len).await? {
        let here = (start - at) as usize;
        bytes[here..here + buf.len()].copy_from_slice(&buf);
    }
    Ok(bytes)
}

async fn write(to: &Remote, at: u64, bytes: &[u8]) -> Result<(), Condition> {
    let mut at = at;
    // A disk may end within a sector; the device has the rest of it.
    for piece in bytes.chunks((to.geometry().maximum as usize).clamp(1, 1 << 20)) {
        to.write(at, Buf::copy_of(piece), false).await?;
        at += piece.len() as u64;
    }
    Ok(())
}

/// `(offset, length, zero)`, neighbours of one kind joined.
fn runs(bytes: &[u8]) -> Vec<(usize, usize, bool)> {
    let mut all: Vec<(usize, usize, bool)> = Vec::new();
    let mut at = 0;
    for grain in bytes.chunks(GRAIN) {
        let zero = grain.iter().all(|b| *b == 0);
        match all.last_mut() {
            Some((_, n, kind)) if *kind == zero => *n += grain.len(),
            _ => all.push((at, grain.len(), zero)),
        }
        at += grain.len();
    }
    all
}

/// An image's file that is being made of a device.
enum Sink {
    Raw(File),
    Qcow2(Box<Writer<File>>),
}

impl Sink {
    fn put(&mut self, at: u64, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Sink::Raw(file) => {
                file.seek(SeekFrom::Start(at))?;
                file.write_all(bytes)
            }
            Sink::Qcow2(writer) => writer.put(at / Writer::<File>::CLUSTER, bytes),
        }
    }

    fn finish(self, size: u64) -> std::io::Result<()> {
        let file = match self {
            Sink::Raw(file) => {
                file.set_len(size)?;
                file
            }
            Sink::Qcow2(writer) => writer.finish()?,
        };
        file.sync_all()
    }
}

/// Writes a device's bytes into an image's file; zeros take no room.
pub async fn save(
    file: File,
    format: Format,
    from: &Remote,
    progress: &dyn Progress,
) -> Result<(), Condition> {
    let size = from.geometry().size;
    let mut sink = match format {
        Format::Raw => Sink::Raw(file),
        Format::Qcow2 => Sink::Qcow2(Box::new(Writer::new(file, size).map_err(unreadable)?)),
    };
    for at in (0..size).step_by(WINDOW as usize) {
        let len = (size - at).min(WINDOW);
        let pieces = read(from, at, len).await?;
        sink = off(move || {
            for (at, buf) in &pieces {
                for (i, grain) in buf.chunks(GRAIN).enumerate().filter(|(_, g)| g.iter().any(|b| *b != 0)) {
                    sink.put(at + (i * GRAIN) as u64, grain).map_err(unreadable)?;
                }
            }
            Ok(sink)
        })
        .await?;
        progress.moved(at + len);
    }
    off(move || sink.finish(size).map_err(unreadable)).await
}

/// What a window holds, without what the device says is zero. Pieces begin at whole grains.
async fn read(from: &Remote, at: u64, len: u64) -> Result<Vec<(u64, Buf)>, Condition> {
    let map = match from.capabilities().extents {
        true => from.extents(at, len as u32).await?,
        false => vec![parpen_block::Extent { len, zero: false }],
    };
    let (mut wanted, mut here) = (Vec::new(), at);
    for extent in map {
        if !extent.zero {
            let grain = GRAIN as u64;
            wanted.push((here / grain * grain, ((here + extent.len).div_ceil(grain) * grain).min(at + len)));
        }
        here += extent.len;
    }
    wanted.dedup_by(|next, before: &mut (u64, u64)| {
        let touches = next.0 <= before.1;
        if touches {
            before.1 = before.1.max(next.1);
        }
        touches
    });
    let mut pieces = Vec::new();
    for (start, end) in wanted {
        for start in (start..end).step_by(1 << 20) {
            let len = (end - start).min(1 << 20) as u32;
            pieces.push((start, from.read(start, len).await?));
        }
    }
    Ok(pieces)
}
