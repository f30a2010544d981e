//! Changing data: each piece of an object on every disk of its family, answered when all disks that must have it
//! do, or are durably out.

use parpen_base::{Buf, ByteRange};
use parpen_engine::sync::join_all;
use parpen_engine::{BLOCK, Disk, Engine, EngineError, Rules};
use uuid::Uuid;

use crate::Array;
use crate::array::Target;
use crate::place::{Family, REPLICAS_MAX, Tuple};
use crate::unflushed::Written;

const OUTSIDE: EngineError = EngineError::Invalid("the range is not within the volume");
/// How often a write moves families to disks with room before it gives up.
const MOVES: usize = 8;
/// How often what a refused write left on other disks is tried to be taken back.
const TRIES: usize = 4;

/// What happens to a range.
enum Change<'a> {
    Write(&'a [u8]),
    Zero,
    Discard,
}

/// A part of a change that lies in one object.
#[derive(Clone, Copy)]
struct Piece {
    family: Family,
    lineage: u64,
    offset: u64,
    len: u64,
}

/// Why a piece was not stored.
enum Trouble {
    /// This disk has no room for the family.
    Full(Family, u16),
    Other(EngineError),
}

impl From<EngineError> for Trouble {
    fn from(e: EngineError) -> Trouble {
        Trouble::Other(e)
    }
}

impl<D: Disk, R: Rules> Array<D, R> {
    /// Stores `buf` at `offset` of a volume; durable after a later [`Array::flush`].
    pub async fn write(&self, id: Uuid, offset: u64, buf: Buf) -> (Result<(), EngineError>, Buf) {
        let inside = self.holds.enter();
        if let Some(engine) = self.sole() {
            return engine.write(id, offset, buf).await;
        }
        let len = buf.len() as u64;
        let Some(t) = self.within_single(id, offset, len) else {
            drop(inside);
            let result = self.change(id, offset, len, &Change::Write(&buf)).await;
            return (result, buf);
        };
        let (result, buf) = t.engine.write(id, offset, buf).await;
        match self.after_single(&t, id, result) {
            Err(EngineError::NoSpace) => {
                drop(inside);
                let result = self.change(id, offset, len, &Change::Write(&buf)).await;
                (result, buf)
            }
            result => (result, buf),
        }
    }

    /// The range reads as zeros afterwards and its space is given back.
    pub async fn zero(&self, id: Uuid, offset: u64, len: u64) -> Result<(), EngineError> {
        let inside = self.holds.enter();
        if let Some(engine) = self.sole() {
            return engine.zero(id, offset, len).await;
        }
        if let Some(t) = self.within_single(id, offset, len) {
            let result = t.engine.zero(id, offset, len).await;
            match self.after_single(&t, id, result) {
                Err(EngineError::NoSpace) => {}
                result => return result,
            }
        }
        drop(inside);
        self.change(id, offset, len, &Change::Zero).await
    }

    /// Whole blocks within the range are given back and read as zeros afterwards; partial ones stay as they
    /// are.
    pub async fn discard(&self, id: Uuid, offset: u64, len: u64) -> Result<(), EngineError> {
        let inside = self.holds.enter();
        if let Some(engine) = self.sole() {
            return engine.discard(id, offset, len).await;
        }
        if let Some(t) = self.within_single(id, offset, len) {
            let result = t.engine.discard(id, offset, len).await;
            return self.after_single(&t, id, result);
        }
        drop(inside);
        self.change(id, offset, len, &Change::Discard).await
    }

    /// The only disk of a range within one object, if no lock of the array is needed. (The engine checks the
    /// range.)
    fn within_single(&self, id: Uuid, offset: u64, len: u64) -> Option<Target<D, R>> {
        let index = offset / self.object_bytes;
        let last = offset.checked_add(len)?.saturating_sub(1).max(offset);
        if last / self.object_bytes != index {
            return None;
        }
        let tree = self.identify(id).ok()?.tree;
        self.single((tree, index))
    }

    fn after_single(
        &self,
        t: &Target<D, R>,
        id: Uuid,
        result: Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        match result {
            Ok(()) => {
                let on = Tuple::one(t.member.number);
                self.unflushed.note(Written { on, also: None, id }, self);
            }
            Err(_) => self.notice(&t.member),
        }
        result
    }

    async fn change(&self, id: Uuid, offset: u64, len: u64, what: &Change<'_>) -> Result<(), EngineError> {
        let mut refused = Err(EngineError::NoSpace);
        for _ in 0..=MOVES {
            match self.try_change(id, offset, len, what).await {
                Ok(()) => return Ok(()),
                Err(Trouble::Other(e)) => return Err(e),
                Err(Trouble::Full(family, number)) => refused = self.move_on(family, number).await,
            }
            if refused.is_err() {
                break;
            }
        }
        match (refused, what) {
            // What is given back is a hint: on a full disk it may stay.
            (Err(EngineError::NoSpace) | Ok(()), Change::Discard) => Ok(()),
            (refused, _) => refused.and(Err(EngineError::NoSpace)),
        }
    }

