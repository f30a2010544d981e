//! An image's bytes out of Glance, in order, once, and proved.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use parpen_block::{Progress, Remote};
use parpen_image::transfer::{self, WINDOW};
use parpen_model::lifecycle::ImageState;
use parpen_model::{Condition, ImageId, Kind};
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Response, StatusCode};

use super::document::Known;
use super::sums::Sum;
use super::{Glance, off, spooled};

/// How often a broken download goes on without a byte in between.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// A download that goes on where it broke off.
struct Download<'a> {
    glance: &'a Glance,
    id: ImageId,
    size: u64,
    at: u64,
    /// Bytes of the present answer that were had before.
    skip: u64,
    response: Option<Response>,
    tries: u32,
    sum: Option<Sum>,
}

impl<'a> Download<'a> {
    fn new(glance: &'a Glance, known: &Known) -> Result<Download<'a>, Condition> {
        let i = &known.image;
        let size = i.size.filter(|_| i.state == ImageState::Active);
        let none = || Condition::invalid("image", format!("Image {} is not active.", i.id));
        let sum = Sum::of(&known.sums);
        if sum.is_none() {
            tracing::warn!(image = %i.id, "Glance has no checksum of an image: its bytes are taken as they come");
        }
        let size = size.ok_or_else(none)?;
        Ok(Download { glance, id: i.id, size, at: 0, skip: 0, response: None, tries: 0, sum })
    }

    /// Asks for what is still to come.
    async fn open(&mut self) -> Result<Response, Condition> {
        let (wire, at) = (&self.glance.wire, self.at);
        let path = format!("/v2/images/{}/file", self.id);
        let request = || match at {
            0 => wire.download(&path),
            _ => wire.download(&path).header(RANGE, format!("bytes={at}-")),
        };
        let response = self.glance.account.send(wire, request).await?;
        match response.status() {
            StatusCode::OK => self.skip = at,
            StatusCode::PARTIAL_CONTENT => {
                let range = response.headers().get(CONTENT_RANGE).and_then(|r| r.to_str().ok()).unwrap_or("");
                if !range.starts_with(&format!("bytes {at}-")) {
                    return Err(wire.away("answers with another part of an image than it was asked for"));
                }
                self.skip = 0;
            }
            StatusCode::NO_CONTENT => {
                return Err(Condition::DataLost(format!(
                    "{} has no bytes of image {}",
                    wire.name(),
                    self.id
                )));
            }
            StatusCode::NOT_FOUND => return Err(Condition::not_found(Kind::Image, self.id)),
            other => return Err(self.glance.unexpected("an image's bytes", other)),
        }
        Ok(response)
    }

    /// The next bytes; none: that were all, and they are the image's.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Condition> {
        while self.at < self.size {
            let mut response = match self.response.take() {
                Some(response) => response,
                None => self.open().await?,
            };
            let why = match self.glance.wire.chunk(&mut response).await {
                Ok(Some(mut chunk)) => {
                    self.response = Some(response);
                    let had = self.skip.min(chunk.len() as u64);
                    self.skip -= had;
                    chunk.drain(..had as usize);
                    if chunk.is_empty() {
                        continue;
                    }
                    self.take(&chunk)?;
                    return Ok(Some(chunk));
                }
                Ok(None) => self.glance.wire.away("ended an image before its end"),
                Err(why) => why,
            };
            self.tries += 1;
            if self.tries > TRIES {
                return Err(why);
            }
            tracing::info!(image = %self.id, at = self.at, %why, "a download goes on");
            tokio::time::sleep(PAUSE * self.tries).await;
        }
        match self.sum.take().is_none_or(Sum::fits) {
            true => Ok(None),
            false => Err(Condition::DataLost(format!(
                "the bytes of image {} do not match its checksum at {}",
                self.id,
                self.glance.wire.name()
            ))),
        }
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), Condition> {
        self.tries = 0;
        self.at += chunk.len() as u64;
        if self.at > self.size {
            let why = format!("{} has more bytes of image {} than it says", self.glance.wire.name(), self.id);
            return Err(Condition::DataLost(why));
        }
        if let Some(sum) = &mut self.sum {
            sum.update(chunk);
        }
        Ok(())
    }

    /// The next window's worth of bytes, less at the end; nothing: that were all.
    async fn window(&mut self, rest: &mut Vec<u8>) -> Result<Vec<u8>, Condition> {
        while rest.len() < WINDOW as usize {
            match self.next().await? {
                Some(chunk) => rest.extend_from_slice(&chunk),
                None => break,
            }
        }
        let later = rest.split_off(rest.len().min(WINDOW as usize));
        Ok(std::mem::replace(rest, later))
    }
}

impl Glance {
    /// A raw image into a device.
    pub(super) async fn stream_into(
        &self,
        known: &Known,
        to: &Remote,
        blank: bool,
        progress: &dyn Progress,
    ) -> Result<(), Condition> {
        let mut from = Download::new(self, known)?;
        if from.size > to.geometry().size {
            return Err(Condition::invalid("size", "the volume is smaller than the image's disk"));
        }
        let (mut at, mut rest) = (0, Vec::new());
        loop {
            let bytes = from.window(&mut rest).await?;
            if bytes.is_empty() {
                break;
            }
            transfer::put(to, blank, at, &bytes).await?;
            at += bytes.len() as u64;
            progress.moved(at);
        }
        transfer::finish(to, blank, at).await?;
        progress.durable(at);
        Ok(())
    }

    /// Any image into a file.
    pub(super) async fn stream_to_file(&self, known: &Known, file: File) -> Result<File, Condition> {
        let mut from = Download::new(self, known)?;
        let (mut file, mut rest) = (file, Vec::new());
        loop {
            let bytes = from.window(&mut rest).await?;
            if bytes.is_empty() {
                return Ok(file);
            }
            file = off(move || file.write_all(&bytes).map(|()| file).map_err(spooled)).await?;
        }
    }
}
