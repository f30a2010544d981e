//! The array's one structure, and the verbs while it has one member.

use std::rc::Rc;
use std::sync::Arc;

use parpen_base::{Buf, Entropy};
use parpen_engine::{
    Change, Disk, Engine, EngineError, Extent, Format, Found, OpenError, Rules, Sound, Space, Violation,
};
use uuid::Uuid;

/// Engines that together are one store. Single-threaded; share it by `Rc`.
pub struct Array<D: Disk, R: Rules = Sound> {
    member: Rc<Engine<D, R>>,
}

impl<D: Disk, R: Rules> Array<D, R> {
    /// Makes an empty store of one disk; whatever was there is lost.
    pub async fn format(disk: &D, options: Format) -> Result<(), EngineError> {
        Engine::<D, R>::format(disk, options).await
    }

    /// Opens the store on these disks.
    pub async fn open(
        disk: D,
        entropy: Arc<dyn Entropy>,
        store: Option<Uuid>,
    ) -> Result<Rc<Self>, OpenError> {
        let member = Engine::<D, R>::open_store(disk, entropy, store).await?;
        Ok(Rc::new(Array { member }))
    }

    /// The store that the disks belong to.
    pub fn store_id(&self) -> Uuid {
        self.member.store_id()
    }

    /// The id of the first disk.
    pub fn disk_id(&self) -> Uuid {
        self.member.disk_id()
    }

    /// The configuration generation that later writes are stamped with.
    pub fn set_generation(&self, generation: u64) {
        self.member.set_generation(generation);
    }

    /// [`Engine::create`] on every member.
    pub async fn create(
        &self,
        id: Uuid,
        bytes: u64,
        from: Option<Uuid>,
        label: &[u8],
    ) -> Result<(), EngineError> {
        self.member.create(id, bytes, from, label).await
    }

    /// [`Engine::snapshot`] on every member, at one instant.
    pub async fn snapshot(&self, all: &[(Uuid, Uuid, Vec<u8>)]) -> Result<(), EngineError> {
        self.member.snapshot(all).await
    }

    /// [`Engine::resize`] on every member.
    pub async fn resize(&self, volume: Uuid, bytes: u64) -> Result<(), EngineError> {
        self.member.resize(volume, bytes).await
    }

    /// [`Engine::rollback`] on every member.
    pub async fn rollback(&self, volume: Uuid, snapshot: Uuid) -> Result<(), EngineError> {
        self.member.rollback(volume, snapshot).await
    }

    /// [`Engine::delete`] on every member.
    pub async fn delete(&self, id: Uuid) -> Result<(), EngineError> {
        self.member.delete(id).await
    }

    /// [`Engine::relabel`] on every member.
    pub async fn relabel(&self, id: Uuid, label: &[u8]) -> Result<(), EngineError> {
        self.member.relabel(id, label).await
    }

    /// All volumes and snapshots, by id.
    pub fn inventory(&self) -> Vec<Found> {
        self.member.inventory()
    }

    /// One volume or snapshot.
    pub fn lookup(&self, id: Uuid) -> Option<Found> {
        self.member.lookup(id)
    }

    /// How full the disks are together.
    pub fn space(&self) -> Space {
        self.member.space()
    }

    /// Fills `buf` from `offset`; `Ok(true)` when nothing but unmapped zeros was there.
    pub async fn read(&self, id: Uuid, offset: u64, buf: Buf) -> (Result<bool, EngineError>, Buf) {
        self.member.read(id, offset, buf).await
    }

    /// Stores `buf` at `offset`; durable after a later flush.
    pub async fn write(&self, id: Uuid, offset: u64, buf: Buf) -> (Result<(), EngineError>, Buf) {
        self.member.write(id, offset, buf).await
    }

    /// The range reads as zeros afterwards and its space is given back.
    pub async fn zero(&self, id: Uuid, offset: u64, len: u64) -> Result<(), EngineError> {
        self.member.zero(id, offset, len).await
    }

    /// Whole blocks within the range are given back and read as zeros afterwards.
    pub async fn discard(&self, id: Uuid, offset: u64, len: u64) -> Result<(), EngineError> {
        self.member.discard(id, offset, len).await
    }

    /// Makes everything that was answered before this call durable.
    pub async fn flush(&self) -> Result<(), EngineError> {
        self.member.flush().await
    }

    /// The map of a range, from `offset` on; the pieces add up to `len`.
    pub fn extents(&self, id: Uuid, offset: u64, len: u64) -> Result<Vec<Extent>, EngineError> {
        self.member.extents(id, offset, len)
    }

    /// [`Engine::diff`].
    pub async fn diff(
        &self,
        a: Option<Uuid>,
        b: Uuid,
        offset: u64,
        len: u64,
    ) -> Result<Vec<Change>, EngineError> {
        self.member.diff(a, b, offset, len).await
    }

    /// The invariants; with `data` every stored block is read and its checksum verified.
    pub async fn fsck(&self, data: bool) -> Result<Vec<Violation>, EngineError> {
        self.member.fsck(data).await
    }

    /// Flushes and checkpoints all members.
    pub async fn close(&self) -> Result<(), EngineError> {
        self.member.close().await
    }
}
