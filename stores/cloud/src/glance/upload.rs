//! Bytes into Glance, and the proof that they came.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use parpen_block::{Progress, Remote};
use parpen_image::transfer::{self, WINDOW};
use parpen_model::lifecycle::ImageState;
use parpen_model::ports::StoredImage;
use parpen_model::{Condition, ImageId, Kind};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, StatusCode};
use tokio::sync::mpsc;

use super::document::Known;
use super::sums::Both;
use super::{Glance, off, spooled};

/// Pieces that wait to be sent.
const AHEAD: usize = 2;
/// How long Glance may take to see that an earlier upload has broken off.
const BUSY: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

/// Where bytes come from.
pub(super) enum Source<'a> {
    Device(&'a Remote),
    File(Arc<File>),
}

impl Source<'_> {
    async fn piece(&self, at: u64, len: u64) -> Result<Vec<u8>, Condition> {
        match self {
            Source::Device(from) => transfer::window(from, at, len).await,
            Source::File(file) => {
                let file = file.clone();
                off(move || {
                    let mut bytes = vec![0; len as usize];
                    file.read_exact_at(&mut bytes, at).map_err(spooled)?;
                    Ok(bytes)
                })
                .await
            }
        }
    }
}

type Pieces = mpsc::Sender<std::io::Result<Bytes>>;

impl Glance {
    /// All bytes of a source become those of an image that was announced.
    pub(super) async fn send_all(
        &self,
        id: ImageId,
        source: &Source<'_>,
        size: u64,
        progress: Option<&dyn Progress>,
    ) -> Result<StoredImage, Condition> {
        let known = self.at_rest(id).await?;
        let (md5, sha512) = match known.image.state {
            // An earlier life has sent them, or a part of them that was taken for all.
            ImageState::Active => self.produce(source, size, None, progress).await?,
            _ => self.put(id, source, size, progress).await?,
        };
        let known = self.whole(id).await?;
        let has = |value: &Option<String>, ours: &str| value.as_ref().is_none_or(|v| v == ours);
        let i = &known.image;
        if i.size != Some(size) || !has(&i.md5, &md5) || !has(&i.sha512, &sha512) {
            self.removed(id).await?;
            let why = format!("{} has other bytes of image {id} than were sent", self.wire.name());
            return Err(Condition::DataLost(why));
        }
        Ok(StoredImage { size, virtual_size: None, md5, sha512 })
    }

    /// The image when no upload of it is under way, as one of an earlier life may be.
    async fn at_rest(&self, id: ImageId) -> Result<Known, Condition> {
        let mut waited = Duration::ZERO;
        loop {
            let known = self.there(id).await?;
            if known.image.state != ImageState::Saving {
                return Ok(known);
            }
            if waited >= BUSY {
                return Err(self.wire.away("is still busy with an earlier upload of the same image"));
            }
            tokio::time::sleep(PAUSE).await;
            waited += PAUSE;
        }
    }

    /// The image when it is all there.
    async fn whole(&self, id: ImageId) -> Result<Known, Condition> {
        let mut waited = Duration::ZERO;
        loop {
            let known = self.there(id).await?;
            match known.image.state {
                ImageState::Active | ImageState::Deactivated => return Ok(known),
                ImageState::Saving if waited < self.wire.patience.digestion => {}
                _ => {
                    return Err(self
                        .wire
                        .away("took an image's bytes and has not kept them: its log says why"));
                }
            }
            tokio::time::sleep(PAUSE).await;
            waited += PAUSE;
        }
    }

    async fn put(
        &self,
        id: ImageId,
        source: &Source<'_>,
        size: u64,
        progress: Option<&dyn Progress>,
    ) -> Result<(String, String), Condition> {
        let (pieces, taken) = mpsc::channel::<std::io::Result<Bytes>>(AHEAD);
        let body = stream::unfold(taken, |mut taken| async move { taken.recv().await.map(|p| (p, taken)) });
        let request = self
            .wire
            .upload(&format!("/v2/images/{id}/file"))
            .header("x-auth-token", self.account.fresh().await?)
            .header(CONTENT_TYPE, "application/octet-stream")
            // Told beforehand, so that a part is never taken for all.
            .header(CONTENT_LENGTH, size)
            .body(Body::wrap_stream(body));
        let sending = self.wire.send(request);
        let producing = self.produce(source, size, Some(pieces), progress);
        tokio::pin!(sending, producing);
        let (status, sums) = tokio::select! {
            // An answer before the end of the bytes is a refusal; one at their very end may be seen before it.
            early = &mut sending => {
                let status = early?.status();
                let last = match status {
                    StatusCode::NO_CONTENT => tokio::time::timeout(self.wire.patience.answer, producing).await.ok(),
                    _ => None,
                };
                (status, last.transpose()?)
            }
            sums = &mut producing => {
                let sums = sums?;
                let late = tokio::time::timeout(self.wire.patience.digestion, sending).await;
                let late = late.map_err(|_| self.wire.away("does not say what became of an image's bytes"))?;
                (late?.status(), Some(sums))
            }
        };
        match (status, sums) {
            (StatusCode::NO_CONTENT, Some(sums)) => Ok(sums),
            (StatusCode::NOT_FOUND | StatusCode::GONE, _) => Err(Condition::not_found(Kind::Image, id)),
            (StatusCode::PAYLOAD_TOO_LARGE, _) => {
                Err(Condition::NoSpace(format!("{} has no room for image {id}", self.wire.name())))
            }
            (other, _) => Err(self.unexpected("an image's bytes", other)),
        }
    }

    /// Reads all of a source, into `pieces` if there are any; answers MD5 and SHA-512.
    async fn produce(
        &self,
        source: &Source<'_>,
        size: u64,
        pieces: Option<Pieces>,
        progress: Option<&dyn Progress>,
    ) -> Result<(String, String), Condition> {
        let mut sums = Both::default();
        let mut at = 0;
        while at < size {
            let len = (size - at).min(WINDOW);
            let bytes = Bytes::from(source.piece(at, len).await?);
            sums = {
                let bytes = bytes.clone();
                off(move || {
                    sums.update(&bytes);
                    Ok(sums)
                })
                .await?
            };
            if let Some(pieces) = &pieces {
                let sent = tokio::time::timeout(self.wire.patience.silence, pieces.send(Ok(bytes))).await;
                match sent {
                    Ok(Ok(())) => {}
                    // The request is over before its body: it has the reason.
                    Ok(Err(_)) => std::future::pending().await,
                    Err(_) => return Err(self.wire.away("takes no more bytes of an image")),
                }
            }
            at += len;
            if let Some(progress) = progress {
                progress.moved(at);
            }
        }
        Ok(sums.finish())
    }
}