    /// After a disk had no room: `Ok` when the family has a new place, or it is worth looking for another.
    async fn move_on(&self, family: Family, full: u16) -> Result<(), EngineError> {
        match self.make_way(family, full).await {
            // The disk that it was to go to failed, or the family got another place meanwhile.
            Err(EngineError::Io | EngineError::Fenced) if !self.sources(family).is_empty() => Ok(()),
            // A family with a lost block stays where it is.
            Err(EngineError::DataLost) => Err(EngineError::NoSpace),
            other => other,
        }
    }

    async fn try_change(&self, id: Uuid, offset: u64, len: u64, what: &Change<'_>) -> Result<(), Trouble> {
        self.check_range(id, offset, len)?;
        if len == 0 {
            return Ok(());
        }
        let _inside = self.holds.enter();
        let last = (offset + len - 1) / BLOCK;
        let _lock = self.holds.ranges.lock(id, offset / BLOCK, last).await;
        let (named, range) = self.check_range(id, offset, len)?;
        for (index, within) in range.split(self.object_bytes) {
            let piece = Piece {
                family: (named.tree, index),
                lineage: named.lineage,
                offset: within.start(),
                len: within.len(),
            };
            let part = match what {
                Change::Write(bytes) => {
                    let from = (piece.offset - offset) as usize;
                    Change::Write(&bytes[from..from + piece.len as usize])
                }
                Change::Zero => Change::Zero,
                Change::Discard => Change::Discard,
            };
            self.change_piece(id, piece, &part).await?;
        }
        if R::BUMP_ERA_BEFORE_ACK {
            self.settle().await?;
        }
        Ok(())
    }

    fn check_range(
        &self,
        id: Uuid,
        offset: u64,
        len: u64,
    ) -> Result<(parpen_engine::Named, ByteRange), EngineError> {
        let named = self.writable(id)?;
        let range = ByteRange::within(offset, len, named.bytes).map_err(|_| OUTSIDE)?;
        Ok((named, range))
    }

    async fn change_piece(&self, id: Uuid, piece: Piece, what: &Change<'_>) -> Result<(), Trouble> {
        let passing = self.holds.eras.pass().await;
        let targets = self.targets(piece.family);
        let believed = |t: &Target<D, R>| t.clean && self.is_believed(piece.family, &t.member);
        if !targets.iter().any(believed) {
            return Err(self.unreachable(piece.family).into());
        }
        let all = targets.iter().map(|t| apply(&t.engine, id, piece, what)).collect();
        let results = join_all(all).await;
        drop(passing);
        targets.iter().for_each(|t| self.notice(&t.member));
        // A copy may have ended meanwhile: then an answer needs its disk after all.
        let must = |t: &Target<D, R>| t.clean || self.has_newest(piece.family, &t.member);
        let good = (0..targets.len())
            .find(|i| results[*i].is_ok() && targets[*i].clean && targets[*i].member.live().is_some());
        let Some(good) = good else {
            let refused = targets.iter().zip(&results).filter(|(t, _)| t.clean);
            let trouble = self.refusal(piece.family, refused.map(|(t, r)| (t.member.number, *r)));
            if let Trouble::Full(_, number) = trouble
                && let Some(full) = targets.iter().position(|t| t.member.number == number)
            {
                self.take_back(piece, &targets, full).await;
            }
            return Err(trouble);
        };
        // Who is asked first when they all come back: what others have is forgotten for it.
        let (mut on, mut also) = (Vec::with_capacity(targets.len()), Vec::new());
        let mut has = |t: &Target<D, R>| match self.is_believed(piece.family, &t.member) {
            true => on.push(t.member.number),
            false => also.push(t.member.number),
        };
        has(&targets[good]);
        for (i, t) in targets.iter().enumerate().filter(|(i, _)| *i != good) {
            if t.member.live().is_none() {
                continue;
            }
            let done = match (results[i], what) {
                (Ok(()), Change::Write(_) | Change::Zero) => Ok(()),
                // What found no room for its holes stayed as it was: replicas must not differ in that.
                (Ok(()), Change::Discard) | (Err(_), _) => self.align(piece, &targets[good], t).await,
            };
            match done {
                Ok(()) if self.table.borrow().place(piece.family).has(t.member.number) => has(t),
                // A copy that is being made may be given up.
                Ok(()) => {}
                Err(EngineError::NoSpace) if must(t) => {
                    self.take_back(piece, &targets, i).await;
                    return Err(Trouble::Full(piece.family, t.member.number));
                }
                Err(_) if !must(t) && self.fills.stop(piece.family, t.member.number) => {}
                Err(e) => self.mark_failed(&t.member, &format!("it could not follow a write: {e}")),
            }
        }
        if !targets.iter().any(|t| t.member.live().is_some() && believed(t)) {
            // Only disks are left that the next start would not believe: what they have now nobody may read.
            targets.iter().filter(|t| t.clean).for_each(|t| t.member.lack(piece.family));
            return Err(EngineError::Io.into());
        }
        on.truncate(REPLICAS_MAX);
        also.truncate(REPLICAS_MAX);
        if let Some(on) = Tuple::new(&on) {
            self.unflushed.note(Written { on, also: Tuple::new(&also), id }, self);
        }
        Ok(())
    }

