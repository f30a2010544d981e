//! Quotas of projects and classes, and the limits that follow from them.

use std::collections::BTreeMap;

use http::StatusCode;
use parpen_http::Reply;
use parpen_identity::{Actor, Power, may};
use parpen_model::{Among, Condition, Counted, Kind, ProjectId};
use parpen_service::quotas::{self, Limit, Usage};
use parpen_service::{Ports, types};
use serde_json::{Map, Value, json};

use crate::cx::{Cx, one};
use crate::errors::{invalid_input, said};
use crate::fields::{Fields, refuse, required};
use crate::from_wire::{DEFAULT_TYPE, id_in_path};
use crate::strict::TEXT_MAX;

/// What stands for no ceiling.
const UNLIMITED: i64 = -1;
/// Largest ceiling.
const MOST: i64 = 0x7FFF_FFFF;
/// Fields of a quota set that are no quotas.
const NO_QUOTAS: [&str; 2] = ["tenant_id", "id"];

/// The names of everything that is counted, as the caller may see it.
struct Names(BTreeMap<String, (Counted, Among)>);

impl Names {
    async fn of(ports: &Ports, actor: &Actor) -> Result<Names, Condition> {
        let types = types::list(ports, actor).await?;
        let default = (DEFAULT_TYPE, Among::OfType(None));
        let by_type = types.iter().map(|t| (t.name.as_str(), Among::OfType(Some(t.id)))).chain([default]);
        let mut names: BTreeMap<String, (Counted, Among)> =
            Counted::ALL.iter().map(|c| (c.word().to_string(), (*c, Among::All))).collect();
        for (name, among) in by_type {
            for counted in Counted::ALL.iter().filter(|c| c.is_by_type()) {
                names.insert(format!("{}_{name}", counted.word()), (*counted, among));
            }
        }
        Ok(Names(names))
    }

    fn print(&self, value: impl Fn((Counted, Among)) -> Value) -> Map<String, Value> {
        self.0.iter().map(|(name, what)| (name.clone(), value(*what))).collect()
    }
}

fn shown(limit: Option<u64>) -> Value {
    limit.map_or(json!(UNLIMITED), |l| json!(l))
}

fn project(cx: &Cx) -> Result<ProjectId, Condition> {
    id_in_path(Kind::Project, cx.param("project")).map(ProjectId)
}

fn with_id(id: &str, mut set: Map<String, Value>) -> Value {
    set.insert("id".into(), json!(id));
    Value::Object(set)
}

type Figures = BTreeMap<(Counted, Among), Usage>;

/// The limits of a project, and what is below them.
async fn figures(cx: &Cx, project: ProjectId) -> Result<(Names, Figures), Condition> {
    let (ports, actor) = (cx.ports(), cx.actor()?);
    let figures = quotas::of_project(ports, actor, project).await?;
    Ok((Names::of(ports, actor).await?, figures))
}

fn usage(of: &Usage) -> Value {
    json!({
        "limit": shown(of.limit),
        "in_use": of.figure.in_use,
        "reserved": of.figure.reserved,
        "allocated": 0,
    })
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    let (names, figures) = figures(&cx, project(&cx)?).await?;
    let full = cx.asks("usage");
    let value = |what| match figures.get(&what) {
        Some(of) if full => usage(of),
        Some(of) => shown(of.limit),
        None => json!(UNLIMITED),
    };
    one(StatusCode::OK, "quota_set", with_id(cx.param("project"), names.print(value)))
}

pub(crate) async fn defaults(cx: Cx) -> Result<Reply, Condition> {
    let (ports, actor) = (cx.ports(), cx.actor()?);
    may(actor, Power::Read, Some(project(&cx)?))?;
    let table = quotas::classes_default(ports, actor).await?;
    let names = Names::of(ports, actor).await?;
    let set = names.print(|what| shown(table.get(&what).copied().flatten()));
    one(StatusCode::OK, "quota_set", with_id(cx.param("project"), set))
}

/// A ceiling as clients write it.
fn ceiling(name: &str, value: &Value) -> Result<Option<u64>, Condition> {
    let number = match value {
        Value::Number(n) => n.as_i64(),
        Value::String(s) => s.trim().parse().ok(),
        _ => None,
    };
    let number = number.ok_or_else(|| said(format!("{name} must be an integer")))?;
    if number < UNLIMITED {
        return Err(said(format!("{name} must be >= {UNLIMITED}")));
    }
    if number > MOST {
        return Err(said(format!("{name} must be <= {MOST}")));
    }
    Ok(u64::try_from(number).ok())
}

