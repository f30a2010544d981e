//! The un-acknowledged tail of the log: of operations that wrote data, recovery believes only what is there.

use parpen_base::Buf;
use smallvec::smallvec;

use crate::blob::DEPTH;
use crate::engine::block_checksum;
use crate::layout::BLOCK;
use crate::record::{FillPiece, Filling, Mapping, Op, Piece, Pieces, SKIP, Source};
use crate::superblock::Superblock;
use crate::sync::join_all;
use crate::{Disk, DiskError, OpenError, Rules};

/// Largest read of the verification, in blocks.
const VERIFY_BLOCKS: u32 = 256;
/// Times that a block of the tail is read before its fate is decided without it.
const VERIFY_TRIES: u32 = 3;

/// Replaces by nothing what an operation says to stand on the disk and what does not.
pub(crate) async fn verify_op<D: Disk, R: Rules>(
    disk: &D,
    sb: &Superblock,
    op: &mut Op,
) -> Result<(), OpenError> {
    match op {
        Op::Map(m) | Op::Copy(m) => verify::<D, R>(disk, sb, m).await,
        Op::Fill(f) | Op::Move(f) if R::VERIFY_FILL => verify_filling::<D, R>(disk, sb, f).await,
        _ => Ok(()),
    }
}

async fn verify_filling<D: Disk, R: Rules>(
    disk: &D,
    sb: &Superblock,
    f: &mut Filling,
) -> Result<(), OpenError> {
    let mut out = Filling { pieces: Vec::new(), crcs: Vec::new(), ..f.clone() };
    let mut start = f.start;
    let mut crcs = f.crcs.as_slice();
    for p in &f.pieces {
        let marked = if p.source.is_marked() { p.len as usize } else { 0 };
        let these = crcs.split_off(..marked).ok_or(OpenError::Damaged { what: "the log" })?;
        match p.source {
            Source::Data { phys, origin } => {
                let pieces = smallvec![Piece { phys, len: p.len }];
                let (lineage, index, generation, crcs) = (f.lineage, f.index, 0, these.into());
                let mut m = Mapping { lineage, origin, index, generation, start, pieces, crcs };
                verify::<D, R>(disk, sb, &mut m).await?;
                for (found, crc) in m.pieces.iter().zip(these) {
                    let there = Source::Data { phys: found.phys, origin };
                    let source = if found.phys == SKIP { Source::Doubted } else { there };
                    out.pieces.push(FillPiece { source, len: 1 });
                    out.crcs.extend((found.phys != SKIP).then_some(*crc));
                }
            }
            _ => {
                out.pieces.push(*p);
                out.crcs.extend(these);
            }
        }
        start = start.saturating_add(p.len);
    }
    *f = out;
    Ok(())
}

/// Replaces by skips what is not on the disk as the log says. A block that cannot be read at all keeps its
/// new mapping: nobody can say that it was not written, and reading it says that it is lost.
async fn verify<D: Disk, R: Rules>(disk: &D, sb: &Superblock, m: &mut Mapping) -> Result<(), OpenError> {
    let object_blocks = u64::from(sb.layout.object_blocks);
    let disk_blocks = sb.disk_bytes / BLOCK;
    let base = m.index.saturating_mul(object_blocks).saturating_add(u64::from(m.start));
    let mut parts: Vec<(u64, Piece)> = Vec::new();
    let mut at = 0;
    for piece in &m.pieces {
        let step = if piece.phys == 0 { piece.len } else { VERIFY_BLOCKS };
        for from in (0..piece.len).step_by(step as usize) {
            let len = step.min(piece.len - from);
            let phys = if piece.phys == 0 { 0 } else { piece.phys.saturating_add(u64::from(from)) };
            parts.push((at + u64::from(from), Piece { phys, len }));
        }
        at += u64::from(piece.len);
    }
    let within = |p: &Piece| p.phys.checked_add(u64::from(p.len)).is_some_and(|end| end <= disk_blocks);
    if !parts.iter().all(|(_, p)| within(p)) {
        return Err(OpenError::Damaged { what: "the log (a block beyond the disk)" });
    }
    let mut pieces = Pieces::new();
    let mut crcs = m.crcs.iter();
    for chunk in parts.chunks(DEPTH) {
        let reads = chunk.iter().map(|(_, p)| read_piece(disk, *p)).collect();
        for ((at, piece), read) in chunk.iter().zip(join_all(reads).await) {
            if piece.phys == 0 {
                pieces.push(*piece);
                continue;
            }
            for i in 0..u64::from(piece.len) {
                let crc = crcs.next().ok_or(OpenError::Damaged { what: "the log" })?;
                let data = &read.0[(i * BLOCK) as usize..((i + 1) * BLOCK) as usize];
                let there = read.1.contains(&i)
                    || block_checksum::<R>(sb.id.store, m.origin, object_blocks, base + at + i, data) == *crc;
                pieces.push(Piece { phys: if there { piece.phys + i } else { SKIP }, len: 1 });
            }
        }
    }
    m.pieces = pieces;
    Ok(())
}

/// The bytes of a piece, and which of its blocks cannot be read at all. Of what fails as a whole each block is tried
/// alone: one that is bad must not speak for its neighbours.
async fn read_piece<D: Disk>(disk: &D, piece: Piece) -> (Buf, Vec<u64>) {
    let mut lost = Vec::new();
    if piece.phys == 0 {
        return (Buf::zeroed(0), lost);
    }
    let whole = Buf::zeroed(piece.len as usize * BLOCK as usize);
    let (result, mut bytes) = read_patiently(disk, piece.phys, whole).await;
    if result.is_err() {
        let mut block = Buf::zeroed(BLOCK as usize);
        for (i, place) in (0..).zip(bytes.chunks_exact_mut(BLOCK as usize)) {
            let result;
            (result, block) = read_patiently(disk, piece.phys + i, block).await;
            match result {
                Ok(()) => place.copy_from_slice(&block),
                Err(_) => lost.push(i),
            }
        }
    }
    (bytes, lost)
}

async fn read_patiently<D: Disk>(disk: &D, phys: u64, mut buf: Buf) -> (Result<(), DiskError>, Buf) {
    for _ in 1..VERIFY_TRIES {
        let result;
        (result, buf) = disk.read(phys * BLOCK, buf).await;
        if result.is_ok() {
            return (Ok(()), buf);
        }
    }
    disk.read(phys * BLOCK, buf).await
}

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
