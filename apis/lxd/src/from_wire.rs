//! From LXD's bodies and paths to the core's commands. What no LXD volume can be is refused here, in LXD's words.

use parpen_model::Api;
use parpen_model::{Attributes, Condition, Driver, JobId, Kind, Pool, Snapshot, Volume};
use parpen_service::names;
use parpen_service::names::{Naming, Space};
use parpen_service::pools::NewPool;
use parpen_service::snapshots::NewSnapshot;
use parpen_service::volumes::{ChangeAttributes, From, NewVolume, Options, Place};
use serde_json::{Map, Value};

use crate::config::{self, Config, DEFAULT_SIZE, DRIVERS};
use crate::to_wire::{self, NO_DATE, PROJECT, SPACE};
use crate::wire::{PoolsPost, SnapshotsPost, VolumeSource, VolumesPost, WireConfig};

fn refused(text: impl Into<String>) -> Condition {
    Condition::invalid("", text.into())
}

/// A body's config; `null` values are empty ones.
pub(crate) fn config(wire: WireConfig) -> Config {
    wire.into_iter().map(|(k, v)| (k, v.unwrap_or_default())).collect()
}

/// Any project but the one is not there.
pub(crate) fn check_project(name: Option<&str>) -> Result<(), Condition> {
    match name {
        None | Some("") | Some(PROJECT) => Ok(()),
        Some(other) => Err(Condition::not_found(Kind::Project, other)),
    }
}

/// Any member of a cluster but this one is not there.
pub(crate) fn check_target(name: Option<&str>) -> Result<(), Condition> {
    match name {
        None | Some("" | "none") => Ok(()),
        Some(other) => Err(refused(format!("There is no cluster here, so no member {other:?}"))),
    }
}

/// What a path's type of volumes holds here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VolumeKind {
    /// Volumes that people make.
    Custom,
    /// Volumes of machines and images, of which there are none.
    Other,
}

/// The type in a path.
pub(crate) fn volume_kind(word: &str) -> Result<VolumeKind, Condition> {
    match word {
        "custom" => Ok(VolumeKind::Custom),
        "container" | "virtual-machine" | "image" => Ok(VolumeKind::Other),
        _ => Err(refused("Invalid storage volume type name")),
    }
}

/// An operation's id.
pub(crate) fn operation_id(text: &str) -> Result<JobId, Condition> {
    text.parse().map_err(|_| Condition::not_found(Kind::Job, text))
}

/// The name of a new or renamed volume: one segment of a path, without the slash that parts volume and snapshot.
pub(crate) fn volume_name(name: Option<String>) -> Result<String, Condition> {
    let name = name.unwrap_or_default();
    match name.as_str() {
        "" => Err(refused("No name provided")),
        "." | ".." => Err(refused(format!("{name:?} is no name for a storage volume"))),
        n if n.contains('/') => Err(refused("Storage volume names may not contain slashes")),
        _ => Ok(name),
    }
}

/// The name of a snapshot.
pub(crate) fn snapshot_name(name: String) -> Result<String, Condition> {
    match name.as_str() {
        "" => Err(refused("No name provided")),
        "." | ".." => Err(refused(format!("{name:?} is no name for a snapshot"))),
        n if n.contains('/') => Err(refused("Storage name cannot contain \"/\"")),
        n if n.contains(char::is_whitespace) => Err(refused("Storage name cannot contain white space")),
        _ => Ok(name),
    }
}

/// The name that an unnamed snapshot gets: `snap%d` with the first number above those that are there.
pub(crate) fn next_snapshot_name(there: &[Snapshot]) -> String {
    let number = |s: &Snapshot| {
        let name = names::short_in(s, Api::Lxd);
        name.strip_prefix("snap").and_then(|n| n.parse::<u32>().ok())
    };
    let next = there.iter().filter_map(number).max().map_or(0, |n| n.saturating_add(1));
    format!("snap{next}")
}

/// Where a pool's bytes go. `dir` takes a directory, the others a file or a device; names of foreign volume groups
/// and pools are nothing that can be opened here.
fn pool_path(driver: &str, name: &str, source: Option<&String>) -> Result<Option<String>, Condition> {
    match source.map(String::as_str).filter(|s| !s.is_empty()) {
        None => Ok(None),
        Some(s) if !s.starts_with('/') => Err(Condition::Unsupported(format!(
            "parpen keeps the bytes of a pool by itself: the source {s:?} must be an absolute path, or be left out"
        ))),
        Some(s) if driver == "dir" => Ok(Some(format!("{}/{name}.disk", s.trim_end_matches('/')))),
        Some(s) => Ok(Some(s.to_string())),
    }
}