/// The ceilings that a document sets.
fn wanted(names: &Names, set: &Fields, what: &str) -> Result<Vec<Limit>, Condition> {
    let strange: Vec<&str> = set
        .0
        .keys()
        .map(String::as_str)
        .filter(|k| !names.0.contains_key(*k) && !NO_QUOTAS.contains(k))
        .map(|k| k.get(..64).unwrap_or(k))
        .collect();
    if !strange.is_empty() {
        return Err(invalid_input(format!("Bad key(s) in {what}: {}", strange.join(", "))));
    }
    let known = set.0.iter().filter_map(|(k, v)| Some((k, v, names.0.get(k)?)));
    known
        .map(|(k, v, (counted, among))| Ok(Limit { counted: *counted, among: *among, limit: ceiling(k, v)? }))
        .collect()
}

pub(crate) async fn update(mut cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let set = Fields::read_alone(&mut cx.request, "quota_set").await?;
    if set.0.is_empty() {
        return Err(refuse("quota_set", &json!({}), "does not have enough properties"));
    }
    let project = project(&cx)?;
    let names = Names::of(cx.ports(), cx.actor()?).await?;
    let new = wanted(&names, &set, "quota set")?;
    quotas::set_project(cx.ports(), cx.actor()?, project, new).await.map_err(|condition| match condition {
        Condition::QuotaExceeded { what, limit, used, .. } => said(format!(
            "Quota {what} limit must be equal or greater than existing resources. Current usage is {used} and \
             the requested limit is {limit}."
        )),
        other => other,
    })?;
    let (names, figures) = figures(&cx, project).await?;
    let set = names.print(|what| shown(figures.get(&what).and_then(|f| f.limit)));
    one(StatusCode::OK, "quota_set", Value::Object(set))
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    quotas::reset(cx.ports(), cx.actor()?, project(&cx)?).await?;
    Ok(Reply::empty(StatusCode::OK))
}

async fn class(cx: &Cx) -> Result<Map<String, Value>, Condition> {
    let table = quotas::class(cx.ports(), cx.actor()?, cx.param("name")).await?;
    let names = Names::of(cx.ports(), cx.actor()?).await?;
    Ok(names.print(|what| shown(table.get(&what).copied().flatten())))
}

pub(crate) async fn class_show(cx: Cx) -> Result<Reply, Condition> {
    one(StatusCode::OK, "quota_class_set", with_id(cx.param("name"), class(&cx).await?))
}

pub(crate) async fn class_update(mut cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let set = Fields::read_alone(&mut cx.request, "quota_class_set").await?;
    let name = cx.param("name").to_string();
    if name.chars().count() > TEXT_MAX {
        return Err(required("quota_class_name"));
    }
    let names = Names::of(cx.ports(), cx.actor()?).await?;
    if let Some(id) = set.0.keys().find(|k| NO_QUOTAS.contains(&k.as_str())) {
        return Err(invalid_input(format!("Bad key(s) in quota class set: {id}")));
    }
    let new = wanted(&names, &set, "quota class set")?;
    quotas::set_class(cx.ports(), cx.actor()?, &name, new).await?;
    one(StatusCode::OK, "quota_class_set", Value::Object(class(&cx).await?))
}

pub(crate) async fn limits(cx: Cx) -> Result<Reply, Condition> {
    let actor = cx.actor()?;
    // Only those who operate the service may name a project, and only since 3.39.
    let named = cx.request.query_value("project_id").or_else(|| cx.request.query_value("tenant_id"));
    let named = named.filter(|_| cx.version.has(39) && crate::to_wire::policy::is_admin(actor));
    let project = match named {
        Some(id) => ProjectId(id_in_path(Kind::Project, &id)?),
        None => actor.project,
    };
    let figures = quotas::of_project(cx.ports(), actor, project).await?;
    let of = |counted| figures.get(&(counted, Among::All)).copied();
    let limit = |counted| shown(of(counted).and_then(|u| u.limit));
    let used = |counted| json!(of(counted).map_or(0, |u| u.figure.in_use));
    let absolute = json!({
        "maxTotalVolumes": limit(Counted::Volumes),
        "maxTotalSnapshots": limit(Counted::Snapshots),
        "maxTotalVolumeGigabytes": limit(Counted::Gigabytes),
        "maxTotalBackups": limit(Counted::Backups),
        "maxTotalBackupGigabytes": limit(Counted::BackupGigabytes),
        "totalVolumesUsed": used(Counted::Volumes),
        "totalSnapshotsUsed": used(Counted::Snapshots),
        "totalGigabytesUsed": used(Counted::Gigabytes),
        "totalBackupsUsed": used(Counted::Backups),
        "totalBackupGigabytesUsed": used(Counted::BackupGigabytes),
    });
    one(StatusCode::OK, "limits", json!({ "rate": [], "absolute": absolute }))
}
