//! Where copies outside the pools are kept.

use std::sync::Arc;

use parpen_base::Boxed;
use parpen_block::{Progress, Remote, SectorCipher};
use parpen_model::ports::{
    Archive, Archived, ImageReader, ImageStore, ImageWriter, KeyManager, NewArchive, Place, StoredImage,
    Target, WrappedKey,
};
use parpen_model::{Condition, DataKey, ImageId};

/// The stores of what is copied out of pools.
#[derive(Clone)]
pub struct Copies {
    /// Backups.
    pub archive: Arc<dyn Archive>,
    /// Images.
    pub images: Arc<dyn ImageStore>,
    /// Keys of what is encrypted.
    pub keys: Arc<dyn KeyManager>,
}

impl Copies {
    /// A house that keeps no copies: whatever needs them is refused.
    pub fn none() -> Copies {
        Copies { archive: Arc::new(Nowhere), images: Arc::new(Nowhere), keys: Arc::new(Nowhere) }
    }
}

struct Nowhere;

fn refused<T: 'static>() -> Boxed<'static, Result<T, Condition>> {
    Box::pin(async { Err(Condition::Unsupported("this service keeps nothing outside of its pools".into())) })
}

impl Archive for Nowhere {
    fn store<'a>(
        &'a self,
        _: &'a NewArchive,
        _: &'a Remote,
        _: &'a dyn Progress,
    ) -> Boxed<'a, Result<Archived, Condition>> {
        refused()
    }
    fn load<'a>(
        &'a self,
        _: &'a Place,
        _: &'a Target,
        _: &'a dyn Progress,
    ) -> Boxed<'a, Result<(), Condition>> {
        refused()
    }
    fn verify<'a>(&'a self, _: &'a Place, _: &'a dyn Progress) -> Boxed<'a, Result<Archived, Condition>> {
        refused()
    }
    fn facts<'a>(&'a self, _: &'a Place) -> Boxed<'a, Result<(serde_json::Value, Archived), Condition>> {
        refused()
    }
    fn remove<'a>(&'a self, _: &'a Place) -> Boxed<'a, Result<(), Condition>> {
        refused()
    }
}

impl ImageStore for Nowhere {
    fn upload<'a>(
        &'a self,
        _: ImageId,
        _: Option<&'a str>,
    ) -> Boxed<'a, Result<Box<dyn ImageWriter>, Condition>> {
        refused()
    }
    fn download(&self, _: ImageId) -> Boxed<'_, Result<Box<dyn ImageReader>, Condition>> {
        refused()
    }
    fn load<'a>(
        &'a self,
        _: ImageId,
        _: (&'a str, Option<&'a str>),
        _: (&'a Remote, bool),
        _: &'a dyn Progress,
    ) -> Boxed<'a, Result<(), Condition>> {
        refused()
    }
    fn save<'a>(
        &'a self,
        _: ImageId,
        _: &'a str,
        _: &'a Remote,
        _: &'a dyn Progress,
    ) -> Boxed<'a, Result<StoredImage, Condition>> {
        refused()
    }
    fn remove(&self, _: ImageId) -> Boxed<'_, Result<(), Condition>> {
        refused()
    }
}

impl KeyManager for Nowhere {
    fn is_there(&self) -> bool {
        false
    }

    fn create(&self) -> Boxed<'_, Result<WrappedKey, Condition>> {
        refused()
    }
    fn open<'a>(&'a self, _: &'a DataKey) -> Boxed<'a, Result<Arc<dyn SectorCipher>, Condition>> {
        refused()
    }
}
