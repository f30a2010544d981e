//! Reading: from the tail or the least busy disk that has the newest; what is damaged there is read from another
//! and healed at once.

use parpen_base::{Buf, ByteRange};
use parpen_engine::sync::join_all;
use parpen_engine::{BLOCK, BlockMark, Disk, EngineError, Extent, Rules};
use uuid::Uuid;

use crate::Array;
use crate::array::{Target, Targets};
use crate::place::Family;

const OUTSIDE: EngineError = EngineError::Invalid("the range is not within the volume");
/// Reads in flight by which the tail may be busier than another disk and is still preferred.
const PREFER_TAIL: u32 = 4;

/// Counts a read of a disk while it is in flight.
struct Busy<'a, D: Disk, R: Rules>(&'a crate::member::Member<D, R>);

impl<'a, D: Disk, R: Rules> Busy<'a, D, R> {
    fn new(member: &'a crate::member::Member<D, R>) -> Self {
        member.busy.set(member.busy.get() + 1);
        Busy(member)
    }
}

impl<D: Disk, R: Rules> Drop for Busy<'_, D, R> {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
    }
}

impl<D: Disk, R: Rules> Array<D, R> {
    /// Fills `buf` from `offset` of a volume or snapshot; `Ok(true)` when nothing but unmapped zeros was
    /// there.
    pub async fn read(&self, id: Uuid, offset: u64, buf: Buf) -> (Result<bool, EngineError>, Buf) {
        let _inside = self.holds.enter();
        if let Some(engine) = self.sole() {
            return engine.read(id, offset, buf).await;
        }
        let named = match self.identify(id) {
            Ok(named) => named,
            Err(e) => return (Err(e), buf),
        };
        let Ok(range) = ByteRange::within(offset, buf.len() as u64, named.bytes) else {
            return (Err(OUTSIDE), buf);
        };
        if range.is_empty() {
            return (Ok(true), buf);
        }
        let first = offset / self.object_bytes;
        if (range.end() - 1) / self.object_bytes == first {
            return self.read_piece(id, (named.tree, first), offset, buf).await;
        }
        self.read_pieces(id, named.tree, range, buf).await
    }

    async fn read_pieces(
        &self,
        id: Uuid,
        tree: u64,
        range: ByteRange,
        mut buf: Buf,
    ) -> (Result<bool, EngineError>, Buf) {
        let pieces: Vec<(u64, ByteRange)> = range.split(self.object_bytes).collect();
        let reads = pieces.iter().map(|(index, piece)| {
            self.read_piece(id, (tree, *index), piece.start(), Buf::zeroed(piece.len() as usize))
        });
        let mut zero = true;
        for ((result, part), (_, piece)) in join_all(reads.collect()).await.into_iter().zip(&pieces) {
            match result {
                Ok(z) => zero &= z,
                Err(e) => return (Err(e), buf),
            }
            let from = (piece.start() - range.start()) as usize;
            buf[from..from + part.len()].copy_from_slice(&part);
        }
        (Ok(zero), buf)
    }

    /// Disks to read a family from, the best first.
    pub(crate) fn readers(&self, f: Family) -> Targets<D, R> {
        let mut all = self.targets(f);
        all.retain(|t| t.clean || (!R::READ_ONLY_CLEAN && self.table.borrow().place(f).has(t.member.number)));
        let tail = self.table.borrow().place(f).disks().last().copied();
        let cost = |t: &Target<D, R>| {
            let busy = t.member.busy.get();
            if Some(t.member.number) == tail { busy.saturating_sub(PREFER_TAIL) } else { busy + 1 }
        };
        all.sort_by_key(cost);
        all
    }

    async fn read_piece(
        &self,
        id: Uuid,
        f: Family,
        offset: u64,
        mut buf: Buf,
    ) -> (Result<bool, EngineError>, Buf) {
        let readers = self.readers(f);
        let mut bad: Vec<Target<D, R>> = Vec::new();
        let mut failure = None;
        for t in readers {
            let result;
            {
                let _busy = Busy::new(&t.member);
                (result, buf) = t.engine.read(id, offset, buf).await;
            }
            match result {
                Ok(zero) => {
                    for bad in &bad {
                        self.heal_range(id, f, &bad.member, offset, buf.len() as u64).await;
                    }
                    return (Ok(zero), buf);
                }
                Err(e @ (EngineError::DataLost | EngineError::Io)) => {
                    failure = Some(e);
                    bad.push(t);
                }
                Err(EngineError::Fenced | EngineError::Closed) => self.notice(&t.member),
                Err(e) => return (Err(e), buf),
            }
        }
        if bad.is_empty() {
            return (Err(failure.unwrap_or_else(|| self.unreachable(f))), buf);
        }
        // Each may be damaged at another place, and one that is behind may still have the block.
        for t in &bad {
            self.heal_range(id, f, &t.member, offset, buf.len() as u64).await;
            let (result, back) = t.engine.read(id, offset, buf).await;
            buf = back;
            match result {
                Ok(zero) => return (Ok(zero), buf),
                Err(e) => failure = Some(e),
            }
        }
        let e = match failure {
            // A disk that is only away may have it.
            Some(EngineError::DataLost) if self.is_short(f) => EngineError::Io,
            Some(EngineError::Fenced | EngineError::Closed) | None => EngineError::Io,
            Some(e) => e,
        };
        (Err(e), buf)
    }