/// A pool to be made.
pub(crate) fn new_pool(body: PoolsPost) -> Result<NewPool, Condition> {
    let name = body.name.filter(|n| !n.is_empty()).ok_or_else(|| refused("No name provided"))?;
    let driver = body.driver.filter(|d| !d.is_empty()).ok_or_else(|| refused("No driver provided"))?;
    if !DRIVERS.contains(&driver.as_str()) {
        let known = DRIVERS.join(", ");
        return Err(refused(format!("Unknown storage driver {driver:?}; there are {known}")));
    }
    let mut config = config(body.config.unwrap_or_default());
    config.retain(|_, value| !value.is_empty());
    config::check_pool(&driver, &config)?;
    for (key, value) in config::driver_defaults(&driver, &name) {
        config.entry(key.to_string()).or_insert(value);
    }
    let path = pool_path(&driver, &name, config.get("source"))?;
    let capacity = config::size(&config);
    let mut attributes = Attributes::default();
    attributes.entry(SPACE).insert("driver".into(), driver.into());
    set_config(&mut attributes, &config);
    let description = body.description.unwrap_or_default();
    Ok(NewPool { name, driver: Driver::Local, path, capacity, description, attributes })
}

/// What a `PUT` of a pool's config changes. Its source and size are facts that stay as they are.
pub(crate) fn put_pool(pool: &Pool, wire: WireConfig) -> Result<ChangeAttributes, Condition> {
    let mut wanted = config(wire);
    wanted.retain(|_, value| !value.is_empty());
    check_pool_change(pool, &wanted)?;
    Ok(Box::new(move |attributes| {
        let kept = to_wire::kept_config(attributes);
        let mut all = wanted.clone();
        // A source that was given at the making is no longer a wish.
        if let Some(source) = kept.get("source") {
            all.insert("source".into(), source.clone());
        }
        set_config(attributes, &all);
    }))
}

/// What a `PATCH` of a pool's config changes: the named keys; an empty value removes one.
pub(crate) fn patch_pool(pool: &Pool, wire: WireConfig) -> Result<ChangeAttributes, Condition> {
    let wanted = config(wire);
    let mut set = wanted.clone();
    set.retain(|_, value| !value.is_empty());
    check_pool_change(pool, &set)?;
    if wanted.get("source").is_some_and(String::is_empty) {
        return Err(refused("Pool source cannot be changed"));
    }
    Ok(Box::new(move |attributes| patch_config(attributes, &wanted)))
}

fn check_pool_change(pool: &Pool, wanted: &Config) -> Result<(), Condition> {
    config::check_pool(to_wire::driver(pool), wanted)?;
    let now = to_wire::pool_config(pool);
    if wanted.get("source").is_some_and(|s| Some(s) != now.get("source")) {
        return Err(refused("Pool source cannot be changed"));
    }
    match config::size(wanted) {
        Some(bytes) if bytes != pool.capacity => {
            Err(Condition::Unsupported("the size of a pool cannot be changed yet".into()))
        }
        _ => Ok(()),
    }
}

/// Replaces the config kept with something.
fn set_config(attributes: &mut Attributes, config: &Config) {
    let map: Map<String, Value> = config.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
    attributes.entry(SPACE).insert("config".into(), Value::Object(map));
}

/// Sets the named keys; an empty value removes one.
fn patch_config(attributes: &mut Attributes, changes: &Config) {
    let mut all = to_wire::kept_config(attributes);
    all.extend(changes.clone());
    all.retain(|_, value| !value.is_empty());
    set_config(attributes, &all);
}

fn set_description(attributes: &mut Attributes, description: &str) {
    attributes.entry(SPACE).insert("description".into(), description.into());
}

/// Where the bytes of a new volume come from, in LXD's words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WantedSource {
    /// Nowhere.
    Blank,
    /// A volume, or a snapshot of one, in a pool (absent: the new volume's own).
    Copy {
        /// The pool.
        pool: Option<String>,
        /// The volume.
        volume: String,
        /// The snapshot.
        snapshot: Option<String>,
        /// Without its snapshots.
        volume_only: bool,
    },
}

