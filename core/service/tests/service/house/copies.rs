//! Backups and images in directories, whose process may die before and after each verb.

use std::sync::Arc;

use parpen_archive::ObjectArchive;
use parpen_base::Boxed;
use parpen_block::{Progress, Remote};
use parpen_image::ImageDir;
use parpen_model::ports::{
    Archive, Archived, ImageReader, ImageStore, ImageWriter, NewArchive, Place, StoredImage, Target,
};
use parpen_model::{Condition, ImageId};

use super::mortal::Life;

/// Both stores of copies.
pub struct MortalCopies {
    pub archive: ObjectArchive,
    pub images: ImageDir,
    pub life: Arc<Life>,
}

impl MortalCopies {
    async fn verb<T>(&self, work: Boxed<'_, Result<T, Condition>>) -> Result<T, Condition> {
        self.life.point().await;
        let done = work.await;
        self.life.point().await;
        done
    }
}

impl Archive for MortalCopies {
    fn store<'a>(
        &'a self,
        new: &'a NewArchive,
        from: &'a Remote,
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<Archived, Condition>> {
        Box::pin(self.verb(self.archive.store(new, from, progress)))
    }
    fn load<'a>(
        &'a self,
        at: &'a Place,
        to: &'a Target,
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(self.verb(self.archive.load(at, to, progress)))
    }
    fn verify<'a>(
        &'a self,
        at: &'a Place,
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<Archived, Condition>> {
        Box::pin(self.verb(self.archive.verify(at, progress)))
    }
    fn facts<'a>(&'a self, at: &'a Place) -> Boxed<'a, Result<(serde_json::Value, Archived), Condition>> {
        Box::pin(self.verb(self.archive.facts(at)))
    }
    fn remove<'a>(&'a self, at: &'a Place) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(self.verb(self.archive.remove(at)))
    }
}

impl ImageStore for MortalCopies {
    fn upload<'a>(
        &'a self,
        id: ImageId,
        format: Option<&'a str>,
    ) -> Boxed<'a, Result<Box<dyn ImageWriter>, Condition>> {
        Box::pin(self.verb(self.images.upload(id, format)))
    }
    fn download(&self, id: ImageId) -> Boxed<'_, Result<Box<dyn ImageReader>, Condition>> {
        self.images.download(id)
    }
    fn load<'a>(
        &'a self,
        id: ImageId,
        what: (&'a str, Option<&'a str>),
        to: (&'a Remote, bool),
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(self.verb(self.images.load(id, what, to, progress)))
    }
    fn save<'a>(
        &'a self,
        id: ImageId,
        format: &'a str,
        from: &'a Remote,
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<StoredImage, Condition>> {
        Box::pin(self.verb(self.images.save(id, format, from, progress)))
    }
    fn remove(&self, id: ImageId) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(self.verb(self.images.remove(id)))
    }
}
