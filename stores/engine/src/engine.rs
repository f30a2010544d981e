//! The engine's one structure, and how every change goes into memory and into the log.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use parpen_base::crc32c_seeded;
use uuid::Uuid;

use crate::alloc::{Alloc, Run, Runs};
use crate::blob::Blobs;
use crate::codec::{BlobRef, Identity};
use crate::layout::Layout;
use crate::map::Data;
use crate::paging::Loads;
use crate::rebase::Rebases;
use crate::record::Op;
use crate::state::{Cause, Freed, Node, NodeKind, State};
use crate::superblock::Superblock;
use crate::sync::{Event, RangeGuard, RangeLocks};
use crate::wal::Queue;
use crate::{Disk, EngineError, Rules, Sound};

/// Allocation hints kept, at most.
const HINTS_MAX: usize = 1 << 16;
/// Beyond every disk: any place will do.
const NO_HINT: u64 = u64::MAX;

/// What is free, what is on its way to be.
pub(crate) struct Room {
    pub(crate) alloc: Alloc,
    pub(crate) blobs: Blobs,
    /// Where the next blocks of an object should go: behind its last ones.
    hints: BTreeMap<(u64, u64), u64>,
    /// Blocks freed by changes that are not durable yet.
    pub(crate) deferred: u64,
    /// Blocks that turned out to be bad, until the disk is opened again.
    pub(crate) quarantine: BTreeSet<u64>,
    /// Blocks that hold data which is being written and is not mapped yet.
    pub(crate) in_flight: u64,
    /// Blocks that the checkpoint in flight may still take.
    pub(crate) promised: u64,
}

/// What waits for the next commit, and where the log stands.
pub(crate) struct Log {
    pub(crate) pending: Queue,
    /// Bytes of operations that the checkpoint in flight makes needless, if it succeeds.
    pub(crate) captured: usize,
    pub(crate) freed: Vec<(Run, Cause)>,
    /// Data bytes and operations since the last commit.
    pub(crate) tail: u64,
    pub(crate) next_seq: u64,
    pub(crate) pos: u64,
    pub(crate) hash: u64,
    pub(crate) durable_upto: u64,
}

/// The pages of the last checkpoint.
#[derive(Default)]
pub(crate) struct Pages {
    pub(crate) versions: Vec<BlobRef>,
    pub(crate) nodes: Vec<BlobRef>,
    pub(crate) groups: Vec<BlobRef>,
    pub(crate) root: BlobRef,
}

/// Commits in turn: `started` and `done` count them.
#[derive(Default)]
pub(crate) struct Turns {
    pub(crate) started: Cell<u64>,
    pub(crate) done: Cell<u64>,
    pub(crate) running: Cell<bool>,
    pub(crate) ended: Event,
}

/// One disk with everything on it. Single-threaded; share it by `Rc`.
///
/// Futures that change something must be polled to their end: one that is dropped within a commit fences the
/// engine.
pub struct Engine<D: Disk, R: Rules = Sound> {
    pub(crate) disk: D,
    pub(crate) id: Identity,
    pub(crate) layout: Layout,
    pub(crate) state: RefCell<State>,
    pub(crate) room: RefCell<Room>,
    pub(crate) log: RefCell<Log>,
    pub(crate) pages: RefCell<Pages>,
    pub(crate) superblock: Cell<Superblock>,
    /// Highest superblock sequence ever seen or used.
    pub(crate) max_sequence: Cell<u64>,
    pub(crate) turns: Turns,
    pub(crate) fenced: Cell<bool>,
    /// Blocks held for the maps of requests under way: see [`crate::room::Pledge`].
    pub(crate) pledged: Cell<u64>,
    pub(crate) locks: RangeLocks,
    pub(crate) generation: Cell<u64>,
    pub(crate) era: Cell<u32>,
    pub(crate) reclaiming: Cell<bool>,
    /// While it is set, only these ghosts give up anything: see [`Engine::keep_new_ghosts`].
    pub(crate) may_go: RefCell<Option<BTreeSet<u64>>>,
    /// Trees whose ghosts stay while anything goes on from them: see [`Engine::keep_links`].
    pub(crate) linked: RefCell<BTreeSet<u64>>,
    pub(crate) loads: Loads,
    /// Counts whatever changes maps or free blocks.
    pub(crate) moves: Cell<u64>,
    pub(crate) rebases: RefCell<Rebases>,
    pub(crate) rules: PhantomData<R>,
}

