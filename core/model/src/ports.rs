//! What the use cases need from the world. Adapters implement these; only the binary names them.

mod copies;

use std::sync::Arc;

use parpen_base::Boxed;
use parpen_block::BlockDevice;

use crate::{
    BalancePlan, BalanceVerb, Condition, Disk, DiskPlace, DiskVerb, Driver, Found, HeldObject, Kind, Label,
    NewBytes, Pool, PoolHealth, ReadTx, SnapshotId, Source, Space, Subject, Survey, Task, Upkeep, VolumeId,
    Whereabouts, WriteTx,
};

pub use copies::*;

/// The work of a read transaction.
pub type ReadWork = Box<dyn FnOnce(&dyn ReadTx) -> Result<(), Condition> + Send>;
/// The work of a write transaction; may be run again, so it touches nothing but the transaction.
pub type WriteWork = Box<dyn FnMut(&mut dyn WriteTx) -> Result<(), Condition> + Send>;

/// The control plane's rows. Use [`crate::read`], [`crate::look`] and [`crate::write`].
pub trait MetaStore: Send + Sync {
    /// Runs `f` on one consistent view.
    fn read(&self, f: ReadWork) -> Boxed<'_, Result<(), Condition>>;
    /// [`read`](MetaStore::read) for an `f` that takes a few rows by id or name: it may run on the caller's own thread,
    /// which it must not hold up, and saves the way to another one and back.
    fn look(&self, f: ReadWork) -> Boxed<'_, Result<(), Condition>> {
        self.read(f)
    }
    /// Runs `f` alone and commits durably unless it fails; answers the generation after the commit.
    fn write(&self, f: WriteWork) -> Boxed<'_, Result<u64, Condition>>;
    /// How many writes changed rows of these kinds, each counted before it is answered: while it stays the same, what
    /// was read of them stays true. None where others may write unseen.
    fn writes(&self, of: &[Kind]) -> Option<u64>;
}

/// What became of a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// The volume has its bytes.
    Ready,
    /// An empty volume was made; the source's bytes are still to be copied into it.
    CopyInto,
}

/// Where the bytes are.
pub enum DataPath {
    /// In this process. Read-only for snapshots.
    Here(Arc<dyn BlockDevice>),
    /// At another address, which clients use without us.
    Elsewhere {
        /// Host name or address.
        address: String,
        /// Path there.
        path: String,
    },
}

/// One pool's store of bytes. Called from job steps only (and `space`, `stored`, `data` from readers). Every verb is
/// idempotent by id: said twice, it is done once.
pub trait VolumeBackend: Send + Sync {
    /// Makes a volume.
    fn create<'a>(
        &'a self,
        id: VolumeId,
        from: &'a Source,
        want: &'a NewBytes,
        label: &'a Label,
    ) -> Boxed<'a, Result<Made, Condition>>;
    /// Snapshots all at one instant, in one record.
    fn snapshot<'a>(&'a self, all: &'a [(VolumeId, SnapshotId, Label)]) -> Boxed<'a, Result<(), Condition>>;
    /// Sets the size in bytes; what is cut off is gone, what is added reads as zeros.
    fn resize(&self, id: VolumeId, bytes: u64) -> Boxed<'_, Result<(), Condition>>;
    /// Removes it; absent = done.
    fn delete(&self, what: Subject) -> Boxed<'_, Result<(), Condition>>;
    /// Where its bytes are.
    fn data(&self, what: Subject) -> Boxed<'_, Result<DataPath, Condition>>;
    /// Replaces labels.
    fn relabel<'a>(&'a self, labels: &'a [Label]) -> Boxed<'a, Result<(), Condition>>;
    /// What the store holds: for rebuilding, orphans and figures.
    fn inventory(&self) -> Boxed<'_, Result<Vec<Found>, Condition>>;
    /// Capacity and use, in bytes.
    fn space(&self) -> Boxed<'_, Result<Space, Condition>>;
    /// Tells the present configuration generation; the store notes it with what is written from now on.
    fn at_generation(&self, generation: u64) -> Boxed<'_, Result<(), Condition>>;
    /// Lets go of the medium in order; nothing works afterwards.
    fn close(&self) -> Boxed<'_, Result<(), Condition>>;
    /// Puts a volume back to a snapshot, if the store can.
    fn rollback(&self) -> Option<&dyn Rollback> {
        None
    }
    /// How volumes and snapshots are related, if the store knows.
    fn lineage(&self) -> Option<&dyn Lineage> {
        None
    }
    /// The disks, if the pool has any of its own.
    fn media(&self) -> Option<&dyn Media> {
        None
    }
}

/// Putting a volume back to one of its snapshots; the snapshot stays.
pub trait Rollback: Send + Sync {
    /// The volume's bytes and size become the snapshot's.
    fn rollback(&self, id: VolumeId, to: SnapshotId) -> Boxed<'_, Result<(), Condition>>;
}

/// A piece of a volume or snapshot, compared with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Length in bytes.
    pub len: u64,
    /// It need not be the same there.
    pub changed: bool,
    /// It reads as zeros now and takes no space.
    pub zero: bool,
}

/// What a volume or snapshot costs, in bytes. `stored` is `unique` and `shared` together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Data that can be read in it.
    pub stored: u64,
    /// Data that it owns and shares with nobody.
    pub unique: u64,
    /// Data that others can read, too, or that deleted ones keep for it.
    pub shared: u64,
    /// What its deletion would free.
    pub freed: u64,
}

