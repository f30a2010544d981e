//! What volumes and snapshots share: cost, differences, cutting off, freezing.

use parpen_http::{HttpRequest, Reply};
use parpen_identity::Actor;
use parpen_model::{Condition, SnapshotId, Subject};
use parpen_service::{Ports, snapshots, volumes};

use super::{BODY, ok};
use crate::doc::{CostDoc, DiffDoc, FlattenWish, PieceDoc};
use crate::{House, from_wire, to_wire};

/// Pieces in one answer, about.
const PIECES: usize = 4096;

/// What it costs. A store that does not answer is no reason to show nothing; why stands in the log.
pub(super) async fn cost(ports: &Ports, actor: &Actor, what: Subject) -> Option<CostDoc> {
    match volumes::cost(ports, actor, what).await {
        Ok(found) => found.as_ref().map(to_wire::cost),
        Err(e) => {
            tracing::warn!(what = %what.uuid(), error = ?e, "what it costs cannot be had");
            None
        }
    }
}

/// A snapshot by its name within a volume, by handle or id.
async fn named(
    ports: &Ports,
    actor: &Actor,
    of: Option<&volumes::View>,
    name: &str,
) -> Result<SnapshotId, Condition> {
    if let Some(of) = of {
        match from_wire::snapshot_of(ports, actor, of, name).await {
            Err(Condition::NotFound { .. }) => {}
            found => return Ok(found?.snapshot.id),
        }
    }
    Ok(from_wire::snapshot(ports, actor, name).await?.snapshot.id)
}

/// Cuts a volume or snapshot off what it comes from.
pub(super) async fn flatten(
    ports: &Ports,
    actor: &Actor,
    (what, of): (Subject, Option<&volumes::View>),
    mut request: HttpRequest,
) -> Result<(), Condition> {
    let wish: FlattenWish = request.json(BODY).await?;
    let onto = match &wish.onto {
        Some(name) => Some(named(ports, actor, of, name).await?),
        None => None,
    };
    let started = volumes::rebase(ports, actor, what, onto).await?;
    ports.jobs.wait(started.job).await.map(|_| ())
}

/// Turns a volume into a snapshot.
pub(super) async fn freeze(
    house: &House,
    actor: &Actor,
    view: &volumes::View,
    request: &HttpRequest,
) -> Result<Reply, Condition> {
    let ports = &house.ports;
    let force = from_wire::flag(request, "force", false)?;
    let started = volumes::freeze(ports, actor, view.volume.id, force).await?;
    ports.jobs.wait(started.job).await?;
    let frozen = from_wire::snapshot(ports, actor, view.volume.handle.as_str()).await?;
    ok(&to_wire::snapshot(&frozen, &house.nbd))
}

fn number(request: &HttpRequest, name: &str) -> Result<Option<u64>, Condition> {
    let parse = |t: String| t.parse().map_err(|_| Condition::invalid(name, "it is a number of bytes"));
    request.query_value(name).map(parse).transpose()
}

/// What differs: `from` (a volume or snapshot; none: nothing), `offset`, `length`.
pub(super) async fn diff(
    ports: &Ports,
    actor: &Actor,
    (to, size): (Subject, u64),
    of: Option<&volumes::View>,
    request: &HttpRequest,
) -> Result<Reply, Condition> {
    let from = match request.query_value("from") {
        None => None,
        Some(name) => Some(match named(ports, actor, of, &name).await {
            Ok(id) => Subject::Snapshot(id),
            Err(Condition::NotFound { .. }) => {
                volumes::get(ports, actor, &from_wire::volume_key(&name)).await?.volume.id.into()
            }
            Err(e) => return Err(e),
        }),
    };
    let mut at = number(request, "offset")?.unwrap_or(0);
    let end = number(request, "length")?.map_or(size, |n| at.saturating_add(n));
    let mut out = DiffDoc::default();
    while at < end && out.changed.len() < PIECES {
        for piece in volumes::diff(ports, actor, from, to, (at, end - at)).await? {
            if piece.changed {
                out.changed.push(PieceDoc { offset: at, length: piece.len, zero: piece.zero });
                out.bytes += piece.len;
            }
            at += piece.len;
        }
    }
    out.next = (at < end).then_some(at);
    ok(&out)
}

/// A snapshot with what it costs.
pub(super) async fn shown(house: &House, actor: &Actor, view: &snapshots::View) -> Result<Reply, Condition> {
    let mut doc = to_wire::snapshot(view, &house.nbd);
    doc.space = cost(&house.ports, actor, view.snapshot.id.into()).await;
    ok(&doc)
}
