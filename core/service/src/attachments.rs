//! Attachments: who holds what, and how it is taken away.

mod connect;
mod list;
pub(crate) mod reassign;
mod reserve;

pub use connect::{Connect, complete, connect};
pub use list::{get, list};
pub use reassign::{Change, Detach, detach, reassign};
pub use reserve::{Reserve, reserve};

use parpen_base::Entropy;
use parpen_model::lifecycle::usage;
use parpen_model::{Attachment, Condition, Host, Kind, ReadTx, Scope, Subject, Volume, WriteTx};

/// Slots that one host has.
const SLOTS: u16 = 1024;

/// Who holds a volume or snapshot, in words.
pub(crate) fn holders(tx: &dyn ReadTx, subject: Subject) -> Result<Vec<String>, Condition> {
    tx.children::<Attachment>(subject.uuid())?.iter().map(|a| holder(tx, a)).collect()
}

pub(crate) fn holder(tx: &dyn ReadTx, a: &Attachment) -> Result<String, Condition> {
    Ok(match a.host {
        Some(h) => tx.find::<Host>(Scope::All, h)?.map_or_else(|| h.to_string(), |h| h.name),
        None => a.instance.clone().unwrap_or_else(|| "a reservation".to_string()),
    })
}

/// Brings a volume's use axis in line with its attachments and moves its epoch, so that older rules lose.
pub(crate) fn settle(tx: &mut dyn WriteTx, subject: Subject) -> Result<(), Condition> {
    let Subject::Volume(id) = subject else { return Ok(()) };
    let Some(mut v) = tx.read().find::<Volume>(Scope::All, id)? else { return Ok(()) };
    v.usage = usage(tx.read().children::<Attachment>(id)?.iter().map(|a| a.state));
    v.epoch += 1;
    tx.update(&mut v)
}

/// Refuses an attachment that cannot stand beside the present ones (those in `leaving` do not count).
pub(crate) fn refuse_conflict(
    tx: &dyn ReadTx,
    v: &Volume,
    exclusive: bool,
    leaving: &[parpen_model::AttachmentId],
) -> Result<(), Condition> {
    let present: Vec<Attachment> = tx.children(v.id)?;
    let mut others = present.iter().filter(|a| !leaving.contains(&a.id) && (exclusive || a.exclusive));
    match others.next() {
        Some(a) => Err(Condition::in_use(Kind::Volume, &v.handle, vec![holder(tx, a)?])),
        None => Ok(()),
    }
}

/// The lowest slot that a host has free.
pub(crate) fn free_slot(tx: &dyn ReadTx, host: parpen_model::HostId) -> Result<u16, Condition> {
    let all: Vec<Attachment> = tx.list(Scope::All, &parpen_model::Query::default())?;
    let used: Vec<u16> = all.iter().filter(|a| a.host == Some(host)).filter_map(|a| a.slot).collect();
    (0..SLOTS).find(|s| !used.contains(s)).ok_or_else(|| {
        Condition::NoSpace(format!("this host has all its {SLOTS} slots in use; detach something"))
    })
}

/// A name that nobody guesses.
pub(crate) fn export_name(entropy: &dyn Entropy) -> String {
    format!("a-{}{}", entropy.uuid().simple(), entropy.uuid().simple())
}