/// What a creation asks for, checked as far as that can be done without looking anything up.
#[derive(Debug)]
pub(crate) struct WantedVolume {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) config: Config,
    pub(crate) source: WantedSource,
}

/// A volume to be made, of the type in the path (or, on the path without one, in the body).
pub(crate) fn wanted_volume(kind: Option<&str>, body: VolumesPost) -> Result<WantedVolume, Condition> {
    let kind = kind.map(str::to_string).or(body.kind).unwrap_or_default();
    if kind != "custom" {
        let text = format!("Currently not allowed to create storage volumes of type {kind:?}");
        return Err(refused(text));
    }
    let name = volume_name(body.name)?;
    match body.content_type.as_deref().unwrap_or_default() {
        "" | "block" => {}
        word @ ("filesystem" | "iso") => {
            return Err(Condition::Unsupported(format!(
                "parpen keeps block volumes, no volumes of the content type {word:?}; \
                 ask for the content type \"block\" (lxc: --type=block)"
            )));
        }
        _ => return Err(refused("Invalid volume content type name")),
    }
    let mut config = config(body.config.unwrap_or_default());
    config.retain(|_, value| !value.is_empty());
    config::check_volume(&name, &config)?;
    let source = source(body.source.unwrap_or_default())?;
    Ok(WantedVolume { name, description: body.description, config, source })
}

fn source(wire: VolumeSource) -> Result<WantedSource, Condition> {
    match wire.kind.as_deref().unwrap_or_default() {
        "" => return Ok(WantedSource::Blank),
        "copy" => {}
        "migration" => {
            return Err(Condition::Unsupported("migration between servers is not implemented".into()));
        }
        other => return Err(refused(format!("Unknown source type {other:?}"))),
    }
    check_project(wire.project.as_deref())?;
    if wire.refresh == Some(true) {
        return Err(Condition::Unsupported("refreshing a copy is not implemented; make a new one".into()));
    }
    let name =
        wire.name.filter(|n| !n.is_empty()).ok_or_else(|| refused("No source volume name supplied"))?;
    let (volume, snapshot) = match name.split_once('/') {
        Some((v, s)) => (v.to_string(), Some(s.to_string())),
        None => (name, None),
    };
    Ok(WantedSource::Copy {
        pool: wire.pool.filter(|p| !p.is_empty()),
        volume,
        snapshot,
        volume_only: wire.volume_only == Some(true),
    })
}

/// A blank volume.
pub(crate) fn blank_volume(pool: &Pool, wanted: WantedVolume) -> NewVolume {
    let of_pool = to_wire::kept_config(&pool.attributes);
    let default = || {
        let literal = of_pool.get("volume.size").cloned()?;
        config::size(&Config::from([("size".to_string(), literal)]))
    };
    let size = config::size(&wanted.config).or_else(default).unwrap_or(DEFAULT_SIZE);
    new_volume(pool, wanted, From::Blank, Some(size))
}

/// A copy of a volume. What the request leaves out is taken from the source.
pub(crate) fn copy_of_volume(pool: &Pool, wanted: WantedVolume, of: &Volume) -> NewVolume {
    new_volume(pool, inheriting(wanted, &of.attributes), From::Volume(of.id), None)
}

/// A volume from a snapshot. What the request leaves out is taken from the snapshot.
pub(crate) fn copy_of_snapshot(pool: &Pool, wanted: WantedVolume, of: &Snapshot) -> NewVolume {
    new_volume(pool, inheriting(wanted, &of.attributes), From::Snapshot(of.id), None)
}

fn inheriting(mut wanted: WantedVolume, from: &Attributes) -> WantedVolume {
    if wanted.config.is_empty() {
        // The size is the source's own, whatever was once written there.
        wanted.config = to_wire::kept_config(from);
        wanted.config.remove("size");
    }
    if wanted.description.is_none() {
        wanted.description = Some(to_wire::kept_description(from).to_string());
    }
    wanted
}

fn new_volume(pool: &Pool, wanted: WantedVolume, from: From, size: Option<u64>) -> NewVolume {
    let mut attributes = Attributes::default();
    set_config(&mut attributes, &wanted.config);
    set_description(&mut attributes, wanted.description.as_deref().unwrap_or_default());
    NewVolume {
        id: None,
        naming: Naming::unique(wanted.name, Space::within(Api::Lxd, pool.id)),
        size: size.or_else(|| config::size(&wanted.config)),
        from,
        place: Place { pool: Some(pool.id), ..Place::default() },
        options: Options { attributes, ..Options::default() },
    }
}

