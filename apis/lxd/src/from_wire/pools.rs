//! Storage pools.

use parpen_model::{Attributes, Condition, Driver, Pool};
use parpen_service::pools::{NewDisk, NewPool};
use parpen_service::volumes::ChangeAttributes;

use super::{config, patch_config, refused, set_config};
use crate::config::{self as keys, Config, DRIVERS};
use crate::to_wire::{self, SPACE};
use crate::wire::{PoolsPost, WireConfig};

/// Where a pool's bytes go. `dir` takes a directory, the others a file or a device; names of foreign volume
/// groups and pools are nothing that can be opened here.
pub(super) fn pool_path(
    driver: &str,
    name: &str,
    source: Option<&String>,
) -> Result<Option<String>, Condition> {
    match source.map(String::as_str).filter(|s| !s.is_empty()) {
        None => Ok(None),
        Some(s) if !s.starts_with('/') => Err(Condition::Unsupported(format!(
            "parpen keeps the bytes of a pool by itself: the source {s:?} must be an absolute path, \
             or be left out"
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
    keys::check_pool(&driver, &config)?;
    for (key, value) in keys::driver_defaults(&driver, &name) {
        config.entry(key.to_string()).or_insert(value);
    }
    let path = pool_path(&driver, &name, config.get("source"))?;
    let capacity = keys::size(&config);
    let mut attributes = Attributes::default();
    attributes.entry(SPACE).insert("driver".into(), driver.into());
    set_config(&mut attributes, &config);
    let description = body.description.unwrap_or_default();
    let disks = path.into_iter().map(NewDisk::at).collect();
    Ok(NewPool { name, driver: Driver::Local, disks, capacity, replication: None, description, attributes })
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
    keys::check_pool(to_wire::driver(pool), wanted)?;
    let now = to_wire::pool_config(pool);
    if wanted.get("source").is_some_and(|s| Some(s) != now.get("source")) {
        return Err(refused("Pool source cannot be changed"));
    }
    match keys::size(wanted) {
        Some(bytes) if bytes != pool.capacity => {
            Err(Condition::Unsupported("the size of a pool cannot be changed yet".into()))
        }
        _ => Ok(()),
    }
}
