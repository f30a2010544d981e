//! Hosts: equal spellings are one host; different ones become one only when somebody joins them.

use parpen_base::{Clock, Entropy};
use parpen_identity::{Actor, Power, may};
use parpen_model::{
    Attachment, Condition, Host, HostId, Kind, Lock, Query, ReadTx, Scope, Stamp, WriteTx, read, write,
};

use crate::{Ports, names};

/// The host of a spelling, if one is known.
pub fn find(tx: &dyn ReadTx, spelling: &str) -> Result<Option<Host>, Condition> {
    tx.find_named(Scope::All, "host", spelling)
}

/// The host of a spelling, made if it is new.
pub(crate) fn find_or_make(
    tx: &mut dyn WriteTx,
    entropy: &dyn Entropy,
    clock: &dyn Clock,
    spelling: &str,
) -> Result<Host, Condition> {
    names::check(spelling)?;
    if spelling.is_empty() {
        return Err(Condition::invalid("host", "a host has a name"));
    }
    if let Some(h) = find(tx.read(), spelling)? {
        return Ok(h);
    }
    let mut host = Host {
        id: HostId(entropy.uuid()),
        name: spelling.to_string(),
        spellings: vec![spelling.to_string()],
        stamp: Stamp::at(clock.now()),
    };
    tx.insert(&mut host)?;
    Ok(host)
}

/// All hosts.
pub async fn list(ports: &Ports, actor: &Actor) -> Result<Vec<Host>, Condition> {
    may(actor, Power::Operate, None)?;
    read(&*ports.meta, |tx| tx.list(Scope::All, &Query::default())).await
}

/// Says that two spellings are one host. Known ones are merged (what `other` holds, `host` holds), unknown ones added.
pub async fn join(ports: &Ports, actor: &Actor, host: &str, other: &str) -> Result<Host, Condition> {
    may(actor, Power::Operate, None)?;
    let (host, other) = (host.to_string(), other.to_string());
    let (entropy, clock) = (ports.entropy.clone(), ports.clock.clone());
    let (joined, _) = write(&*ports.meta, move |tx| {
        let mut kept = find_or_make(tx, &*entropy, &*clock, &host)?;
        match find(tx.read(), &other)? {
            Some(o) if o.id == kept.id => return Ok(kept),
            Some(gone) => {
                absorb(tx, &kept, &gone)?;
                kept.spellings.extend(gone.spellings);
            }
            None => {
                names::check(&other)?;
                kept.spellings.push(other.clone());
            }
        }
        tx.update(&mut kept)?;
        Ok(kept)
    })
    .await?;
    Ok(joined)
}

/// Moves what `gone` holds to `kept` and removes `gone`.
fn absorb(tx: &mut dyn WriteTx, kept: &Host, gone: &Host) -> Result<(), Condition> {
    for mut a in tx.read().list::<Attachment>(Scope::All, &Query::default())? {
        if a.host == Some(gone.id) {
            a.host = Some(kept.id);
            tx.update(&mut a)?;
        }
    }
    for mut l in tx.read().list::<Lock>(Scope::All, &Query::default())? {
        if l.host == gone.id {
            l.host = kept.id;
            tx.update(&mut l)?;
        }
    }
    if !tx.delete::<Host>(gone.id)? {
        return Err(Condition::not_found(Kind::Host, &gone.name));
    }
    Ok(())
}
