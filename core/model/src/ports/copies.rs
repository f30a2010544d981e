//! Where copies outside the pools are kept.

use std::sync::Arc;

use parpen_base::{Boxed, ByteRange};
use parpen_block::{Progress, Remote, SectorCipher};

use crate::{BackupId, Condition, DataKey, Image, ImageId, ProjectId, VolumeId};

/// Where one backup is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A name for a set of backups; part of their addresses.
    pub container: String,
    /// The volume that was backed up.
    pub volume: VolumeId,
    /// The backup.
    pub backup: BackupId,
}

/// A backup to be written.
#[derive(Clone, Debug)]
pub struct NewArchive {
    /// Where.
    pub place: Place,
    /// The backup of the same volume and container that it is compared with; only what differs is stored.
    pub base: Option<BackupId>,
    /// What may differ from the base; `None`: everything has to be looked at.
    pub changed: Option<Vec<ByteRange>>,
    /// What the service knows of it, so that it can be imported elsewhere.
    pub facts: serde_json::Value,
}

/// Figures of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archived {
    /// Bytes of the volume.
    pub size: u64,
    /// Bytes that it added to the store.
    pub stored: u64,
    /// Objects that it added to the store.
    pub objects: u64,
}

/// Where the bytes of a backup go.
pub struct Target {
    /// The device; at least as large as the backup. What it has beyond stays.
    pub to: Remote,
    /// It is known to read as zeros everywhere.
    pub blank: bool,
    /// Makes plain bytes of the stored ones.
    pub cipher: Option<Arc<dyn SectorCipher>>,
}

/// A store of backups. Every verb is idempotent: said twice, it is done once.
pub trait Archive: Send + Sync {
    /// Writes a backup of all that `from` holds; what an interrupted call has stored is found again.
    fn store<'a>(
        &'a self,
        new: &'a NewArchive,
        from: &'a Remote,
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<Archived, Condition>>;
    /// Writes a backup's bytes into a device, each block once.
    fn load<'a>(
        &'a self,
        at: &'a Place,
        to: &'a Target,
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<(), Condition>>;
    /// Reads all of a backup and proves every block against its checksum.
    fn verify<'a>(
        &'a self,
        at: &'a Place,
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<Archived, Condition>>;
    /// What the service knew of a backup, and its figures.
    fn facts<'a>(&'a self, at: &'a Place) -> Boxed<'a, Result<(serde_json::Value, Archived), Condition>>;
    /// Ends a backup, also one that was never finished: nobody can read it any more, and what no other backup needs is
    /// removed. Absent = done.
    fn remove<'a>(&'a self, at: &'a Place) -> Boxed<'a, Result<(), Condition>>;
}

/// Figures of an image's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// Its bytes.
    pub size: u64,
    /// Bytes of the disk in it, where the format is known.
    pub virtual_size: Option<u64>,
    /// MD5, in hexadecimal digits.
    pub md5: String,
    /// SHA-512, in hexadecimal digits.
    pub sha512: String,
}

/// An image's bytes as they come.
pub trait ImageWriter: Send {
    /// The next bytes.
    fn write(&mut self, piece: Vec<u8>) -> Boxed<'_, Result<(), Condition>>;
    /// That was all: from now on it is there, unless its bytes are none of its format.
    fn finish(self: Box<Self>) -> Boxed<'static, Result<StoredImage, Condition>>;
}

/// An image's bytes as they are.
pub trait ImageReader: Send + Sync {
    /// How many there are.
    fn size(&self) -> u64;
    /// `len` bytes from `offset` on.
    fn read(&self, offset: u64, len: usize) -> Boxed<'static, Result<Vec<u8>, Condition>>;
}

/// A store of images. An image is there as a whole or not at all.
pub trait ImageStore: Send + Sync {
    /// Begins to store an image's bytes, anew if an earlier upload broke off.
    fn upload<'a>(
        &'a self,
        id: ImageId,
        format: Option<&'a str>,
    ) -> Boxed<'a, Result<Box<dyn ImageWriter>, Condition>>;
    /// An image's bytes.
    fn download(&self, id: ImageId) -> Boxed<'_, Result<Box<dyn ImageReader>, Condition>>;
    /// Puts the disk in an image of that format and SHA-512 into a device, which may be known to be blank; what the
    /// device has beyond it reads as zeros afterwards.
    fn load<'a>(
        &'a self,
        id: ImageId,
        what: (&'a str, Option<&'a str>),
        to: (&'a Remote, bool),
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<(), Condition>>;
    /// Makes an image of that format of a device's bytes.
    fn save<'a>(
        &'a self,
        id: ImageId,
        format: &'a str,
        from: &'a Remote,
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<StoredImage, Condition>>;
    /// Removes an image; absent = done.
    fn remove(&self, id: ImageId) -> Boxed<'_, Result<(), Condition>>;
    /// The service that keeps images together with what is known of them, where this store is one.
    fn elsewhere(&self) -> Option<&dyn ForeignImages> {
        None
    }
}

/// Another service's images: it has their records, too, and says who may use them.
pub trait ForeignImages: Send + Sync {
    /// Where they are.
    fn address(&self) -> &str;
    /// An image; `None`: there is none.
    fn find(&self, id: ImageId) -> Boxed<'_, Result<Option<Image>, Condition>>;
    /// Whether a shared image was shared with a project.
    fn is_shared_with(&self, id: ImageId, project: ProjectId) -> Boxed<'_, Result<bool, Condition>>;
    /// Makes the record of an image whose bytes are to come; said twice, it is done once.
    fn announce<'a>(&'a self, image: &'a Image) -> Boxed<'a, Result<(), Condition>>;
}

/// A new data key, as it may be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// Who can unwrap it.
    pub wrapped_by: String,
    /// The wrapped key.
    pub wrapped: String,
}

/// Who wraps the keys of encrypted volumes. Unwrapped keys stay with it and the ciphers that it gives.
pub trait KeyManager: Send + Sync {
    /// Whether there is a key that wraps others, so that none has to be made for the first data key.
    fn is_there(&self) -> bool;
    /// Makes a data key, and what wraps it if that is not there yet.
    fn create(&self) -> Boxed<'_, Result<WrappedKey, Condition>>;
    /// The cipher of a data key.
    fn open<'a>(&'a self, key: &'a DataKey) -> Boxed<'a, Result<Arc<dyn SectorCipher>, Condition>>;
}
