//! The services as operators switch them: one process that shows itself as the daemons of Cinder.

pub(crate) mod logs;

use std::collections::BTreeMap;

use http::StatusCode;
use parpen_http::Reply;
use parpen_identity::{Power, may};
use parpen_model::lifecycle::Life;
use parpen_model::{Condition, Kind, Part, Pool, Service};
use parpen_service::parts::{self, Switch};
use parpen_service::pools;
use serde_json::{Value, json};

use crate::cx::{Cx, one};
use crate::errors::{fault, invalid_input, said};
use crate::fields::{Fields, document, required};
use crate::from_wire::ZONE;
use crate::strict::TEXT_MAX;
use crate::to_wire::{backend, time};

/// The host of the parts that serve no single pool.
pub(crate) const HOST: &str = "parpen";
pub(crate) const VOLUME: &str = "cinder-volume";
const SCHEDULER: &str = "cinder-scheduler";
const BACKUP: &str = "cinder-backup";
/// Cinder's own sentence for what was frozen.
const FROZEN: &str = "frozen";

/// One daemon of Cinder's, as this process plays it.
pub(crate) struct Daemon {
    pub(crate) part: Part,
    pub(crate) binary: &'static str,
    pub(crate) host: String,
    /// A number that stays.
    pub(crate) number: i64,
    pub(crate) up: bool,
    pub(crate) switched: Option<Service>,
}

impl Daemon {
    fn disabled(&self) -> bool {
        self.switched.as_ref().is_some_and(|s| s.disabled || s.frozen)
    }

    fn reason(&self) -> Option<&str> {
        let s = self.switched.as_ref()?;
        s.reason.as_deref().or(s.frozen.then_some(FROZEN))
    }

    pub(crate) fn enabled(&self) -> bool {
        !self.disabled()
    }
}

/// All daemons.
pub(crate) async fn daemons(cx: &Cx) -> Result<Vec<Daemon>, Condition> {
    let (ports, actor) = (cx.ports(), cx.actor()?);
    let mut switched: BTreeMap<String, Service> =
        parts::list(ports, actor).await?.into_iter().map(|s| (Service::name_of(s.part), s)).collect();
    let mut daemon = |part: Part, binary, host: String, number, up| {
        let switched = switched.remove(&Service::name_of(part));
        Daemon { part, binary, host, number, up, switched }
    };
    let mut all = vec![daemon(Part::Scheduler, SCHEDULER, HOST.to_string(), 1, true)];
    if crate::Endpoint::BackupCreate.is_built() {
        all.push(daemon(Part::Backup, BACKUP, HOST.to_string(), 2, true));
    }
    for p in pools::list(ports, actor).await? {
        all.push(daemon(Part::Pool(p.id), VOLUME, backend(&p), 2 + p.stamp.seq, p.life == Life::Ready));
    }
    Ok(all)
}

fn shown(cx: &Cx, d: &Daemon) -> Value {
    let state = if d.up { "up" } else { "down" };
    let mut one = json!({
        "binary": d.binary,
        "host": d.host,
        "zone": ZONE,
        "status": if d.disabled() { "disabled" } else { "enabled" },
        "state": state,
        "updated_at": time(cx.ports().clock.now()),
        "disabled_reason": d.reason(),
    });
    if d.binary == VOLUME {
        one["frozen"] = json!(d.switched.as_ref().is_some_and(|s| s.frozen));
        one["replication_status"] = json!("disabled");
        one["active_backend_id"] = Value::Null;
    }
    if cx.version.has(7) {
        one["cluster"] = Value::Null;
    }
    if cx.version.has(49) && d.binary == VOLUME {
        one["backend_state"] = json!(state);
    }
    one
}

/// Whether a daemon is on a host: on this one, or one of those on this machine where only that is named.
fn is_on(d: &Daemon, host: &str) -> bool {
    d.host == host
        || (!host.contains('@') && d.host.strip_prefix(host).is_some_and(|more| more.starts_with('@')))
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    let wanted = |key: &str| cx.request.query_value(key).filter(|v| !v.is_empty());
    let (host, binary) = (wanted("host"), wanted("binary"));
    let all = daemons(&cx).await?;
    let fits = |d: &&Daemon| {
        host.as_ref().is_none_or(|h| is_on(d, h)) && binary.as_ref().is_none_or(|b| b == d.binary)
    };
    one(StatusCode::OK, "services", all.iter().filter(fits).map(|d| shown(&cx, d)).collect())
}

/// A text of 1 to 255 characters, if it is there.
fn text(fields: &Fields, name: &str) -> Result<Option<String>, Condition> {
    if fields.0.contains_key(name) { fields.name(name).map(Some) } else { Ok(None) }
}

