//! A Glance that keeps images: volumes are filled from it and saved to it.
//!
//! Raw images stream between it and the volume; qcow2 takes a detour through a file of the spool, because it is read at
//! any place and written last-things-first. Bytes that came are proved against the image's own checksum before the work
//! counts as done, and what was sent is proved against what Glance says it got.

mod document;
mod download;
mod sums;
mod upload;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parpen_base::Boxed;
use parpen_block::{Progress, Remote};
use parpen_image::{Disk, Format, transfer};
use parpen_model::ports::{ForeignImages, ImageReader, ImageStore, ImageWriter, StoredImage};
use parpen_model::{Condition, Image, ImageId, Kind, ProjectId};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::wire::Answer;
use crate::{Account, Wire};
use document::Known;
use upload::Source;

/// A Glance, spoken to in the name of this service's account, which needs the role `admin` to see every project's images.
pub struct Glance {
    account: Arc<Account>,
    wire: Wire,
    /// Under which key an image's own properties are kept.
    properties: &'static str,
    spool: PathBuf,
}

/// Runs work that waits for the disk.
async fn off<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Condition> + Send + 'static,
) -> Result<T, Condition> {
    tokio::task::spawn_blocking(work).await.map_err(Condition::internal)?
}

fn spooled(e: std::io::Error) -> Condition {
    match e.kind() {
        std::io::ErrorKind::StorageFull => Condition::NoSpace(
            "the file system of the data directory has no room for an image in passing".into(),
        ),
        _ => Condition::Unavailable(format!("a file of the spool cannot be used: {e}")),
    }
}

/// A file for an image in passing; it is gone when this is.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_file(&self.0)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(error = %e, "a file of the spool stays until the next start");
        }
    }
}

impl Glance {
    /// The Glance at the end of that way. `spool` is a folder of its own; what an earlier life left there is removed.
    pub fn open(
        account: Arc<Account>,
        wire: Wire,
        properties: &'static str,
        spool: &Path,
    ) -> Result<Glance, Condition> {
        std::fs::create_dir_all(spool).map_err(spooled)?;
        for entry in std::fs::read_dir(spool).map_err(spooled)? {
            let path = entry.map_err(spooled)?.path();
            if path.extension().is_some_and(|e| e == "part") {
                std::fs::remove_file(path).map_err(spooled)?;
            }
        }
        Ok(Glance { account, wire, properties, spool: spool.to_path_buf() })
    }

