//! Formatting and opening: the newest superblock, its checkpoint, the log after it, and the outcome made
//! durable.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use parpen_base::{Buf, Entropy};
use uuid::Uuid;

use crate::alloc::{Alloc, Run};
use crate::blob::{Blobs, DEPTH, Plan};
use crate::checkpoint::{Boot, repair_superblocks, write_superblocks};
use crate::codec::{BlobRef, Identity, Type, begin, seal};
use crate::engine::{Engine, Log, Room, Turns, block_checksum};
use crate::layout::BLOCK;
use crate::load::{Loaded, load};
use crate::record::{Mapping, Piece, SKIP};
use crate::state::{Freed, Span, State};
use crate::superblock::{self, COPIES, Superblock, offsets, wal_start};
use crate::sync::{RangeLocks, join_all};
use crate::tail::verify_op;
use crate::wal::{At, Queue, Record, RecordHead, Ring};
use crate::{Disk, DiskError, EngineError, Format, OpenError, Rules, features};

/// Largest read of the verification, in blocks.
const VERIFY_BLOCKS: u32 = 256;
/// Times that a block of the tail is read before its fate is decided without it.
const VERIFY_TRIES: u32 = 3;

/// Marks what never holds data: the superblocks and the log.
pub(crate) fn fixed_areas(alloc: &mut Alloc, sb: &Superblock) {
    for at in offsets(sb.disk_bytes) {
        alloc.claim(at / BLOCK);
    }
    let wal = wal_start(sb.disk_bytes) / BLOCK;
    for block in wal..wal + sb.layout.wal_bytes / BLOCK {
        alloc.claim(block);
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// Makes an empty store of the disk; whatever was there is lost.
    pub async fn format(disk: &D, options: Format) -> Result<(), EngineError> {
        let disk_bytes = disk.size() / BLOCK * BLOCK;
        options.layout.validate(disk_bytes)?;
        let id = Identity { store: options.store, disk: options.disk };
        // Old copies go first: a half-made format must not look like the old store.
        let blank = offsets(disk_bytes).map(|at| (at, BLOCK));
        let wal = (wal_start(disk_bytes), options.layout.wal_bytes);
        for (at, len) in blank.into_iter().chain([wal]) {
            for offset in (at..at + len).step_by(1 << 20) {
                let len = (at + len - offset).min(1 << 20);
                disk.write(offset, Buf::zeroed(len as usize)).await.0?;
            }
        }
        disk.flush().await?;
        let mut sb = Superblock {
            id,
            sequence: 1,
            incompat: features::INCOMPAT,
            ro_compat: features::RO_COMPAT,
            disk_bytes,
            layout: options.layout,
            boot_epoch: 1,
            root: BlobRef::default(),
            wal_first_seq: 1,
            wal_first_pos: 0,
            chain: 1,
        };
        let mut alloc = Alloc::new(disk_bytes / BLOCK);
        fixed_areas(&mut alloc, &sb);
        let mut root = begin(Type::Root, id);
        root.u64(1);
        root.u64(0);
        root.u64(0);
        let mut plan = Plan::default();
        let placed = Blobs::default().place(&mut alloc, id, seal(root), &mut plan);
        sb.root = placed.ok_or(EngineError::Invalid("the disk is too small for its log and reserve"))?;
        plan.write(disk).await?;
        disk.flush().await?;
        write_superblocks(disk, &sb).await?;
        Ok(())
    }

    /// Opens the disk: recovers, makes the outcome durable, then serves.
    pub async fn open(disk: D, entropy: Arc<dyn Entropy>) -> Result<Rc<Self>, OpenError> {
        Self::open_store(disk, entropy, None).await
    }

    /// [`Engine::open`], but only a disk of this store.
    pub async fn open_store(
        disk: D,
        entropy: Arc<dyn Entropy>,
        store: Option<Uuid>,
    ) -> Result<Rc<Self>, OpenError> {
        let verdict = superblock::load(&disk).await?;
        let sb = verdict.chosen;
        if let Some(wanted) = store.filter(|s| *s != sb.id.store) {
            return Err(OpenError::OtherStore { found: sb.id.store, wanted });
        }
        let mut loaded = load(&disk, &sb, R::GHOSTS).await?;
        let (records, log) = read_log::<D, R>(&disk, &sb).await?;
        replay::<D, R>(&disk, &sb, &mut loaded.state, records).await?;
        let room = count_room(&sb, &mut loaded)?;
        repair_superblocks(&disk, &sb, verdict.stale).await?;
        let boot = Boot { epoch: verdict.max_epoch.saturating_add(1), nonce: entropy.u64() };
        let engine = Rc::new(Engine {
            disk,
            id: sb.id,
            layout: sb.layout,
            state: RefCell::new(loaded.state),
            room: RefCell::new(room),
            log: RefCell::new(log),
            pages: RefCell::new(loaded.pages),
            superblock: Cell::new(sb),
            max_sequence: Cell::new(verdict.max_sequence),
            turns: Turns::default(),
            fenced: Cell::new(false),
            locks: RangeLocks::default(),
            generation: Cell::new(0),
            era: Cell::new(0),
            reclaiming: Cell::new(false),
            rebases: RefCell::default(),
            rules: PhantomData,
        });
        engine.begin_service(boot).await.map_err(|e| match e {
            EngineError::NoSpace => OpenError::NoSpace,
            _ => OpenError::Io,
        })?;
        Ok(engine)
    }

    async fn begin_service(&self, boot: Boot) -> Result<(), EngineError> {
        if R::FIX_OUTCOME {
            self.checkpoint(Some(boot)).await?;
        }
        // What deletions had begun goes on where it stopped.
        match self.reclaim().await {
            Err(EngineError::NoSpace) => Ok(()),
            other => other,
        }
    }
}

/// The chain of records after the checkpoint, and where the log goes on.
async fn read_log<D: Disk, R: Rules>(disk: &D, sb: &Superblock) -> Result<(Vec<Record>, Log), OpenError> {
    let mut ring = Ring::new(disk, sb.id, sb.disk_bytes, sb.layout.wal_bytes);
    let mut log = Log {
        pending: Queue::default(),
        captured: 0,
        freed: Vec::new(),
        tail: 0,
        next_seq: sb.wal_first_seq,
        pos: sb.wal_first_pos,
        hash: sb.chain,
        durable_upto: sb.wal_first_seq - 1,
    };
    let mut records: Vec<Record> = Vec::new();
    loop {
        let follows = |h: &RecordHead| h.seq == log.next_seq && (!R::CHAIN || h.prev == log.hash);
        let record = match ring.at(log.pos).await? {
            At::Record(r) if follows(&r.head) => r,
            At::Senseless(h) if follows(&h) => {
                return Err(OpenError::Damaged { what: "a record of the log (or it is of a newer kind)" });
            }
            _ => break,
        };
        log.next_seq = record.head.seq.checked_add(1).ok_or(OpenError::Damaged { what: "the log" })?;
        log.pos += record.size;
        log.hash = record.hash;
        records.push(record);
        if log.pos - sb.wal_first_pos >= sb.layout.wal_bytes {
            break;
        }
    }
    if ring.vouched(log.next_seq, sb.boot_epoch).await? {
        return Err(OpenError::Damaged { what: "a record of the log that was durable once" });
    }
    log.durable_upto = log.next_seq - 1;
    Ok((records, log))
}

/// Applies the records; of those that may not have been durable, only mappings whose data is there.
async fn replay<D: Disk, R: Rules>(
    disk: &D,
    sb: &Superblock,
    state: &mut State,
    records: Vec<Record>,
) -> Result<(), OpenError> {
    let durable = records.last().map_or(0, |r| r.head.durable_upto);
    for record in records {
        let tail = record.head.seq > durable;
        for mut op in record.ops {
            if tail && R::VERIFY_TAIL {
                verify_op::<D, R>(disk, sb, &mut op).await?;
            }
            state
                .apply(&op, &mut Freed::default())
                .map_err(|_| OpenError::Damaged { what: "the log (it contradicts the checkpoint)" })?;
        }
    }
    Ok(())
}

/// Replaces by skips what is not on the disk as the log says. A block that cannot be read at all keeps its
/// new mapping: nobody can say that it was not written, and reading it says that it is lost.
pub(crate) async fn verify<D: Disk, R: Rules>(
    disk: &D,
    sb: &Superblock,
    m: &mut Mapping,
) -> Result<(), OpenError> {
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
    let mut pieces = Vec::new();
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
                let there = read.as_ref().map_or(true, |buf| {
                    let data = &buf[(i * BLOCK) as usize..((i + 1) * BLOCK) as usize];
                    block_checksum::<R>(sb.id.store, m.origin, object_blocks, base + at + i, data) == *crc
                });
                pieces.push(Piece { phys: if there { piece.phys + i } else { SKIP }, len: 1 });
            }
        }
    }
    m.pieces = pieces;
    Ok(())
}