    /// Why nothing was stored anywhere.
    fn refusal(
        &self,
        family: Family,
        results: impl Iterator<Item = (u16, Result<(), EngineError>)>,
    ) -> Trouble {
        let mut worst = EngineError::Io;
        for (number, result) in results {
            match result {
                Err(EngineError::NoSpace) => return Trouble::Full(family, number),
                Err(EngineError::Fenced | EngineError::Closed) | Ok(()) => {}
                Err(e) => worst = e,
            }
        }
        Trouble::Other(worst)
    }

    /// After a disk had no room for a piece: the other disks that have the family's newest become what it is there,
    /// so that copies do not differ though the change is refused.
    async fn take_back(&self, piece: Piece, targets: &[Target<D, R>], full: usize) {
        let kept = |t: &Target<D, R>| t.clean || self.has_newest(piece.family, &t.member);
        for (i, t) in targets.iter().enumerate() {
            if i == full || !kept(t) || t.member.live().is_none() {
                continue;
            }
            let mut done = self.align(piece, &targets[full], t).await;
            for _ in 1..TRIES {
                if done != Err(EngineError::NoSpace) || t.engine.flush().await.is_err() {
                    break;
                }
                // What the change gave back can be used again now.
                done = self.align(piece, &targets[full], t).await;
            }
            self.notice(&t.member);
            self.notice(&targets[full].member);
            if let Err(e) = done
                && t.member.live().is_some()
            {
                let why = format!("it had no room for a write, which could not be taken back elsewhere: {e}");
                self.mark_failed(&targets[full].member, &why);
            }
        }
    }

    /// Makes a piece on one disk what it is on another. The caller holds the lock on it.
    async fn align(&self, piece: Piece, from: &Target<D, R>, to: &Target<D, R>) -> Result<(), EngineError> {
        let start = (piece.offset / BLOCK % self.object_blocks()) as u32;
        let end = (piece.offset + piece.len).div_ceil(BLOCK) - piece.family.1 * self.object_blocks();
        let count = end as u32 - start;
        self.copy_blocks(&from.engine, &to.engine, (piece.lineage, piece.family.1), start, count)
            .await
            .map(|_| ())
    }

    /// Makes everything that was answered before this call durable.
    pub async fn flush(&self) -> Result<(), EngineError> {
        if let Some(engine) = self.sole() {
            return engine.flush().await;
        }
        self.flush_all().await?;
        // (Of what was deleted nobody misses anything.)
        let lost = self.unflushed.lost().into_iter().any(|id| self.identify(id).is_ok());
        if lost { Err(EngineError::Io) } else { Ok(()) }
    }

    /// [`Array::flush`] for one volume: another volume's loss is not told here.
    pub async fn flush_of(&self, id: Uuid) -> Result<(), EngineError> {
        if let Some(engine) = self.sole() {
            return engine.flush().await;
        }
        self.flush_all().await?;
        if self.unflushed.is_lost(id) { Err(EngineError::Io) } else { Ok(()) }
    }

    pub(crate) async fn flush_all(&self) -> Result<(), EngineError> {
        let live = self.live();
        if !live.iter().any(|t| t.clean) {
            return Err(EngineError::Io);
        }
        let flight = self.unflushed.begin();
        let results = join_all(live.iter().map(|t| t.engine.flush()).collect()).await;
        let mut failure = None;
        let mut well = Vec::with_capacity(live.len());
        for (t, result) in live.iter().zip(results) {
            self.notice(&t.member);
            match result {
                // A full disk that cannot commit: nothing is lost, and nothing is durable.
                Err(EngineError::NoSpace) if t.member.live().is_some() => {
                    failure = Some(EngineError::NoSpace)
                }
                Err(e) => self.mark_failed(&t.member, &format!("a flush failed: {e}")),
                Ok(()) => well.push(t.member.number),
            }
        }
        self.unflushed.end(flight, &well, self);
        if R::BUMP_ERA_BEFORE_ACK {
            self.settle().await?;
        }
        failure.map_or(Ok(()), Err)
    }
}

async fn apply<D: Disk, R: Rules>(
    engine: &Engine<D, R>,
    id: Uuid,
    piece: Piece,
    what: &Change<'_>,
) -> Result<(), EngineError> {
    match what {
        Change::Write(bytes) => engine.write(id, piece.offset, Buf::copy_of(bytes)).await.0,
        Change::Zero => engine.zero(id, piece.offset, piece.len).await,
        Change::Discard => engine.discard(id, piece.offset, piece.len).await,
    }
}