impl Room {
    pub(crate) fn new(alloc: Alloc, blobs: Blobs) -> Room {
        Room {
            alloc,
            blobs,
            hints: BTreeMap::new(),
            deferred: 0,
            quarantine: BTreeSet::new(),
            in_flight: 0,
            promised: 0,
        }
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// The store that the disk belongs to.
    pub fn store_id(&self) -> Uuid {
        self.id.store
    }

    /// The disk's own id.
    pub fn disk_id(&self) -> Uuid {
        self.id.disk
    }

    /// The geometry that the disk was formatted with.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Whether a write or flush failed, after which nothing is answered any more.
    pub fn is_fenced(&self) -> bool {
        self.fenced.get()
    }

    /// The configuration generation that later writes are stamped with.
    pub fn set_generation(&self, generation: u64) {
        self.generation.set(generation);
    }

    pub(crate) fn alive(&self) -> Result<(), EngineError> {
        if self.fenced.get() { Err(EngineError::Fenced) } else { Ok(()) }
    }

    /// Ends all service: what the disk holds is no longer known.
    pub(crate) fn fence(&self) {
        if !self.fenced.replace(true) {
            tracing::error!(disk = %self.id.disk, "a write or flush failed: the disk is fenced");
        }
        self.turns.ended.fire();
    }

    /// Makes a change in memory and queues it for the log, in this order with all others.
    pub(crate) fn change(&self, op: Op) -> Result<(), EngineError> {
        self.moved();
        let mut freed = Freed::default();
        if self.state.borrow_mut().apply(&op, &mut freed).is_err() {
            tracing::error!(?op, "an operation does not fit the state");
            self.fence();
            return Err(EngineError::Fenced);
        }
        self.account(&op, &freed.0);
        self.note_for_rebases(&op);
        let mut log = self.log.borrow_mut();
        let mut room = self.room.borrow_mut();
        log.tail += 64;
        log.pending.push(&op);
        for (run, cause) in freed.0 {
            if cause == Cause::Bad {
                room.quarantine.extend(run.phys..run.phys + run.len);
                continue;
            }
            let defer = if cause == Cause::Deleted { R::DEFER_DELETE_FREE } else { R::DEFER_FREE };
            if defer {
                room.deferred += run.len;
                log.freed.push((run, cause));
            } else {
                room.alloc.release(run);
            }
        }
        Ok(())
    }

    /// Exclusive use of blocks `first..=last` of a volume against other writers.
    pub(crate) async fn lock_blocks(&self, id: Uuid, first: u64, last: u64) -> Option<RangeGuard<'_>> {
        if R::RANGE_LOCK { Some(self.locks.lock(id, first, last).await) } else { None }
    }

    /// One change of the catalogue at a time. (The nil id is no volume's.)
    pub(crate) async fn lock_catalogue(&self) -> RangeGuard<'_> {
        self.locks.lock(Uuid::nil(), 0, 0).await
    }

    pub(crate) fn find<T>(&self, id: Uuid, f: impl FnOnce(u64, &Node) -> T) -> Result<T, EngineError> {
        self.alive()?;
        let state = self.state.borrow();
        state.named(id).map(|(lineage, node)| f(lineage, node)).ok_or(EngineError::NotFound)
    }

    /// Lineage and size of a volume that can be written.
    pub(crate) fn writable(&self, id: Uuid) -> Result<(u64, u64), EngineError> {
        let (lineage, bytes, kind) = self.find(id, |lineage, n| (lineage, n.bytes, n.kind))?;
        if kind == NodeKind::Volume { Ok((lineage, bytes)) } else { Err(EngineError::ReadOnly) }
    }

    /// Seeded checksum of one block of data.
    pub(crate) fn checksum(&self, origin: u64, block: u64, data: &[u8]) -> u32 {
        block_checksum::<R>(self.id.store, origin, u64::from(self.layout.object_blocks), block, data)
    }

    pub(crate) fn matches(&self, d: &Data, block: u64, data: &[u8]) -> bool {
        self.checksum(d.origin, block, data) == d.crc
    }

    /// The maps or the free blocks change.
    pub(crate) fn moved(&self) {
        self.moves.set(self.moves.get() + 1);
    }

    /// Takes blocks for data of one object, behind its last ones where that is possible.
    pub(crate) fn take_data(&self, lineage: u64, index: u64, blocks: u64) -> Option<Runs> {
        self.moved();
        let mut room = self.room.borrow_mut();
        let near = room.hints.get(&(lineage, index)).copied().unwrap_or(NO_HINT);
        let runs = room.alloc.take(near, blocks)?;
        if let Some(last) = runs.last() {
            if room.hints.len() >= HINTS_MAX {
                room.hints.clear();
            }
            room.hints.insert((lineage, index), last.phys + last.len);
        }
        room.in_flight += blocks;
        Some(runs)
    }

    /// Gives back what [`Engine::take_data`] took and nothing maps.
    pub(crate) fn return_data(&self, runs: impl IntoIterator<Item = Run>) {
        self.moved();
        let mut room = self.room.borrow_mut();
        for run in runs {
            room.alloc.release(run);
            room.in_flight -= run.len;
        }
    }
}

/// CRC32C of a data block, seeded with where it belongs: store, origin lineage, object, block within the
/// object.
pub(crate) fn block_checksum<R: Rules>(
    store: Uuid,
    origin: u64,
    object_blocks: u64,
    block: u64,
    data: &[u8],
) -> u32 {
    if !R::SEED_CRC {
        return crc32c_seeded(0, data);
    }
    let mut seed = [0; 40];
    seed[..16].copy_from_slice(store.as_bytes());
    seed[16..24].copy_from_slice(&origin.to_le_bytes());
    seed[24..32].copy_from_slice(&(block / object_blocks).to_le_bytes());
    seed[32..].copy_from_slice(&(block % object_blocks).to_le_bytes());
    crc32c_seeded(crc32c_seeded(0, &seed), data)
}