/// Switches the daemon that the document names.
async fn switch(
    mut cx: Cx,
    also: &[&str],
    to: impl Fn(&Fields) -> Result<Switch, Condition>,
) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let fields = Fields(document(&mut cx.request).await?);
    fields.only("body", &[&["binary", "host", "cluster", "service"], also].concat())?;
    let (binary, service) = (text(&fields, "binary")?, text(&fields, "service")?);
    let key = binary.clone().or(service.clone()).ok_or_else(|| required("binary"))?;
    let host = text(&fields, "host")?.ok_or_else(|| invalid_input("Host field is missing."))?;
    let to = to(&fields)?;
    let all = daemons(&cx).await?;
    let Some(d) = all.iter().find(|d| d.host == host && d.binary == key) else {
        let text = format!("Service {key:.64} could not be found on host {host:.64}.");
        return Ok(fault(StatusCode::NOT_FOUND, &text));
    };
    let disabled = matches!(to, Switch::Disable(_));
    let mut doc = json!({
        "host": host,
        "service": service.unwrap_or_default(),
        "binary": binary.unwrap_or_default(),
        "status": if disabled { "disabled" } else { "enabled" },
        "disabled": disabled,
    });
    if let Switch::Disable(Some(reason)) = &to {
        doc["disabled_reason"] = json!(reason);
    }
    parts::switch(cx.ports(), cx.actor()?, d.part, to).await?;
    Ok(Reply::json(StatusCode::OK, &doc))
}

pub(crate) async fn enable(cx: Cx) -> Result<Reply, Condition> {
    switch(cx, &[], |_| Ok(Switch::Enable)).await
}

pub(crate) async fn disable(cx: Cx) -> Result<Reply, Condition> {
    switch(cx, &[], |_| Ok(Switch::Disable(None))).await
}

pub(crate) async fn disable_with_reason(cx: Cx) -> Result<Reply, Condition> {
    let reason = |fields: &Fields| {
        let refused = |_| said("Disabled reason contains invalid characters or is too long");
        text(fields, "disabled_reason").map_err(refused)
    };
    switch(cx, &["disabled_reason"], |fields| Ok(Switch::Disable(reason(fields)?))).await
}

/// The pool whose backend the document names; there are no clusters.
async fn pool(cx: &mut Cx, also: &[&str], clusters: bool) -> Result<(Pool, String), Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let fields = Fields(document(&mut cx.request).await?);
    fields.only("body", &[&["host", "cluster"], also].concat())?;
    let nullable = |name: &str| fields.text(name, TEXT_MAX).map(|t| t.filter(|t| !t.is_empty()));
    let (host, cluster) = (nullable("host")?, nullable("cluster")?.filter(|_| clusters));
    for name in also {
        nullable(name)?;
    }
    let host = match (host, cluster) {
        (Some(host), None) => host,
        (None, Some(cluster)) => {
            return Err(invalid_input(format!("No service found with cluster={cluster}")));
        }
        _ if clusters => return Err(invalid_input("One and only one of cluster and host must be set.")),
        _ => return Err(invalid_input("Host field is missing.")),
    };
    let at = host.split('#').next().unwrap_or_default();
    let all = pools::list(cx.ports(), cx.actor()?).await?;
    let found = all.into_iter().find(|p| backend(p) == at);
    let none = || invalid_input(format!("No service found with host={host}"));
    Ok((found.ok_or_else(none)?, host.clone()))
}

async fn set_frozen(mut cx: Cx, frozen: bool) -> Result<Reply, Condition> {
    let clusters = cx.version.has(26);
    let (pool, host) = pool(&mut cx, &[], clusters).await?;
    let to = if frozen { Switch::Freeze } else { Switch::Thaw };
    parts::switch(cx.ports(), cx.actor()?, Part::Pool(pool.id), to).await.map_err(
        |condition| match condition {
            Condition::WrongState { what: Kind::Service, .. } => {
                let wanted = if frozen { "False" } else { "True" };
                unchanged(&format!("frozen in ['{host}'] must be {wanted} to failover."))
            }
            other => other,
        },
    )?;
    Ok(Reply::empty(StatusCode::OK))
}

fn unchanged(why: &str) -> Condition {
    invalid_input(format!("No service could be changed: {why}"))
}

pub(crate) async fn freeze(cx: Cx) -> Result<Reply, Condition> {
    set_frozen(cx, true).await
}

pub(crate) async fn thaw(cx: Cx) -> Result<Reply, Condition> {
    set_frozen(cx, false).await
}

/// No pool has a replica elsewhere to fail over to: the answer is Cinder's for a backend without replication.
pub(crate) async fn failover(mut cx: Cx) -> Result<Reply, Condition> {
    // The client that speaks of clusters sends no version; a cluster is looked at whatever the version.
    let (_, host) = pool(&mut cx, &["backend_id"], true).await?;
    Err(unchanged(&format!(
        "replication_status in ['{host}'] must be ['enabled', 'failed-over'] and must be up to failover."
    )))
}

pub(crate) async fn failover_host(mut cx: Cx) -> Result<Reply, Condition> {
    let (_, host) = pool(&mut cx, &["backend_id"], false).await?;
    Err(unchanged(&format!(
        "replication_status in ['{host}'] must be ['enabled', 'failed-over'] and must be up to failover."
    )))
}
