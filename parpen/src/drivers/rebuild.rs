//! `parpen pool rebuild-metadata`: the database from what stands on the disks themselves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use parpen_base::{Clock, Entropy, SystemClock, SystemEntropy};
use parpen_meta::DataDir;
use parpen_model::lifecycle::Life;
use parpen_model::ports::VolumeBackend;
use parpen_model::{Attributes, DiskPlace, Driver, Pool, PoolId, Query, Scope, Stamp, read};
use parpen_ring::{Backend, Reactor};
use parpen_service::adopt::{Adopted, adopt};
use uuid::Uuid;

use super::store::{PoolStore, condition};
use super::{LocalDrivers, Missing, files};
use crate::files as house;

/// What became of one pool.
#[derive(Debug, serde::Serialize)]
pub struct Rebuilt {
    /// The pool's name.
    pub pool: String,
    /// Its disks.
    pub disks: Vec<String>,
    /// Volumes that have a row again.
    pub volumes: usize,
    /// Snapshots that have a row again.
    pub snapshots: usize,
    /// What came back otherwise than it was, in plain words.
    pub remarks: Vec<String>,
}

/// A pool as its disks show it.
struct Seen {
    name: String,
    /// With their own ids.
    disks: Vec<(Uuid, DiskPlace)>,
}