    /// Whether a disk of a family is away and may come back.
    fn is_short(&self, f: Family) -> bool {
        let tuple = self.table.borrow().place(f);
        let away = |n: &u16| {
            let forgotten =
                |m: &crate::member::Member<D, R>| m.standing.get() == crate::member::Standing::Forgotten;
            self.member(*n).is_some_and(|m| m.live().is_none() && !forgotten(&m))
        };
        tuple.disks().iter().any(away)
    }

    /// Writes damaged blocks of a range anew on a disk, each from any disk that still has it.
    async fn heal_range(
        &self,
        id: Uuid,
        f: Family,
        member: &crate::member::Member<D, R>,
        offset: u64,
        len: u64,
    ) {
        let (first, last) = (offset / BLOCK, (offset + len - 1) / BLOCK);
        let _lock = self.holds.ranges.lock(id, first, last).await;
        let Ok(named) = self.identify(id) else { return };
        let start = first - f.1 * self.object_blocks();
        for block in start..=start + (last - first) {
            self.heal_block(f, named.lineage, block as u32, member).await;
        }
    }

    /// Reads a block of a lineage on a disk and heals it if it is damaged; says whether it is good now. The
    /// caller keeps writes of it out.
    pub(crate) async fn heal_block(
        &self,
        f: Family,
        lineage: u64,
        block: u32,
        member: &crate::member::Member<D, R>,
    ) -> bool {
        let Some(engine) = member.live() else { return false };
        let (result, _) = engine.read_version(lineage, f.1, block, Buf::zeroed(BLOCK as usize)).await;
        match result {
            Ok(_) => return true,
            Err(EngineError::DataLost | EngineError::Io) => {}
            Err(_) => {
                self.notice(member);
                return false;
            }
        }
        member.count(|c| c.bad += 1);
        let mark = engine.marks(lineage, f.1, block, 1).await.map(|m| m.first().copied());
        let Ok(Some(Some(mark))) = mark else { return false };
        let Some(good) = self.good_block(f, lineage, block, mark, member.number).await else {
            member.count(|c| c.lost += 1);
            tracing::error!(
                disk = member.number,
                lineage,
                object = f.1,
                block,
                "a block is damaged and lost"
            );
            return false;
        };
        match engine.heal(lineage, f.1, block, good).await {
            Ok(false) => true,
            Ok(true) => {
                member.count(|c| c.healed += 1);
                tracing::warn!(disk = member.number, lineage, object = f.1, block, "a block was healed");
                true
            }
            Err(error) => {
                self.notice(member);
                tracing::warn!(disk = member.number, %error, "a damaged block could not be written anew");
                false
            }
        }
    }

    /// A block with this mark from any disk: what a mark names has the same bytes everywhere, also on a disk
    /// that is behind.
    pub(crate) async fn good_block(
        &self,
        f: Family,
        lineage: u64,
        block: u32,
        mark: BlockMark,
        except: u16,
    ) -> Option<Buf> {
        for t in self.live().into_iter().filter(|t| t.member.number != except) {
            let theirs = t.engine.marks(lineage, f.1, block, 1).await;
            let theirs = theirs.ok().and_then(|m| m.first().copied().flatten());
            if theirs != Some(mark) && (R::HEAL_FROM_VERIFIED || theirs.is_none()) {
                continue;
            }
            let (result, buf) = t.engine.read_version(lineage, f.1, block, Buf::zeroed(BLOCK as usize)).await;
            if result.is_ok() {
                return Some(buf);
            }
            self.notice(&t.member);
        }
        None
    }

    /// The map of a range, from `offset` on; the pieces add up to `len`.
    pub async fn extents(&self, id: Uuid, offset: u64, len: u64) -> Result<Vec<Extent>, EngineError> {
        if let Some(engine) = self.sole() {
            return engine.extents(id, offset, len).await;
        }
        let named = self.identify(id)?;
        let range = ByteRange::within(offset, len, named.bytes).map_err(|_| OUTSIDE)?;
        let mut out: Vec<Extent> = Vec::new();
        for (index, piece) in range.split(self.object_bytes) {
            let f = (named.tree, index);
            let Some(t) = self.readers(f).into_iter().next() else { return Err(self.unreachable(f)) };
            for e in t.engine.extents(id, piece.start(), piece.len()).await? {
                match out.last_mut() {
                    Some(last) if last.zero == e.zero => last.len += e.len,
                    _ => out.push(e),
                }
            }
        }
        Ok(out)
    }
}
