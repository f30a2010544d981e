//! From LXD's bodies and paths to the core's commands. What no LXD volume can be is refused here, in LXD's
//! words.

mod pools;
mod snapshots;
mod volumes;

use parpen_model::{Attributes, Condition, JobId, Kind};
use parpen_service::volumes::ChangeAttributes;
use serde_json::{Map, Value};

use crate::config::{self, Config};
use crate::to_wire::{self, PROJECT, SPACE};
use crate::wire::WireConfig;

pub(crate) use pools::{new_pool, patch_pool, put_pool};
pub(crate) use snapshots::{expires_at, new_snapshot, next_snapshot_name, snapshot_name};
pub(crate) use volumes::{
    WantedSource, WantedVolume, blank_volume, copy_of_snapshot, copy_of_volume, renamed, wanted_volume,
};

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

#[cfg(test)]
mod tests;
