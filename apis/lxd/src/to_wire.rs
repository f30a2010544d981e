//! From nouns to LXD's documents. The only place, with the errors, that speaks LXD's words.

mod operations;

use std::collections::HashMap;

use jiff::Timestamp;
use parpen_model::lifecycle::Life;
use parpen_model::{Api, Attributes, Pool, Snapshot, Space, Volume, VolumeId};
use parpen_service::names;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::config::{self, Config};
use crate::etag;

pub(crate) use operations::{
    Event, Operation, Resources, Told, description, done_at_once, lifecycle_event, operation, operation_event,
};

/// The namespace in which this API keeps what the core has no use for.
pub(crate) const SPACE: &str = "lxd";
/// The date that stands for none.
pub(crate) const NO_DATE: &str = "0001-01-01T00:00:00Z";
/// The one project that LXD's clients see.
pub(crate) const PROJECT: &str = "default";

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// The address of a pool.
pub(crate) fn pool_url(pool: &str) -> String {
    format!("/1.0/storage-pools/{}", segment(pool))
}

/// The address of a volume.
pub(crate) fn volume_url(pool: &str, volume: &str) -> String {
    format!("{}/volumes/custom/{}", pool_url(pool), segment(volume))
}

/// The address of a snapshot.
pub(crate) fn snapshot_url(pool: &str, volume: &str, snapshot: &str) -> String {
    format!("{}/snapshots/{}", volume_url(pool, volume), segment(snapshot))
}

/// The configuration kept with something, as it was written.
pub(crate) fn kept_config(attributes: &Attributes) -> Config {
    let kept = attributes.value(SPACE, "config").and_then(Value::as_object);
    let text = |v: &Value| v.as_str().map(str::to_string);
    kept.into_iter().flatten().filter_map(|(k, v)| Some((k.clone(), text(v)?))).collect()
}

/// The description kept with something.
pub(crate) fn kept_description(attributes: &Attributes) -> &str {
    attributes.text(SPACE, "description").unwrap_or_default()
}

/// The driver that a pool is shown to have.
pub(crate) fn driver(pool: &Pool) -> &str {
    pool.attributes.text(SPACE, "driver").unwrap_or("dir")
}

/// A pool's configuration with what the core knows better.
pub(crate) fn pool_config(pool: &Pool) -> Config {
    let mut config = kept_config(&pool.attributes);
    if let Some(disk) = pool.disks.first() {
        config.entry("source".into()).or_insert_with(|| disk.path.clone());
    }
    let size = config::shown_size(config.get("size"), pool.capacity);
    config.insert("size".into(), size);
    config
}

/// A volume's configuration with its size.
pub(crate) fn volume_config(volume: &Volume) -> Config {
    sized(&volume.attributes, volume.size)
}

fn sized(attributes: &Attributes, bytes: u64) -> Config {
    let mut config = kept_config(attributes);
    config.insert("size".into(), config::shown_size(config.get("size"), bytes));
    config
}

/// The ETag of a pool.
pub(crate) fn pool_etag(pool: &Pool) -> String {
    etag::of_config(&pool.name, driver(pool), &pool_config(pool))
}

/// The ETag of a volume.
pub(crate) fn volume_etag(volume: &Volume) -> String {
    etag::of_config(&volume.shown_in(Api::Lxd), "custom", &volume_config(volume))
}

/// The ETag of a snapshot.
pub(crate) fn snapshot_etag(snapshot: &Snapshot) -> String {
    etag::of_snapshot(kept_description(&snapshot.attributes), expires_at(snapshot).unwrap_or(NO_DATE))
}

