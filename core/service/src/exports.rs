//! What transports ask: export names to sessions.

use std::sync::Arc;

use parpen_block::{Ceilings, Claim, Class, Exports, Gate, Home, HostId, Peer, Refusal, Remote, Session};
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::Life;
use parpen_model::ports::MetaStore;
use parpen_model::{
    Attachment, Condition, Export, HANDLES, Kind, Query, ReadTx, Scope, Snapshot, Subject, Volume, read,
};
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::seal::seal;
use crate::{Backends, access, data, hosts, names};

/// How often rows are looked at for one client that change while it is let in.
const LOOKS_MOST: usize = 4;

/// The house's answer to transports. It looks and admits; it changes no row.
#[derive(Clone)]
pub struct HouseExports {
    meta: Arc<dyn MetaStore>,
    doors: Doors,
    runtime: Handle,
}

/// What stands between a name and a session.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) backends: Arc<Backends>,
    pub(crate) gate: Gate,
    pub(crate) ceilings: Arc<Ceilings>,
    pub(crate) home: Arc<dyn Home>,
}

impl HouseExports {
    pub(crate) fn new(meta: Arc<dyn MetaStore>, doors: Doors, runtime: Handle) -> HouseExports {
        HouseExports { meta, doors, runtime }
    }

    /// Opens the plain export of a volume or snapshot for an actor (import, export of bytes): the same rules hold as
    /// for any transport. `what` names the use in refusals that others get.
    pub async fn open(
        &self,
        actor: &Actor,
        subject: Subject,
        what: &'static str,
        write: bool,
    ) -> Result<Remote, Condition> {
        let power = if write { Power::Write } else { Power::Read };
        self.check(actor, subject, power).await?;
        let peer = Peer { transport: what, address: parpen_block::Address::Local, tls_name: None };
        let session = self.admit_now(Claim { name: subject.uuid().to_string(), peer }).await?;
        // Whose it is now is asked again: it may have been handed over while the session was made.
        self.check(actor, subject, power).await?;
        Ok(data::open(session, &self.doors.home).await?)
    }

    async fn check(&self, actor: &Actor, subject: Subject, power: Power) -> Result<(), Condition> {
        let scope = actor.scope;
        let project = read(&*self.meta, move |tx| match subject {
            Subject::Volume(id) => Ok(tx.get::<Volume>(scope, id)?.project),
            Subject::Snapshot(id) => Ok(tx.get::<Snapshot>(scope, id)?.project),
        })
        .await?;
        may(actor, power, Some(project))
    }

    /// Lets a client in by the rows as they are once its session is known. Whoever changes them looks at the sessions
    /// first and changes rows then; a session that was not known yet when he looked sees here what he changed.
    async fn admit_now(&self, claim: Claim) -> Result<Session, Refusal> {
        let mut found = self.look(&claim).await?;
        for _ in 0..LOOKS_MOST {
            let before = (found.0, found.1.export, found.1.epoch);
            let session = self.enter(found, claim.peer.clone()).await?;
            found = self.look(&claim).await?;
            if before == (found.0, found.1.export, found.1.epoch) {
                return Ok(session);
            }
        }
        Err(Refusal::Unavailable("who may open it is changing all the time; try again in a moment".into()))
    }

    async fn look(&self, claim: &Claim) -> Result<Found, Refusal> {
        let Claim { name, peer } = claim.clone();
        let found = read(&*self.meta, move |tx| look_up(tx, &name, &peer)).await.map_err(refusal)?;
        found.ok_or(Refusal::Unknown)
    }

    async fn enter(&self, (subject, rule, host): Found, peer: Peer) -> Result<Session, Refusal> {
        // Refused before the device is opened: a closed export costs nothing.
        parpen_block::decide(&rule.table, host)?;
        let bytes = data::bytes(&*self.meta, &self.doors.backends, subject).await.map_err(refusal)?;
        let seal = seal(&*self.meta, &self.doors.backends, subject).await.map_err(refusal)?;
        self.doors.gate.publish(rule.export, rule.table, rule.epoch);
        bytes.enter((&self.doors.ceilings, Class::Foreground), |device| {
            self.doors.gate.admit(rule.export, host, peer, seal.over(device))
        })
    }
}