/// How a volume's or snapshot's description and config are to change.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Absent: it stays. LXD 5.0.2 empties it then, which loses what somebody wrote.
    pub(crate) description: Option<String>,
    /// Absent: it stays.
    pub(crate) config: Option<Config>,
    /// The config replaces the old one; else its keys are set one by one.
    pub(crate) replace: bool,
    /// Snapshots: `Some(None)` takes the date away.
    pub(crate) expires_at: Option<Option<String>>,
}

/// The change of the kept document.
pub(crate) fn change(change: Change) -> ChangeAttributes {
    Box::new(move |attributes| {
        if let Some(description) = &change.description {
            set_description(attributes, description);
        }
        match &change.config {
            Some(config) if change.replace => set_config(attributes, config),
            Some(config) => patch_config(attributes, config),
            None => {}
        }
        match &change.expires_at {
            Some(Some(date)) => {
                attributes.entry(SPACE).insert("expires_at".into(), date.clone().into());
            }
            Some(None) => {
                attributes.entry(SPACE).remove("expires_at");
            }
            None => {}
        }
    })
}

/// The config of a `PUT` or `PATCH`, checked. A `PUT` has no empty values.
pub(crate) fn changed_config(
    name: &str,
    wire: Option<WireConfig>,
    replace: bool,
) -> Result<Option<Config>, Condition> {
    let Some(mut config) = wire.map(config) else { return Ok(None) };
    if replace {
        config.retain(|_, value| !value.is_empty());
    }
    config::check_volume(name, &config)?;
    Ok(Some(config))
}

/// A date as clients give it: RFC 3339, or one of the ways to say none.
pub(crate) fn expires_at(text: Option<String>) -> Result<Option<String>, Condition> {
    let Some(text) = text.filter(|t| !t.is_empty() && t != NO_DATE) else { return Ok(None) };
    match text.parse::<jiff::Timestamp>() {
        Ok(_) => Ok(Some(text)),
        Err(_) => Err(refused(format!("parsing time {text:?}: it is no date of RFC 3339"))),
    }
}

/// A snapshot to be taken. It keeps the config that its volume has now.
pub(crate) fn new_snapshot(
    of: &Volume,
    name: String,
    body: SnapshotsPost,
    now: jiff::Timestamp,
) -> Result<NewSnapshot, Condition> {
    let config = to_wire::volume_config(of);
    let date = match expires_at(body.expires_at)? {
        Some(date) => Some(date),
        None => default_expiry(&config, now)?,
    };
    let mut attributes = Attributes::default();
    set_config(&mut attributes, &config);
    set_description(&mut attributes, "");
    if let Some(date) = date {
        attributes.entry(SPACE).insert("expires_at".into(), date.into());
    }
    let naming = Naming::unique(name, Space::within(Api::Lxd, of.id));
    Ok(NewSnapshot { id: None, naming, bound: false, attributes })
}

/// The date that the volume's own rule gives.
fn default_expiry(config: &Config, now: jiff::Timestamp) -> Result<Option<String>, Condition> {
    let rule = config.get("snapshots.expiry").map(String::as_str).unwrap_or_default();
    let Some(span) = config::expiry(rule).map_err(refused)? else { return Ok(None) };
    let late = |e| refused(format!("snapshots.expiry {rule:?} leads beyond all calendars: {e}"));
    let date = now.to_zoned(jiff::tz::TimeZone::UTC).checked_add(span).map_err(late)?;
    Ok(Some(date.timestamp().to_string()))
}

/// A rename within the pool; everything else that this call can mean is a move.
pub(crate) fn renamed(pool: &str, body: crate::wire::VolumePost) -> Result<String, Condition> {
    let name = volume_name(body.name)?;
    check_project(body.project.as_deref())?;
    if body.migration == Some(true) {
        return Err(Condition::Unsupported("migration between servers is not implemented".into()));
    }
    match body.pool.as_deref() {
        None | Some("") => Ok(name),
        Some(p) if p == pool => Ok(name),
        Some(_) => Err(Condition::Unsupported(
            "moving a volume to another pool is not implemented; copy it and delete the old one".into(),
        )),
    }
}

#[cfg(test)]
mod tests;
