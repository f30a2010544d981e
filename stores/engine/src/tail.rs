//! The un-acknowledged tail of the log: of operations that wrote data, recovery believes only what is there.

use crate::record::{FillPiece, Filling, Mapping, Op, Piece, SKIP, Source};
use crate::recover::verify;
use crate::superblock::Superblock;
use crate::{Disk, OpenError, Rules};

/// Replaces by nothing what an operation says to stand on the disk and what does not.
pub(crate) async fn verify_op<D: Disk, R: Rules>(
    disk: &D,
    sb: &Superblock,
    op: &mut Op,
) -> Result<(), OpenError> {
    match op {
        Op::Map(m) | Op::Copy(m) => verify::<D, R>(disk, sb, m).await,
        Op::Fill(f) | Op::Move(f) => verify_filling::<D, R>(disk, sb, f).await,
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
                let pieces = vec![Piece { phys, len: p.len }];
                let (lineage, index, generation, crcs) = (f.lineage, f.index, 0, these.to_vec());
                let mut m = Mapping { lineage, origin, index, generation, start, pieces, crcs };
                verify::<D, R>(disk, sb, &mut m).await?;
                for (found, crc) in m.pieces.iter().zip(these) {
                    let there = Source::Data { phys: found.phys, origin };
                    let source = if found.phys == SKIP { Source::Keep } else { there };
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
