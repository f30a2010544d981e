//! Many disks as one store: replicas, placement, repair and movement.
//!
//! An [`Array`] composes engines ([`parpen_engine::Engine`], one disk each) into one store. Every pool is an array,
//! also one of a single disk and one in memory. Like the engine it has no clock, threads, randomness or files of its
//! own, and is generic over [`parpen_engine::Disk`] and [`parpen_engine::Rules`], so that a simulator can own time and
//! switch rules off. [`Store`] is its handle for other threads.
//!
//! # How to use it
//!
//! - [`Array::format`] makes a store of disks, [`Array::open`] opens the disks that are there. A [`Witness`] remembers
//!   the newest era outside the disks.
//! - The verbs of the engine: `create`, `snapshot`, `resize`, `rollback`, `delete`, `relabel`, `read`, `write`, `zero`,
//!   `discard`, `flush`, `extents`, `diff`, `serve`, `fsck`, `close`. All futures must be polled to their end (or
//!   everything dropped, as in a crash). They may run together in any number.
//! - Disks: [`Array::add_disk`], [`Array::attach`] (one comes back), [`Array::eject`] (out at once),
//!   [`Array::soft_eject`] (everything moves away; pause, cancel), [`Array::forget`], [`Array::scrub`],
//!   [`Array::members`], [`Array::tasks`]; [`Order`] is all of these as values.
//! - Work behind the scenes happens only in [`Array::step`], about a budget of bytes at a time, the most urgent
//!   [`Class`] first. Whoever calls it paces it; [`Array::until_work`] says when to begin again.
//!
//! # The ideas
//!
//! - **Catalogue.** Every change of it (and every record of the array) is made on all disks that serve, one at a time,
//!   with the same numbers. A disk that cannot follow is out; when all refuse alike, nothing has happened.
//! - **Family.** All versions of one object in one tree of snapshots and clones live whole on each disk of a
//!   [`Tuple`]: that which an override names, else the set that a hash of tree and object picks. No record is needed
//!   for a first write.
//! - **Write.** To all disks of the family that serve. The answer waits for those that are *clean* (known to have the
//!   family's newest); one that fails is out, durably, before the answer. With one disk and one object the request
//!   goes straight to the engine, with its buffer.
//! - **Era.** +1, durably on all that go on and then at the witness, whenever somebody is out. Blocks carry it in
//!   their origin, so what a disk missed has an origin or checksum that the disk cannot have.
//! - **Move.** The new disk gets all writes of the family (it is *filling*) while versions are copied, older ones
//!   first; with all writers held nothing differs any more; it is flushed; the override is written everywhere; the old
//!   place is given up when nobody reads it any more. Bringing a disk back is the same copy, with most blocks equal.
//!
//! # Why it is safe
//!
//! What must hold: what a flush covered is never lost while a disk of each family survives; a stale replica is never
//! read; after a failed flush no later one pretends. Each rule of [`parpen_engine::Rules`] keeps one way closed; the
//! tests switch each off and see it noticed.
//!
//! - `BUMP_ERA_BEFORE_ACK`. Suppose a write was answered that disk X missed. Then a members record with a higher era
//!   in which X is out was durable on all disks that go on, before. If any of those is there at an opening, its record
//!   is newer than X's, so X is not believed. If none is, the witness knows the era, and X alone is refused. Blocks
//!   that X misses later carry the new era; of those in flight when it failed there is one per block at most (the
//!   block is locked until the answer), and it differs from X's in its checksum (but for one in 2^32).
//! - `WITNESS`. Without it X alone could not know that others went on. The era has a random nonce and the record names
//!   the era that the witness knew when it was written: a disk is current if its era is the witness's, or the next one
//!   after it that no answer depended on yet. So two histories that count to the same number are told apart.
//! - `ADOPT_AUTHORITY`. Changes of the catalogue are answered when durable on all disks in sync, so the one with most
//!   changes in the newest era has all answered ones, and at most one more. The others take its catalogue before
//!   anything is served, so lineage numbers agree again.
//! - `KEEP_NEW_GHOSTS`. A disk that is ahead by a change that was never answered may be away at the next opening; then
//!   the others go on without the change, and it must come back with all that it alone has. So what a change gives up
//!   (a deleted volume, the head before a roll back, what is behind a new end) is kept, on every disk, until the change
//!   is durable on all that go on and whoever lacks it is durably out. At opening that is when all disks in sync are
//!   there and have one catalogue, else when the new era has begun.
//! - `KEEP_LINKS`. A snapshot that was deleted while a disk is away that alone has objects of its tree goes on as a
//!   nameless lineage, also where only one other goes on from it. If it were dissolved, what goes on from it would come
//!   to that disk with no word of where its bytes are, and read as zeros.
//! - `CLEAR_BEFORE_GROW`. Bytes behind the end of a volume are nobody's until it grows; then they must read as zeros on
//!   every disk, also on one that takes the new size from another one's catalogue after a crash. So all disks clear
//!   them, durably, before any has the new size, and objects that are only on disks that are away keep the volume from
//!   growing. A volume that is made larger than its snapshot is made as large first, and grows then.
//! - `RECONCILE_AT_OPEN`. All disks in sync have what flushes covered. Of what none covered, one may have it and
//!   another not; both outcomes are right, but reads must not waver. So replicas are made equal, from one of them,
//!   before they are read. The cost is bounded by what differs; digests say where.
//! - `READ_ONLY_CLEAN`. A disk that came back gets every new write at once, but is read only for families that were
//!   compared with a clean disk under the lock of all writers and found equal (or of which it is the disk that was
//!   there longest). Tuples whose other disks know more and are away now wait as a whole, since objects may exist that
//!   it never saw. It counts as in sync, durably, when nothing is left, after a flush.
//! - `FILL_DURABLE_BEFORE_OVERRIDE`. After the override only the new place is believed; so what was copied is flushed
//!   there first, with writers held, and later writes go to both until the override is durable.
//! - `OVERRIDE_BEFORE_EVICT`. The old place is given up only when the override is durable on all disks: whichever of
//!   them is the authority after a crash, the place that it names has everything. A crash between leaves a copy that
//!   no placement names; opening gives it up, if the named place is there.
//! - `HEAL_FROM_VERIFIED`. A bad block is replaced only by bytes that match the checksum of what was written there,
//!   from any disk whose map has the same origin and checksum at that place, also one that is behind. If there is none
//!   the block stays bad and says so.
//!
//! A copy of a disk that somebody puts back lacks what no map of another disk may say. The members record names for each
//! disk an era that it surely wrote down before the witness had it; with an older one a disk never takes part, also when
//! it is out already. An era in which anything changes ends after ten minutes ([`Array::renew`]) and at an orderly
//! stop, so only copies that are younger pass for the disk.
//!
//! Further: a member that failed a write or flush is fenced by its engine and let go of; volumes of which no other disk has
//! answered writes that no flush covered fail their flushes from then on. [`parpen_engine::EngineError::DataLost`] is
//! said only when all disks of a family that may have a block were asked; a disk that is merely away makes it
//! [`parpen_engine::EngineError::Io`]. What changes a volume's content as a whole (roll back, resize) is refused while
//! disks are away that alone may hold objects of it: such a disk would come back with what they were before.
#![forbid(unsafe_code)]

