//! Custom volumes.

use parpen_model::{Api, Attributes, Condition, Pool, Snapshot, Volume};
use parpen_service::names::{Naming, Space};
use parpen_service::volumes::{From, NewVolume, Options, Place};

use super::{check_project, config, refused, set_config, set_description};
use crate::config::{self as keys, Config, DEFAULT_SIZE};
use crate::to_wire;
use crate::wire::{VolumePost, VolumeSource, VolumesPost};

/// The name of a new or renamed volume: one segment of a path, without the slash that parts volume and
/// snapshot.
pub(super) fn volume_name(name: Option<String>) -> Result<String, Condition> {
    let name = name.unwrap_or_default();
    match name.as_str() {
        "" => Err(refused("No name provided")),
        "." | ".." => Err(refused(format!("{name:?} is no name for a storage volume"))),
        n if n.contains('/') => Err(refused("Storage volume names may not contain slashes")),
        _ => Ok(name),
    }
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
    keys::check_volume(&name, &config)?;
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
        keys::size(&Config::from([("size".to_string(), literal)]))
    };
    let size = keys::size(&wanted.config).or_else(default).unwrap_or(DEFAULT_SIZE);
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
        size: size.or_else(|| keys::size(&wanted.config)),
        from,
        place: Place { pool: Some(pool.id), ..Place::default() },
        options: Options { attributes, ..Options::default() },
    }
}

/// A rename within the pool; everything else that this call can mean is a move.
pub(crate) fn renamed(pool: &str, body: VolumePost) -> Result<String, Condition> {
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