fn refusal(c: Condition) -> Refusal {
    match c {
        Condition::NotFound { .. } => Refusal::Unknown,
        Condition::Internal(why) => {
            tracing::error!(%why, "an export could not be looked up");
            Refusal::Unavailable("internal error; the server's log says more".into())
        }
        other => Refusal::Unavailable(other.to_string()),
    }
}

type Found = (Subject, access::Rule, Option<HostId>);

/// The export of that name with its rule, and the host that the peer is.
fn look_up(tx: &dyn ReadTx, name: &str, peer: &Peer) -> Result<Option<Found>, Condition> {
    let Some(export) = resolve(tx, name)? else { return Ok(None) };
    if let Some(id) = export.attachment {
        let a: Attachment = tx.get(Scope::All, id)?;
        return Ok(Some((export.subject, access::attachment_rule(&a), a.host.map(Into::into))));
    }
    let spelling = peer.tls_name.clone().unwrap_or_else(|| peer.address.to_string());
    let host = hosts::find(tx, &spelling)?.map(|h| h.id.into());
    Ok(access::plain_rule(tx, export.subject)?.map(|rule| (export.subject, rule, host)))
}

/// An attachment's own export, a UUID, a handle, or `<volume handle>@<snapshot>`.
fn resolve(tx: &dyn ReadTx, name: &str) -> Result<Option<Export>, Condition> {
    let plain = |subject| Some(Export { name: name.to_string(), subject, attachment: None });
    if let Some(a) = tx.find_named::<Attachment>(Scope::All, "export", name)? {
        return Ok(Some(Export { name: a.export, subject: a.subject, attachment: Some(a.id) }));
    }
    if let Ok(id) = Uuid::parse_str(name) {
        if let Some(v) = tx.find::<Volume>(Scope::All, id)? {
            return Ok(plain(v.id.into()));
        }
        if let Some(s) = tx.find::<Snapshot>(Scope::All, id)? {
            return Ok(plain(s.id.into()));
        }
    }
    // `<volume>@<name>` means that volume's snapshot, also where an older volume's snapshot still bears it as handle.
    if let Some((volume, snapshot)) = name.rsplit_once('@')
        && let Some(v) = tx.find_named::<Volume>(Scope::All, HANDLES, volume)?
        && let Some(s) = names::snapshot_of(tx, &v, parpen_model::Api::Native, snapshot)?
    {
        return Ok(plain(s.id.into()));
    }
    Ok(match tx.named(HANDLES, name)? {
        Some((Kind::Volume, id)) => plain(Subject::Volume(id.into())),
        Some((Kind::Snapshot, id)) => plain(Subject::Snapshot(id.into())),
        _ => None,
    })
}

impl Exports for HouseExports {
    fn admit(&self, claim: Claim, answer: Box<dyn FnOnce(Result<Session, Refusal>) + Send>) {
        let house = self.clone();
        self.runtime.spawn(async move { answer(house.admit_now(claim).await) });
    }

    fn visible(&self, peer: Peer, answer: Box<dyn FnOnce(Vec<String>) + Send>) {
        let house = self.clone();
        self.runtime.spawn(async move {
            let listed = read(&*house.meta, move |tx| visible_to(tx, &peer)).await;
            answer(listed.unwrap_or_else(|e| {
                tracing::error!(error = ?e, "exports could not be listed");
                Vec::new()
            }))
        });
    }
}

/// The plain exports that would let this peer in.
fn visible_to(tx: &dyn ReadTx, peer: &Peer) -> Result<Vec<String>, Condition> {
    let spelling = peer.tls_name.clone().unwrap_or_else(|| peer.address.to_string());
    let host: Option<HostId> = hosts::find(tx, &spelling)?.map(|h| h.id.into());
    let mut out = Vec::new();
    for v in tx.list::<Volume>(Scope::All, &Query::default())? {
        if let Some(rule) = access::plain_rule(tx, v.id.into())?
            && parpen_block::decide(&rule.table, host).is_ok()
        {
            out.push(v.handle.to_string());
        }
    }
    let snapshots = tx.list::<Snapshot>(Scope::All, &Query::default())?;
    let ready = snapshots.into_iter().filter(|s| s.life == Life::Ready && !s.transient);
    out.extend(ready.map(|s| s.handle.to_string()));
    Ok(out)
}
