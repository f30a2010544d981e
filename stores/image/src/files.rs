//! A directory of images.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use md5::Md5;
use parpen_base::Boxed;
use parpen_block::{Progress, Remote};
use parpen_model::ports::{ImageReader, ImageStore, ImageWriter, StoredImage};
use parpen_model::{Condition, ImageId, Kind};
use sha2::{Digest, Sha512};

use crate::disk::{Disk, Format, unreadable};
use crate::transfer;

/// Bytes that are hashed at a time.
const PIECE: usize = 1 << 20;

/// Images in a directory.
pub struct ImageDir {
    dir: PathBuf,
}

/// Runs work that waits for the disk.
pub(crate) async fn off<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Condition> + Send + 'static,
) -> Result<T, Condition> {
    tokio::task::spawn_blocking(work).await.map_err(Condition::internal)?
}

pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

impl ImageDir {
    /// The directory, made if need be.
    pub fn open(dir: &Path) -> Result<ImageDir, Condition> {
        std::fs::create_dir_all(dir)
            .map_err(|e| Condition::Unavailable(format!("images in {}: {e}", dir.display())))?;
        Ok(ImageDir { dir: dir.to_path_buf() })
    }

    pub(crate) fn path(&self, id: ImageId) -> PathBuf {
        self.dir.join(id.to_string())
    }

    pub(crate) fn part(&self, id: ImageId) -> PathBuf {
        self.dir.join(format!("{id}.part"))
    }

    pub(crate) fn file(&self, id: ImageId) -> Result<File, Condition> {
        File::open(self.path(id)).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Condition::not_found(Kind::Image, id),
            _ => unreadable(e),
        })
    }
}

/// A new file that only the service reads.
pub(crate) fn fresh(path: &Path) -> Result<File, Condition> {
    let open = OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(path);
    open.map_err(unreadable)
}

/// Makes a finished part the image, durably; answers its figures.
pub(crate) fn settle(part: &Path, whole: &Path, format: Option<&str>) -> Result<StoredImage, Condition> {
    let file = File::open(part).map_err(unreadable)?;
    file.sync_all().map_err(unreadable)?;
    let (md5, sha512, size) = hashes(&file)?;
    let virtual_size = match format.map(Format::parse) {
        Some(Ok(format)) => Some(Disk::open(file, format)?.size()),
        Some(Err(_)) | None => None,
    };
    std::fs::rename(part, whole).map_err(unreadable)?;
    if let Some(dir) = whole.parent() {
        File::open(dir).and_then(|d| d.sync_all()).map_err(unreadable)?;
    }
    Ok(StoredImage { size, virtual_size, md5, sha512 })
}

/// MD5, SHA-512 and length.
fn hashes(mut file: &File) -> Result<(String, String, u64), Condition> {
    let (mut md5, mut sha, mut size, mut piece) =
        (<Md5 as md5::Digest>::new(), Sha512::new(), 0, vec![0; PIECE]);
    loop {
        let n = file.read(&mut piece).map_err(unreadable)?;
        if n == 0 {
            return Ok((hex(md5::Digest::finalize(md5)), hex(sha.finalize()), size));
        }
        md5::Digest::update(&mut md5, &piece[..n]);
        sha.update(&piece[..n]);
        size += n as u64;
    }
}

/// Refuses a file whose bytes are not those that were stored.
pub(crate) fn prove(file: &File, sha512: Option<&str>) -> Result<(), Condition> {
    let Some(wanted) = sha512 else { return Ok(()) };
    match hashes(file)?.1 == wanted {
        true => Ok(()),
        false => Err(Condition::DataLost("the image's file does not match its checksum".into())),
    }
}

struct Upload {
    file: Option<File>,
    part: PathBuf,
    whole: PathBuf,
    format: Option<String>,
}

impl ImageWriter for Upload {
    fn write(&mut self, piece: Vec<u8>) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move {
            let mut file =
                self.file.take().ok_or_else(|| Condition::internal("an upload that failed goes on"))?;
            let file = off(move || file.write_all(&piece).map(|()| file).map_err(unreadable)).await?;
            self.file = Some(file);
            Ok(())
        })
    }

    fn finish(self: Box<Self>) -> Boxed<'static, Result<StoredImage, Condition>> {
        Box::pin(off(move || {
            let done = settle(&self.part, &self.whole, self.format.as_deref());
            if done.is_err()
                && let Err(e) = std::fs::remove_file(&self.part)
            {
                tracing::warn!(error = %e, "a part of an image stays until the image is uploaded again or deleted");
            }
            done
        }))
    }
}

struct Download {
    file: Arc<File>,
    size: u64,
}

impl ImageReader for Download {
    fn size(&self) -> u64 {
        self.size
    }
    fn read(&self, offset: u64, len: usize) -> Boxed<'static, Result<Vec<u8>, Condition>> {
        let file = self.file.clone();
        Box::pin(off(move || {
            let mut buf = vec![0; len];
            file.read_exact_at(&mut buf, offset).map_err(unreadable)?;
            Ok(buf)
        }))
    }
}

impl ImageStore for ImageDir {
    fn upload<'a>(
        &'a self,
        id: ImageId,
        format: Option<&'a str>,
    ) -> Boxed<'a, Result<Box<dyn ImageWriter>, Condition>> {
        let (part, whole, format) = (self.part(id), self.path(id), format.map(str::to_string));
        Box::pin(off(move || {
            let file = Some(fresh(&part)?);
            Ok(Box::new(Upload { file, part, whole, format }) as Box<dyn ImageWriter>)
        }))
    }

    fn download(&self, id: ImageId) -> Boxed<'_, Result<Box<dyn ImageReader>, Condition>> {
        Box::pin(async move {
            let file = self.file(id)?;
            let size = file.metadata().map_err(unreadable)?.len();
            Ok(Box::new(Download { file: Arc::new(file), size }) as Box<dyn ImageReader>)
        })
    }

    fn load<'a>(
        &'a self,
        id: ImageId,
        (format, sha512): (&'a str, Option<&'a str>),
        (to, blank): (&'a Remote, bool),
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async move {
            let (file, format) = (self.file(id)?, Format::parse(format)?);
            let sha512 = sha512.map(str::to_string);
            let disk = off(move || {
                prove(&file, sha512.as_deref())?;
                Disk::open(file, format)
            })
            .await?;
            transfer::load(disk, to, blank, progress).await
        })
    }

    fn save<'a>(
        &'a self,
        id: ImageId,
        format: &'a str,
        from: &'a Remote,
        progress: &'a dyn Progress,
    ) -> Boxed<'a, Result<StoredImage, Condition>> {
        Box::pin(async move {
            let (part, whole) = (self.part(id), self.path(id));
            let made = fresh(&part)?;
            transfer::save(made, Format::parse(format)?, from, progress).await?;
            let format = format.to_string();
            off(move || settle(&part, &whole, Some(&format))).await
        })
    }

    fn remove(&self, id: ImageId) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move {
            for path in [self.part(id), self.path(id)] {
                match std::fs::remove_file(path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(unreadable(e)),
                    _ => {}
                }
            }
            Ok(())
        })
    }
}
