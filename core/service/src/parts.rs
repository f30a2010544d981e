//! The parts of the service as operators switch them: disabled ones get nothing new, frozen ones are not changed.

use parpen_base::{Clock, Entropy};
use parpen_identity::{Actor, Power, may};
use parpen_model::{
    Condition, Kind, Part, Pool, PoolId, Query, ReadTx, Scope, Service, ServiceId, Stamp, read, write,
};

use crate::Ports;

/// How a part is to be switched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It gets new things again.
    Enable,
    /// It gets nothing new; why, in words.
    Disable(Option<String>),
    /// Nothing of it may be made, changed or removed. It must not be frozen yet.
    Freeze,
    /// That is over. It must be frozen.
    Thaw,
}

fn find(tx: &dyn ReadTx, part: Part) -> Result<Option<Service>, Condition> {
    tx.find_named(Scope::All, Service::SPACE, &Service::name_of(part))
}

fn blank(entropy: &dyn Entropy, clock: &dyn Clock, part: Part) -> Service {
    let (id, stamp) = (ServiceId(entropy.uuid()), Stamp::at(clock.now()));
    Service { id, part, disabled: false, reason: None, frozen: false, stamp }
}

/// What was switched on any part.
pub async fn list(ports: &Ports, actor: &Actor) -> Result<Vec<Service>, Condition> {
    may(actor, Power::Operate, None)?;
    read(&*ports.meta, |tx| tx.list(Scope::All, &Query::default())).await
}

/// Switches a part.
pub async fn switch(
    ports: &Ports,
    actor: &Actor,
    part: Part,
    to: Switch,
) -> Result<(Service, u64), Condition> {
    may(actor, Power::Operate, None)?;
    let new = blank(&*ports.entropy, &*ports.clock, part);
    let now = ports.clock.now();
    write(&*ports.meta, move |tx| {
        if let Part::Pool(id) = part {
            tx.read().get::<Pool>(Scope::All, id)?;
        }
        let old = find(tx.read(), part)?;
        let known = old.is_some();
        let mut s = old.unwrap_or_else(|| new.clone());
        match &to {
            Switch::Enable => (s.disabled, s.reason) = (false, None),
            Switch::Disable(why) => (s.disabled, s.reason) = (true, why.clone()),
            Switch::Freeze | Switch::Thaw => {
                let wanted = to == Switch::Freeze;
                if s.frozen == wanted {
                    return Err(state(part, s.frozen, !wanted));
                }
                s.frozen = wanted;
            }
        }
        s.stamp.updated = Some(now);
        if known {
            tx.update(&mut s)?
        } else {
            tx.insert(&mut s)?
        }
        Ok(s)
    })
    .await
}

fn state(part: Part, frozen: bool, wanted: bool) -> Condition {
    let word = |frozen| if frozen { "frozen" } else { "not frozen" }.to_string();
    Condition::WrongState {
        what: Kind::Service,
        name: Service::name_of(part),
        actual: word(frozen),
        wanted: word(wanted),
    }
}

/// Refuses to change anything of a frozen pool.
pub(crate) fn refuse_frozen(tx: &dyn ReadTx, pool: PoolId) -> Result<(), Condition> {
    if !find(tx, Part::Pool(pool))?.is_some_and(|s| s.frozen) {
        return Ok(());
    }
    let name = tx.get::<Pool>(Scope::All, pool)?.name;
    let (actual, wanted) = ("frozen".into(), "thawed by an operator".into());
    Err(Condition::WrongState { what: Kind::Pool, name, actual, wanted })
}

/// Whether a pool gets nothing new, and why.
pub(crate) fn disabled(tx: &dyn ReadTx, pool: PoolId) -> Result<Option<String>, Condition> {
    let switched = find(tx, Part::Pool(pool))?.filter(|s| s.disabled);
    Ok(switched.map(|s| s.reason.unwrap_or_else(|| "no reason was given".into())))
}

/// Refuses a pool that gets nothing new.
pub(crate) fn refuse_disabled(tx: &dyn ReadTx, pool: &Pool) -> Result<(), Condition> {
    match disabled(tx, pool.id)? {
        None => Ok(()),
        Some(why) => Err(Condition::WrongState {
            what: Kind::Pool,
            name: pool.name.clone(),
            actual: format!("disabled ({why})"),
            wanted: "enabled".into(),
        }),
    }
}

/// The pool that takes the place of one that nobody named and that gets nothing new: the oldest enabled one that keeps
/// its bytes.
pub(crate) fn instead_of(tx: &dyn ReadTx, pool: Pool) -> Result<Pool, Condition> {
    if disabled(tx, pool.id)?.is_none() {
        return Ok(pool);
    }
    for other in tx.list::<Pool>(Scope::All, &Query::default())? {
        let keeps = other.driver == pool.driver && other.life == pool.life;
        if keeps && other.id != pool.id && disabled(tx, other.id)?.is_none() {
            return Ok(other);
        }
    }
    Ok(pool)
}
