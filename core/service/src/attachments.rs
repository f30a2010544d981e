//! Attachments: who holds what, and how it is taken away.

mod by_volume;
mod connect;
mod list;
pub(crate) mod reassign;
mod reserve;

pub use by_volume::{Hold, announce, give_back, hold, initialize, let_go, swap, withdraw};
pub use connect::{Connect, complete, connect};
pub use list::{get, list};
pub(crate) use reassign::leave;
pub use reassign::{Change, Detach, DetachTerms, detach, reassign};
pub use reserve::{Attach, Reserve, attach, reserve};

use parpen_base::Entropy;
use parpen_block::ExportId;
use parpen_model::lifecycle::{Standing, Usage, usage};
use parpen_model::{Attachment, Condition, Host, Kind, ReadTx, Scope, Subject, Volume, WriteTx};

use crate::Ports;

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
    // What was said of its use ends with a change of it; who announced to leave and is still there is about to.
    v.declared = v.declared.filter(|d| match d {
        Standing::Offered | Standing::Maintenance | Standing::Retyping => true,
        Standing::Detaching => v.usage == Usage::Attached,
        _ => false,
    });
    v.epoch += 1;
    tx.update(&mut v)
}

/// Refuses an attachment that cannot stand beside the present ones. Those in `leaving` do not count, nor those of the same
/// machine: it may have a volume twice while it moves from one host to another.
pub(crate) fn refuse_conflict(
    tx: &dyn ReadTx,
    v: &Volume,
    exclusive: bool,
    leaving: &[parpen_model::AttachmentId],
    instance: Option<&str>,
) -> Result<(), Condition> {
    let present: Vec<Attachment> = tx.children(v.id)?;
    let mine = |a: &Attachment| instance.is_some() && a.instance.as_deref() == instance;
    let mut others =
        present.iter().filter(|a| !leaving.contains(&a.id) && !mine(a) && (exclusive || a.exclusive));
    match others.next() {
        Some(a) => Err(Condition::in_use(Kind::Volume, &v.handle, vec![holder(tx, a)?])),
        None => Ok(()),
    }
}

/// Refuses to take away what a machine has open at this moment, unless the terms allow it.
pub(crate) fn refuse_in_use(ports: &Ports, a: &Attachment, terms: DetachTerms) -> Result<(), Condition> {
    let Some(instance) = a.instance.as_ref().filter(|_| terms.respect_machines) else { return Ok(()) };
    if ports.sessions.of(ExportId(a.id.0)).is_empty() {
        return Ok(());
    }
    Err(Condition::in_use(Kind::Attachment, a.id, vec![instance.clone()]))
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
