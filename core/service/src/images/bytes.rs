//! An image's bytes: in once, out as often as wanted.

use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{ImageEvent, ImageState};
use parpen_model::ports::{ImageReader, ImageWriter, StoredImage};
use parpen_model::{Condition, Image, ImageId, Kind, Scope, WriteTx, read, write};

use super::step;
use crate::Ports;

/// An image whose bytes are coming.
pub struct Uploading {
    ports: Ports,
    id: ImageId,
    to: Box<dyn ImageWriter>,
}

/// Begins to take an image's bytes. An upload that is dropped is taken back at the next start, or by [`Uploading::broke`].
pub async fn upload(ports: &Ports, actor: &Actor, id: ImageId) -> Result<Uploading, Condition> {
    super::kept_here(ports)?;
    let actor = actor.clone();
    let (i, _) = write(&*ports.meta, move |tx| {
        let mut i: Image = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Write, Some(i.project))?;
        if i.disk_format.is_none() || i.container_format.is_none() {
            return Err(Condition::invalid(
                "disk_format",
                "set disk_format and container_format before uploading",
            ));
        }
        step(&mut i, ImageEvent::Upload)?;
        tx.update(&mut i)?;
        Ok(i)
    })
    .await?;
    match ports.images.upload(id, i.disk_format.as_deref()).await {
        Ok(to) => Ok(Uploading { ports: ports.clone(), id, to }),
        Err(e) => {
            ended(ports, id, None).await?;
            Err(e)
        }
    }
}

/// The row after its bytes came, or did not.
pub(super) fn settle(
    tx: &mut dyn WriteTx,
    id: ImageId,
    stored: Option<&StoredImage>,
) -> Result<(), Condition> {
    let Some(mut i) = tx.read().find::<Image>(Scope::All, id)? else { return Ok(()) };
    if i.state != ImageState::Saving {
        return Ok(());
    }
    match stored {
        Some(s) => {
            step(&mut i, ImageEvent::Stored)?;
            (i.size, i.virtual_size) = (Some(s.size), s.virtual_size);
            (i.md5, i.sha512) = (Some(s.md5.clone()), Some(s.sha512.clone()));
        }
        None => step(&mut i, ImageEvent::Broke)?,
    }
    tx.update(&mut i)
}

async fn ended(ports: &Ports, id: ImageId, stored: Option<StoredImage>) -> Result<(), Condition> {
    write(&*ports.meta, move |tx| settle(tx, id, stored.as_ref())).await.map(|_| ())
}

impl Uploading {
    /// The next bytes.
    pub async fn write(&mut self, piece: Vec<u8>) -> Result<(), Condition> {
        self.to.write(piece).await
    }

    /// That was all; bytes that are none of the image's format are refused.
    pub async fn finish(self) -> Result<(), Condition> {
        match self.to.finish().await {
            Ok(stored) => ended(&self.ports, self.id, Some(stored)).await,
            Err(e) => {
                ended(&self.ports, self.id, None).await?;
                let id = self.id;
                // Whoever deleted it meanwhile took its bytes away: that is no fault of the store.
                match read(&*self.ports.meta, move |tx| tx.find::<Image>(Scope::All, id)).await? {
                    None => Err(Condition::not_found(Kind::Image, id)),
                    Some(_) => Err(e),
                }
            }
        }
    }

    /// No more will come.
    pub async fn broke(self) -> Result<(), Condition> {
        ended(&self.ports, self.id, None).await
    }
}

/// An image's bytes.
pub async fn download(
    ports: &Ports,
    actor: &Actor,
    id: ImageId,
) -> Result<(Image, Option<Box<dyn ImageReader>>), Condition> {
    let i = super::get(ports, actor, id).await?;
    match i.state {
        ImageState::Queued | ImageState::Saving => return Ok((i, None)),
        ImageState::Deactivated if may(actor, Power::Operate, Some(i.project)).is_err() => {
            return Err(Condition::Forbidden(format!(
                "the {} {id} is deactivated; an administrator can reactivate it",
                Kind::Image.word()
            )));
        }
        ImageState::Active | ImageState::Deactivated => {}
    }
    let reader = ports.images.download(id).await?;
    Ok((i, Some(reader)))
}