async fn read_piece<D: Disk>(disk: &D, piece: Piece) -> Result<Buf, DiskError> {
    if piece.phys == 0 {
        return Ok(Buf::zeroed(0));
    }
    let len = u64::from(piece.len) * BLOCK;
    let mut buf = Buf::zeroed(len as usize);
    for _ in 1..VERIFY_TRIES {
        let result;
        (result, buf) = disk.read(piece.phys * BLOCK, buf).await;
        if result.is_ok() {
            return Ok(buf);
        }
    }
    let (result, buf) = disk.read(piece.phys * BLOCK, buf).await;
    result.map(|()| buf)
}

/// Finds the free blocks: all that neither the fixed areas nor the checkpoint nor any map uses. A block that
/// two want is damage, and better found now than by overwriting somebody's data.
fn count_room(sb: &Superblock, loaded: &mut Loaded) -> Result<Room, OpenError> {
    let mut alloc = Alloc::new(sb.disk_bytes / BLOCK);
    debug_assert_eq!(offsets(sb.disk_bytes).len(), COPIES);
    fixed_areas(&mut alloc, sb);
    let mut claim = |run: Run| (run.phys..run.phys + run.len).all(|b| alloc.claim(b));
    if !loaded.runs.iter().all(|r| claim(*r)) {
        return Err(OpenError::Damaged { what: "the checkpoint (two structures share a block)" });
    }
    let state = &loaded.state;
    for slot in state.by_key.values() {
        for (number, span) in state.version(*slot).spans.iter().enumerate() {
            let Span::Own(Some(map)) = span else { continue };
            let above = state.inherited(*slot, number);
            for (i, d) in map.iter() {
                let mine = above.is_none_or(|p| p.phys(i) != d.phys);
                if mine && !claim(Run { phys: d.phys, len: 1 }) {
                    return Err(OpenError::Damaged { what: "the maps (two objects share a block)" });
                }
            }
        }
    }
    Ok(Room::new(alloc, std::mem::take(&mut loaded.blobs)))
}