/// How far a rebase has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebased {
    /// Bytes that this step copied.
    pub copied: u64,
    /// It is done; otherwise another step is needed.
    pub done: bool,
}

/// What a store of copy-on-write lineages can tell and do.
pub trait Lineage: Send + Sync {
    /// What of `to` differs from `from` (`None`: from nothing, so that everything allocated has changed) between
    /// `offset` and `offset + len`, in blocks of 4 KiB and without reading data. What lies behind the end of `from`
    /// counts as zeros there. The pieces add up to `len`, or to less: then the caller asks again behind them.
    fn diff(
        &self,
        from: Option<Subject>,
        to: Subject,
        offset: u64,
        len: u64,
    ) -> Boxed<'_, Result<Vec<Change>, Condition>>;
    /// The volume ends and goes on as this snapshot, with all its bytes.
    fn freeze<'a>(
        &'a self,
        id: VolumeId,
        snapshot: SnapshotId,
        label: &'a Label,
    ) -> Boxed<'a, Result<(), Condition>>;
    /// A step of cutting a volume or snapshot off everything between it and a snapshot that it comes from (`None`: off
    /// everything). Its bytes stay; the step copies about `most` bytes of those that others use, too, while all are
    /// used. Said again until it is done; a restart goes on where it was.
    fn rebase(
        &self,
        what: Subject,
        onto: Option<SnapshotId>,
        most: u64,
    ) -> Boxed<'_, Result<Rebased, Condition>>;
    /// What it costs.
    fn figures(&self, what: Subject) -> Boxed<'_, Result<Figures, Condition>>;
}

/// The disks of a pool. Verbs are durable when they answer, and idempotent: said twice, done once.
pub trait Media: Send + Sync {
    /// All of them.
    fn disks(&self) -> Boxed<'_, Result<Vec<Disk>, Condition>>;
    /// How safe what they hold is, where these disks are left out: nobody counts on them. Looks at every object.
    fn health<'a>(&'a self, left_out: &'a [u16]) -> Boxed<'a, Result<PoolHealth, Condition>>;
    /// How all that they hold is kept. Looks at every object.
    fn survey(&self) -> Boxed<'_, Result<Survey, Condition>>;
    /// Where the objects of one volume or snapshot are: from an object on, at most so many.
    fn whereabouts(&self, what: Subject, piece: (u64, u64)) -> Boxed<'_, Result<Whereabouts, Condition>>;
    /// What one of them has, which must be there: from a place in its order on, at most so many, or fewer; at the end
    /// none.
    fn holds(&self, disk: u16, piece: ((u64, u64), u64)) -> Boxed<'_, Result<Vec<HeldObject>, Condition>>;
    /// What they do in the background.
    fn tasks(&self) -> Boxed<'_, Result<Vec<Task>, Condition>>;
    /// Where each of them was found, as the pool's row is to say it: files and devices change their names.
    fn found(&self) -> Vec<DiskPlace>;
    /// The number of the disk that lies at a path, if the pool knows it from before; an error if it lets it in no more.
    fn knows<'a>(&'a self, path: &'a str) -> Boxed<'a, Result<Option<u16>, Condition>>;
    /// Takes one more: a blank one is formatted, one that the pool knows by this number comes back.
    fn add<'a>(&'a self, place: &'a DiskPlace) -> Boxed<'a, Result<(), Condition>>;
    /// Does something with one.
    fn change(&self, disk: u16, verb: DiskVerb) -> Boxed<'_, Result<(), Condition>>;
    /// What balancing would do, or does; a look that keeps no plan.
    fn balance(&self) -> Boxed<'_, Result<BalancePlan, Condition>>;
    /// The plan that was made last, if balancing was not stopped since; makes none.
    fn planned(&self) -> Boxed<'_, Result<Option<BalancePlan>, Condition>>;
    /// Begins or ends balancing.
    fn rebalance(&self, verb: BalanceVerb) -> Boxed<'_, Result<(), Condition>>;
    /// Hears what the pool is to do by itself from now on; at an opening its row says so.
    fn keep_up(&self, how: Upkeep) -> Boxed<'_, Result<(), Condition>>;
}

/// Makes and opens the stores of pools; the one place that knows drivers.
pub trait Drivers: Send + Sync {
    /// Opens a pool's store, making it if it is not there yet (idempotent).
    fn open<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Arc<dyn VolumeBackend>, Condition>>;
    /// Removes a closed store's files; absent = done. Only ever called when it holds no volume.
    fn destroy<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<(), Condition>>;
    /// The disk of a pool for which nobody named one, relative to the data directory; numbered where there are
    /// several.
    fn default_path(&self, pool: &str, number: Option<u16>) -> String;
    /// How far a new disk may grow, in bytes: what was asked for if it fits its bounds, else its part of what the
    /// medium allows to as many as `sharers`.
    fn capacity_for(
        &self,
        driver: Driver,
        path: Option<&str>,
        asked: Option<u64>,
        sharers: u64,
    ) -> Result<u64, Condition>;
    /// Whether the medium below a path has no moving parts, as far as the system tells.
    fn is_ssd(&self, path: &str) -> bool;
    /// What people should know of a pool's media, in plain words; nothing where all is as it seems.
    fn remark(&self, pool: &Pool) -> Option<String>;
}
