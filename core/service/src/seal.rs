//! Encryption at rest: whose bytes are encrypted, with what, and how every way to them passes it.

use std::sync::Arc;

use parpen_block::{BlockDevice, Crypt, SectorCipher, Turns};
use parpen_model::lifecycle::Life;
use parpen_model::{
    Backup, Condition, DataKey, Query, ReadTx, Scope, Snapshot, Subject, Volume, VolumeId, VolumeType, read,
    write,
};

use crate::Backends;
use crate::jobs::World;

/// What stands between a session and the stored bytes.
pub(crate) struct Seal(Option<(Arc<dyn SectorCipher>, Turns)>);

impl Seal {
    /// Nothing: the session sees what is stored.
    pub(crate) fn none() -> Seal {
        Seal(None)
    }

    /// The device as the session sees it.
    pub(crate) fn over(self, device: Arc<dyn BlockDevice>) -> Arc<dyn BlockDevice> {
        match self.0 {
            Some((cipher, turns)) => Arc::new(Crypt::new(device, cipher, turns)),
            None => device,
        }
    }
}

/// The key of a volume or snapshot.
fn key_of(tx: &dyn ReadTx, subject: Subject) -> Result<Option<DataKey>, Condition> {
    Ok(match subject {
        Subject::Volume(id) => tx.get::<Volume>(Scope::All, id)?.key,
        Subject::Snapshot(id) => tx.get::<Snapshot>(Scope::All, id)?.key,
    })
}

/// The seal on a volume or snapshot.
pub(crate) async fn seal(
    meta: &dyn parpen_model::ports::MetaStore,
    backends: &Backends,
    subject: Subject,
) -> Result<Seal, Condition> {
    match read(meta, move |tx| key_of(tx, subject)).await? {
        Some(key) => Ok(Seal(Some((backends.cipher(&key).await?, backends.turns(subject))))),
        None => Ok(Seal::none()),
    }
}

/// The key that a new volume begins with: its source's, or none yet ([`ensure`] makes one where its type wants it).
pub(crate) fn inherited(
    source: Option<&DataKey>,
    has_source: bool,
    kind: Option<&VolumeType>,
) -> Result<Option<DataKey>, Condition> {
    if has_source && source.is_none() && kind.is_some_and(VolumeType::is_sealed) {
        return Err(Condition::invalid(
            "volume_type",
            "Invalid input received: volumes of an encrypted type cannot be made from unencrypted ones",
        ));
    }
    Ok(source.cloned())
}

/// Whether data keys are kept, so that what wraps them is needed.
fn is_used(tx: &dyn ReadTx) -> Result<bool, Condition> {
    let all = Query::default();
    Ok(tx.list::<Volume>(Scope::All, &all)?.iter().any(|v| v.key.is_some())
        || tx.list::<Snapshot>(Scope::All, &all)?.iter().any(|s| s.key.is_some())
        || tx.list::<Backup>(Scope::All, &all)?.iter().any(|b| b.key.is_some()))
}

/// A new one in its place would open nothing of what there is, and stand in the old one's way.
fn lost() -> Condition {
    let why = "the key of encrypted volumes' keys is gone: put it back where the settings' [keys] say";
    Condition::Unavailable(why.into())
}

/// Says so at the start where the key is gone that opens what is encrypted.
pub(crate) async fn warn_of_loss(world: &World) -> Result<(), Condition> {
    if !world.copies.keys.is_there() && read(&*world.meta, is_used).await? {
        tracing::error!("encrypted volumes and backups cannot be opened: {}", lost());
    }
    Ok(())
}

/// Makes the key of a volume that is being made, if its type wants one and it has none; answers the row.
pub(crate) async fn ensure(world: &World, id: VolumeId) -> Result<Volume, Condition> {
    let (v, wanted) = read(&*world.meta, move |tx| {
        let v: Volume = tx.get(Scope::All, id)?;
        let kind = v.volume_type.map(|t| tx.find::<VolumeType>(Scope::All, t)).transpose()?.flatten();
        let wanted = v.life == Life::Creating
            && v.key.is_none()
            && v.made_from.is_none()
            && kind.is_some_and(|t| t.is_sealed());
        Ok((v, wanted))
    })
    .await?;
    if !wanted {
        return Ok(v);
    }
    if !world.copies.keys.is_there() && read(&*world.meta, is_used).await? {
        return Err(lost());
    }
    let (new, key) = (world.copies.keys.create().await?, parpen_model::KeyId(world.entropy.uuid()));
    let (v, _) = write(&*world.meta, move |tx| {
        let mut v: Volume = tx.read().get(Scope::All, id)?;
        if v.key.is_none() {
            let (wrapped_by, wrapped) = (new.wrapped_by.clone(), new.wrapped.clone());
            v.key = Some(DataKey { id: key, wrapped_by, wrapped });
            tx.update(&mut v)?;
        }
        Ok(v)
    })
    .await?;
    Ok(v)
}

/// Refuses another type where the bytes would have to be encrypted anew.
pub(crate) fn check_retype(v: &Volume, to: Option<&VolumeType>) -> Result<(), Condition> {
    match v.key.is_some() == to.is_some_and(VolumeType::is_sealed) {
        true => Ok(()),
        false => Err(Condition::invalid(
            "volume_type",
            "Retype does not encrypt or decrypt: upload the volume to an image and make a volume of that type from it",
        )),
    }
}
