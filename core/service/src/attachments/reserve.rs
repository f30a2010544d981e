//! Announcing an attachment.

use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{AttachState, Life, Work};
use parpen_model::{
    Attachment, AttachmentId, Attributes, Condition, Kind, Rights, Stamp, Volume, VolumeId, write,
};

use super::{export_name, refuse_conflict, settle};
use crate::Ports;

/// What is announced.
#[derive(Clone, Debug)]
pub struct Reserve {
    /// What is to be attached.
    pub volume: VolumeId,
    /// What the holder will do.
    pub rights: Rights,
    /// The machine it is for, in its own words.
    pub instance: Option<String>,
    /// What the API keeps with it.
    pub attributes: Attributes,
}

/// A volume that is becoming a snapshot takes no new holder.
pub(super) fn refuse_freezing(v: &Volume) -> Result<(), Condition> {
    if !v.work.contains(&Work::Freezing) {
        return Ok(());
    }
    let (what, name) = (Kind::Volume, v.handle.to_string());
    Err(Condition::WrongState { what, name, actual: Work::Freezing.to_string(), wanted: "ready".into() })
}

/// Reserves a volume: from now on nobody else gets it exclusively. The holder is named later.
pub async fn reserve(ports: &Ports, actor: &Actor, want: Reserve) -> Result<(Attachment, u64), Condition> {
    let (actor, stamp) = (actor.clone(), Stamp::at(ports.clock.now()));
    let (id, export) = (AttachmentId(ports.entropy.uuid()), export_name(&*ports.entropy));
    write(&*ports.meta, move |tx| {
        let v: Volume = tx.read().get(actor.scope, want.volume)?;
        may(&actor, Power::Write, Some(v.project))?;
        if v.life != Life::Ready {
            let (what, name) = (Kind::Volume, v.handle.to_string());
            return Err(Condition::WrongState {
                what,
                name,
                actual: v.life.to_string(),
                wanted: "ready".into(),
            });
        }
        refuse_freezing(&v)?;
        refuse_conflict(tx.read(), &v, !v.shared, &[])?;
        let mut a = Attachment {
            id,
            subject: v.id.into(),
            project: v.project,
            host: None,
            rights: if v.readonly { Rights::ReadOnly } else { want.rights },
            exclusive: !v.shared,
            state: AttachState::Reserved,
            export: export.clone(),
            slot: None,
            mountpoint: None,
            instance: want.instance.clone(),
            attached: None,
            attributes: want.attributes.clone(),
            stamp,
        };
        tx.insert(&mut a)?;
        settle(tx, a.subject)?;
        Ok(a)
    })
    .await
}