/// Gives rows to everything on the disks of a stopped data directory (and on `more` disks) that has none. Rows that are
/// there stay.
pub fn run(dir: &Path, more: &[PathBuf], despite_missing: bool) -> anyhow::Result<Vec<Rebuilt>> {
    if !dir.is_dir() {
        bail!("{} is no directory", dir.display());
    }
    let held = DataDir::lock(dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(rebuild(&held, more, despite_missing))
}

async fn rebuild(dir: &DataDir, more: &[PathBuf], despite_missing: bool) -> anyhow::Result<Vec<Rebuilt>> {
    let meta = parpen_meta::Store::open(&dir.database())?;
    let (clock, entropy) = (SystemClock::new(), Arc::new(SystemEntropy) as Arc<dyn Entropy>);
    let keep = |secrets: &parpen_identity::Secrets| {
        house::write_secrets(dir.path(), secrets)
            .map_err(|e| parpen_model::Condition::Unavailable(format!("{e:#}")))
    };
    parpen_identity::bootstrap(&meta, &*entropy, &clock, house::kept_secrets(dir.path())?, keep).await?;
    let reactor = Reactor::start("rebuild", Backend::Auto).context("the reactor cannot start")?;
    let drivers = LocalDrivers::new(dir.path().to_path_buf(), vec![reactor.clone()], entropy);
    let known: Vec<Pool> = read(&meta, |tx| tx.list(Scope::All, &Query::default())).await?;
    let mut out = Vec::new();
    for (store, seen) in look(dir.path(), more, &drivers, &known).await? {
        let now = clock.now();
        let row = known.iter().find(|p| p.id.0 == store).cloned();
        let is_new = row.is_none();
        let mut pool = row.unwrap_or_else(|| row_of(store, &seen, &known, now));
        let missing = match (is_new, despite_missing) {
            (_, true) => Missing::Any,
            // Its witness went with its row.
            (true, false) => Missing::None,
            (false, false) => Missing::Older,
        };
        let (open, _) =
            drivers.clone().despite(missing).open_local(&pool).await.map_err(|e| match missing {
                Missing::None => anyhow::anyhow!(
                    "{e}. Name every disk that is elsewhere; --despite-missing goes on without"
                ),
                _ => e.into(),
            })?;
        if is_new {
            // The disks know each other, their numbers and what was said of them.
            for m in open.members().await.map_err(condition)? {
                let place = seen.disks.iter().position(|(uuid, _)| *uuid == m.uuid);
                match place.and_then(|at| pool.disks.get_mut(at)) {
                    Some(place) => {
                        (place.number, place.ssd, place.description) =
                            (m.number, m.about.ssd, m.about.description)
                    }
                    // A number that was given stays so, whatever became of the disk.
                    None => pool.spent.push(m.number),
                }
            }
            pool.disks.sort_by_key(|d| d.number);
        }
        let open = PoolStore::new(open, &pool, drivers.clone());
        let mut found = open.inventory().await?;
        found.sort_by_key(|f| f.subject);
        let done = adopt(&meta, now, pool.clone(), found).await?;
        open.close().await?;
        out.push(told(pool, done));
    }
    drop(drivers);
    reactor.shutdown();
    reactor.join()?;
    meta.close();
    Ok(out)
}

fn told(pool: Pool, done: Adopted) -> Rebuilt {
    let project = |id: &Uuid| format!("project {id} is named project-{id}: its own name is not on the disks");
    Rebuilt {
        disks: pool.disks.iter().map(|d| d.path.clone()).collect(),
        pool: pool.name,
        volumes: done.volumes,
        snapshots: done.snapshots,
        remarks: done.projects.iter().map(project).chain(done.remarks).collect(),
    }
}

/// The stores of all disks that can be found: those of the data directory, those that rows name, and `more`.
async fn look(
    dir: &Path,
    more: &[PathBuf],
    drivers: &LocalDrivers,
    known: &[Pool],
) -> anyhow::Result<BTreeMap<Uuid, Seen>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    if dir.join("pools").is_dir() {
        for entry in std::fs::read_dir(dir.join("pools"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "disk") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths.extend(known.iter().flat_map(|p| &p.disks).map(|d| dir.join(&d.path)));
    for path in more {
        paths.push(std::path::absolute(path)?);
    }
    let mut stores: BTreeMap<Uuid, Seen> = BTreeMap::new();
    let mut done: Vec<PathBuf> = Vec::new();
    for path in paths {
        if done.contains(&path) {
            continue;
        }
        done.push(path.clone());
        let Some((store, uuid)) = drivers.identity(&path).await? else {
            if more.iter().any(|m| std::path::absolute(m).is_ok_and(|m| m == path)) {
                bail!("{} is no disk of parpen; nothing was changed", path.display());
            }
            continue;
        };
        if let Some((_, twin)) =
            stores.get(&store).and_then(|s| s.disks.iter().find(|(known, _)| *known == uuid))
        {
            bail!(
                "{} and {} are one disk, and one of them is a copy: move the older one away; nothing was changed",
                dir.join(&twin.path).display(),
                path.display()
            );
        }
        let text = path.strip_prefix(dir).unwrap_or(&path).display().to_string();
        let seen =
            stores.entry(store).or_insert_with(|| Seen { name: files::pool_of(&path), disks: Vec::new() });
        let number = seen.disks.len() as u16 + 1;
        let capacity = std::fs::metadata(&path)?.len();
        let ssd = super::medium::is_ssd(&path);
        let place =
            DiskPlace { number, path: text, capacity, ssd, description: String::new(), ignored: false };
        seen.disks.push((uuid, place));
    }
    Ok(stores)
}

/// A row for a pool that has none. What its disks say of themselves (numbers, media) is put in when it is opened.
fn row_of(store: Uuid, seen: &Seen, known: &[Pool], now: jiff::Timestamp) -> Pool {
    let taken = |name: &str| known.iter().any(|p| p.name == name);
    let name = match taken(&seen.name) {
        false => seen.name.clone(),
        true => format!("{}-{}", seen.name, &store.simple().to_string()[..8]),
    };
    Pool {
        id: PoolId(store),
        name,
        driver: Driver::Local,
        disks: seen.disks.iter().map(|(_, d)| d.clone()).collect(),
        spent: Vec::new(),
        capacity: seen.disks.iter().map(|(_, d)| d.capacity).sum(),
        replication: 1,
        upkeep: parpen_model::Upkeep::default(),
        description: "rebuilt from its disks".into(),
        attributes: Attributes::default(),
        life: Life::Ready,
        fault: None,
        stamp: Stamp::at(now),
    }
}