mod answer;
mod array;
mod balance;
mod catalogue;
mod codec;
mod copy;
mod device;
mod diff;
mod disks;
mod due;
mod fault;
mod fills;
mod hold;
mod lineage;
mod local;
mod manage;
mod member;
mod mover;
mod open;
mod order;
mod pace;
mod place;
mod placing;
mod plan;
mod reach;
mod read;
mod resync;
mod scrub;
mod store;
mod survey;
mod unflushed;
mod whereabouts;
mod witness;
mod write;

pub use array::Array;
pub use device::StoreDevice;
pub use local::{LocalTask, NewVolume};
pub use manage::{MemberInfo, State, TaskInfo};
pub use member::{About, Faults};
pub use mover::{Class, Did, Health};
pub use open::{ArrayError, NewDisk, Offer, Opening};
pub use order::Order;
pub use pace::{Host, Rates, Sleep, Spawn};
pub use place::{Family, Policy, REPLICAS_MAX, Tuple};
pub use plan::{Fill, Plan};
pub use store::{DiskSource, NewSource, OldSource, Store, StoreError, WitnessSource};
pub use survey::{Due, Keeping, Survey};
pub use whereabouts::{Copy, Held, Object, Whereabouts};
pub use witness::{EraMark, NoWitness, Witness};
