//! What differs between two volumes or snapshots, object by object on a disk that has both.

use parpen_base::ByteRange;
use parpen_engine::sync::yield_now;
use parpen_engine::{Change, Disk, EngineError, Extent, Rules};
use uuid::Uuid;

use crate::Array;

const OUTSIDE: EngineError = EngineError::Invalid("the range is not within the volume");
/// Objects that one call looks at, at most.
const OBJECTS: usize = 1024;

/// Adds a piece, neighbours of one kind as one.
fn push(out: &mut Vec<Change>, piece: Change) {
    match out.last_mut() {
        _ if piece.len == 0 => {}
        Some(last) if (last.changed, last.zero) == (piece.changed, piece.zero) => last.len += piece.len,
        _ => out.push(piece),
    }
}

impl<D: Disk, R: Rules> Array<D, R> {
    /// What of `b` differs from `a` (`None`: from nothing), from `offset` on. It may look at less than `len`; the
    /// caller goes on where the pieces end.
    pub async fn diff(
        &self,
        a: Option<Uuid>,
        b: Uuid,
        offset: u64,
        len: u64,
    ) -> Result<Vec<Change>, EngineError> {
        if let Some(engine) = self.sole() {
            return engine.diff(a, b, offset, len).await;
        }
        let tree = self.identify(b)?.tree;
        let from = a.map(|a| self.identify(a).map(|named| (a, named))).transpose()?;
        let range = ByteRange::within(offset, len, self.identify(b)?.bytes).map_err(|_| OUTSIDE)?;
        let mut out = Vec::new();
        for (n, (index, piece)) in range.split(self.object_bytes).take(OBJECTS).enumerate() {
            let _inside = self.holds.enter();
            match from {
                Some((a, named)) if named.tree != tree => {
                    let end = piece.end().min(named.bytes.max(piece.start()));
                    let theirs = self.extents(a, piece.start(), end - piece.start())?;
                    let ours = self.extents(b, piece.start(), piece.len())?;
                    compare(&theirs, &ours, &mut out);
                }
                _ => {
                    let f = (tree, index);
                    let reader = self.readers(f).into_iter().next().ok_or_else(|| self.unreachable(f))?;
                    let pieces = reader.engine.diff(a, b, piece.start(), piece.len()).await?;
                    pieces.into_iter().for_each(|p| push(&mut out, p));
                }
            }
            if n % 64 == 63 {
                yield_now().await;
            }
        }
        Ok(out)
    }
}

/// Trees share nothing: whatever either has stored differs. What lies behind the end of `theirs` is nothing.
fn compare(theirs: &[Extent], ours: &[Extent], out: &mut Vec<Change>) {
    let mut left = theirs.iter().copied();
    let mut before = left.next();
    for e in ours {
        let mut len = e.len;
        while len > 0 {
            let (n, stored) = match &mut before {
                Some(b) if b.len > 0 => {
                    let n = b.len.min(len);
                    b.len -= n;
                    (n, !b.zero)
                }
                Some(_) => {
                    before = left.next();
                    continue;
                }
                None => (len, false),
            };
            push(out, Change { len: n, changed: stored || !e.zero, zero: e.zero });
            len -= n;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_that_share_nothing_differ_where_either_has_data() {
        let e = |len, zero| Extent { len, zero };
        let mut out = Vec::new();
        compare(&[e(4, true), e(4, false)], &[e(2, true), e(4, false), e(6, true)], &mut out);
        let c = |len, changed, zero| Change { len, changed, zero };
        assert_eq!(out, [c(2, false, true), c(4, true, false), c(2, true, true), c(4, false, true)]);
    }
}