/// A pool's document.
#[derive(Debug, Serialize)]
pub(crate) struct PoolDoc {
    config: Config,
    description: String,
    name: String,
    driver: String,
    used_by: Vec<String>,
    status: &'static str,
    locations: [&'static str; 1],
    managed: bool,
}

/// A pool with the addresses of what is in it.
pub(crate) fn pool(pool: &Pool, used_by: Vec<String>) -> PoolDoc {
    PoolDoc {
        config: pool_config(pool),
        description: pool.description.clone(),
        name: pool.name.clone(),
        driver: driver(pool).to_string(),
        used_by,
        status: match pool.life {
            Life::Creating => "Pending",
            Life::Ready => "Created",
            Life::Error => "Errored",
            Life::Deleting => "Unknown",
        },
        locations: ["none"],
        managed: true,
    }
}

/// Capacity and use. There are no inodes here.
pub(crate) fn resources(space: &Space) -> Value {
    json!({
        "space": { "used": space.used, "total": space.capacity },
        "inodes": { "used": 0, "total": 0 },
    })
}

/// The document of a volume, or of a snapshot among volumes.
#[derive(Debug, Serialize)]
pub(crate) struct VolumeDoc {
    config: Config,
    description: String,
    pub(crate) name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    used_by: [String; 0],
    location: &'static str,
    content_type: &'static str,
    project: &'static str,
    created_at: Timestamp,
}

fn volume_doc(config: Config, description: &str, name: String, created_at: Timestamp) -> VolumeDoc {
    VolumeDoc {
        config,
        description: description.to_string(),
        name,
        kind: "custom",
        used_by: [],
        location: "none",
        content_type: "block",
        project: PROJECT,
        created_at,
    }
}

/// A volume.
pub(crate) fn volume(v: &Volume) -> VolumeDoc {
    let description = kept_description(&v.attributes);
    volume_doc(volume_config(v), description, v.shown_in(Api::Lxd), v.stamp.created)
}

/// A snapshot as it stands among volumes: `volume/snapshot`.
pub(crate) fn snapshot_as_volume(of: &str, s: &Snapshot) -> VolumeDoc {
    let name = format!("{of}/{}", names::short_in(s, Api::Lxd));
    volume_doc(sized(&s.attributes, s.size), kept_description(&s.attributes), name, s.stamp.created)
}

/// How much of a volume is stored, and its size.
pub(crate) fn volume_state(v: &Volume, stored: u64) -> Value {
    json!({ "usage": { "used": stored, "total": v.size } })
}

/// A snapshot's document.
#[derive(Debug, Serialize)]
pub(crate) struct SnapshotDoc {
    description: String,
    expires_at: Option<String>,
    name: String,
    config: Config,
    content_type: &'static str,
    created_at: Timestamp,
}

/// When a snapshot is over, in the text that was given.
fn expires_at(s: &Snapshot) -> Option<&str> {
    s.attributes.text(SPACE, "expires_at")
}

/// A snapshot by itself: its short name, and a date also where there is none.
pub(crate) fn snapshot(s: &Snapshot) -> SnapshotDoc {
    SnapshotDoc {
        description: kept_description(&s.attributes).to_string(),
        expires_at: Some(expires_at(s).unwrap_or(NO_DATE).to_string()),
        name: names::short_in(s, Api::Lxd),
        config: sized(&s.attributes, s.size),
        content_type: "block",
        created_at: s.stamp.created,
    }
}

/// A snapshot in a list: its long name, and `null` where there is no date.
pub(crate) fn snapshot_in_list(of: &str, s: &Snapshot) -> SnapshotDoc {
    let name = format!("{of}/{}", names::short_in(s, Api::Lxd));
    SnapshotDoc { name, expires_at: expires_at(s).map(str::to_string), ..snapshot(s) }
}

/// Snapshots by volume, in order of creation.
pub(crate) fn by_origin(all: Vec<Snapshot>) -> HashMap<VolumeId, Vec<Snapshot>> {
    let mut map: HashMap<VolumeId, Vec<Snapshot>> = HashMap::new();
    for s in all {
        map.entry(s.origin).or_default().push(s);
    }
    map
}

/// The configuration of the one project.
fn project_config() -> Config {
    let yes = |k: &str| (k.to_string(), "true".to_string());
    ["features.images", "features.networks", "features.profiles", "features.storage.volumes"]
        .map(yes)
        .into_iter()
        .collect()
}

const PROJECT_DESCRIPTION: &str = "All that parpen keeps";

/// The one project, and its ETag.
pub(crate) fn project(used_by: Vec<String>) -> (Value, String) {
    let config = project_config();
    let hash = etag::of_project(PROJECT_DESCRIPTION, &config);
    let document = json!({
        "config": config,
        "description": PROJECT_DESCRIPTION,
        "name": PROJECT,
        "used_by": used_by,
    });
    (document, hash)
}
