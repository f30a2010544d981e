//! What an operator says a snapshot is.

use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{Standing, When};
use parpen_model::{Condition, Kind, Snapshot, SnapshotId, write};

use crate::Ports;
use crate::volumes::ChangeAttributes;

/// Lets an operator (or, with `power`, who may write) say how a snapshot stands, from the states in `when`.
pub async fn say(
    ports: &Ports,
    actor: &Actor,
    id: SnapshotId,
    standing: Standing,
    power: Power,
    when: When,
    mut change: Option<ChangeAttributes>,
) -> Result<(), Condition> {
    let (actor, now) = (actor.clone(), ports.clock.now());
    write(&*ports.meta, move |tx| {
        let mut s: Snapshot = tx.read().get(actor.scope, id)?;
        may(&actor, power, Some(s.project))?;
        when.check(Kind::Snapshot, s.id, s.standing())?;
        s.declared = None;
        s.declared = Some(standing).filter(|d| *d != s.standing());
        if let Some(change) = &mut change {
            change(&mut s.attributes);
        }
        s.stamp.updated = Some(now);
        tx.update(&mut s)
    })
    .await
    .map(|_| ())
}