    fn part(&self, id: ImageId, way: &str) -> Result<(Part, File), Condition> {
        let path = self.spool.join(format!("{id}-{way}.part"));
        let open =
            OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(&path);
        Ok((Part(path), open.map_err(spooled)?))
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Result<Answer, Condition> {
        let request = || {
            let request = self.wire.request(method.clone(), path);
            match &body {
                Some((kind, text)) => request.header("content-type", *kind).body(text.clone()),
                None => request,
            }
        };
        let answer = self.account.ask(&self.wire, request).await?;
        tracing::debug!(%method, path, status = answer.status.as_u16(), "asked Glance");
        Ok(answer)
    }

    /// What it knows of an image; `None`: there is none.
    async fn known(&self, id: ImageId) -> Result<Option<Known>, Condition> {
        let answer = self.ask(Method::GET, &format!("/v2/images/{id}"), None).await?;
        match answer.status {
            StatusCode::OK => Known::read(answer.document, self.properties).map_err(|why| {
                tracing::error!(image = %id, why, "an image's document cannot be read");
                self.wire.away("describes an image in a way that is not known here")
            }),
            StatusCode::NOT_FOUND => Ok(None),
            other => Err(self.unexpected("an image", other)),
        }
    }

    async fn there(&self, id: ImageId) -> Result<Known, Condition> {
        self.known(id).await?.ok_or_else(|| Condition::not_found(Kind::Image, id))
    }

    fn unexpected(&self, about: &str, status: StatusCode) -> Condition {
        match status {
            StatusCode::FORBIDDEN => {
                self.wire.away("forbids that to this service's account: give it the role admin")
            }
            other => self.wire.away(&format!("answers {} about {about}", other.as_u16())),
        }
    }

    async fn announced(&self, i: &Image) -> Result<(), Condition> {
        let body = document::new_image(i, self.properties).to_string();
        let answer = self.ask(Method::POST, "/v2/images", Some(("application/json", body))).await?;
        match answer.status {
            StatusCode::CREATED => Ok(()),
            // Ours, from before: nobody else has drawn this id.
            StatusCode::CONFLICT if self.known(i.id).await?.is_some() => Ok(()),
            StatusCode::FORBIDDEN => Err(self.unexpected("", StatusCode::FORBIDDEN)),
            other if other.is_client_error() => {
                let why = format!("{} refuses the new image with {}", self.wire.name(), other.as_u16());
                Err(Condition::invalid("image", why))
            }
            other => Err(self.unexpected("a new image", other)),
        }
    }

    async fn removed(&self, id: ImageId) -> Result<(), Condition> {
        let path = format!("/v2/images/{id}");
        let delete = || self.ask(Method::DELETE, &path, None);
        let mut answer = delete().await?;
        if answer.status == StatusCode::FORBIDDEN && self.known(id).await?.is_some_and(|k| k.image.protected)
        {
            let body = json!([{ "op": "replace", "path": "/protected", "value": false }]).to_string();
            self.ask(Method::PATCH, &path, Some((document::PATCH, body))).await?;
            answer = delete().await?;
        }
        match answer.status {
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND | StatusCode::GONE => Ok(()),
            other => Err(self.unexpected("the end of an image", other)),
        }
    }

    async fn fill(
        &self,
        id: ImageId,
        format: Format,
        (to, blank): (&Remote, bool),
        progress: &dyn Progress,
    ) -> Result<(), Condition> {
        let known = self.there(id).await?;
        // What an earlier try has left may be anything.
        let blank = blank && transfer::is_blank(to).await?;
        match format {
            Format::Raw => self.stream_into(&known, to, blank, progress).await,
            Format::Qcow2 => {
                let (part, file) = self.part(id, "in")?;
                let file = self.stream_to_file(&known, file).await?;
                let disk = off(move || Disk::open(file, format)).await?;
                transfer::load(disk, to, blank, progress).await?;
                drop(part);
                Ok(())
            }
        }
    }

    async fn store(
        &self,
        id: ImageId,
        format: Format,
        from: &Remote,
        progress: &dyn Progress,
    ) -> Result<StoredImage, Condition> {
        let size = from.geometry().size;
        let (mut stored, _part) = match format {
            Format::Raw => (self.send_all(id, &Source::Device(from), size, Some(progress)).await?, None),
            Format::Qcow2 => {
                let (part, file) = self.part(id, "out")?;
                let written = file.try_clone().map_err(spooled)?;
                transfer::save(file, format, from, progress).await?;
                let len = written.metadata().map_err(spooled)?.len();
                let source = Source::File(Arc::new(written));
                (self.send_all(id, &source, len, None).await?, Some(part))
            }
        };
        stored.virtual_size = Some(size);
        Ok(stored)
    }
}

impl ForeignImages for Glance {
    fn address(&self) -> &str {
        self.wire.root()
    }

    fn find(&self, id: ImageId) -> Boxed<'_, Result<Option<Image>, Condition>> {
        Box::pin(async move { Ok(self.known(id).await?.map(|k| k.image)) })
    }

    fn is_shared_with(&self, id: ImageId, project: ProjectId) -> Boxed<'_, Result<bool, Condition>> {
        Box::pin(async move {
            let path = format!("/v2/images/{id}/members/{}", project.0.simple());
            match self.ask(Method::GET, &path, None).await?.status {
                StatusCode::OK => Ok(true),
                StatusCode::NOT_FOUND => Ok(false),
                other => Err(self.unexpected("the members of an image", other)),
            }
        })
    }

    fn announce<'a>(&'a self, image: &'a Image) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(self.announced(image))
    }
}

fn at_glance<T: 'static>() -> Boxed<'static, Result<T, Condition>> {
    Box::pin(async {
        Err(Condition::Unsupported("the bytes of this image are moved by Glance itself".into()))
    })
}

impl ImageStore for Glance {
    fn upload<'a>(
        &'a self,
        _: ImageId,
        _: Option<&'a str>,
    ) -> Boxed<'a, Result<Box<dyn ImageWriter>, Condition>> {
        at_glance()
    }

    fn download(&self, _: ImageId) -> Boxed<'_, Result<Box<dyn ImageReader>, Condition>> {
        at_glance()
    }

    fn load<'a>(
        &'a self,
        id: ImageId,
        (format, _): (&'a str, Option<&'a str>),
        to: (&'a Remote, bool),
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async move { self.fill(id, Format::parse(format)?, to, progress).await })
    }

    fn save<'a>(
        &'a self,
        id: ImageId,
        format: &'a str,
        from: &'a Remote,
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<StoredImage, Condition>> {
        Box::pin(async move { self.store(id, Format::parse(format)?, from, progress).await })
    }

    fn remove(&self, id: ImageId) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(self.removed(id))
    }

    fn elsewhere(&self) -> Option<&dyn ForeignImages> {
        Some(self)
    }
}
