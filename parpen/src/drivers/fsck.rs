//! `parpen fsck`: the invariants of every store of a stopped data directory, and whether rows and stores agree.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use parpen_array::{Order, Rates, State, Store};
use parpen_base::SystemEntropy;
use parpen_meta::DataDir;
use parpen_model::lifecycle::Life;
use parpen_model::ports::MetaStore;
use parpen_model::{Driver, Job, Pool, Query, Scope, Snapshot, Volume, read};
use parpen_ring::{Backend, Reactor};
use uuid::Uuid;

use super::LocalDrivers;
use super::store::condition;

/// Between two looks at a repair.
const LOOK: Duration = Duration::from_millis(100);
/// Looks without any progress after which a disk that is behind will stay so.
const QUIET: u32 = 300;

/// What the rows say: the pools, and the ids that each is to hold.
struct Rows {
    pools: Vec<Pool>,
    /// (id, pool, title, must be there)
    held: Vec<(Uuid, Uuid, String, bool)>,
    /// What unfinished jobs are about, if they will run: it may be on either side.
    moving: HashSet<Uuid>,
}

/// How thoroughly.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Read every stored byte and verify its checksum.
    pub data: bool,
    /// Bring disks up to date, and mend what another replica still has right, before looking.
    pub repair: bool,
}

/// Checks; an error when anything is wrong.
pub fn run(dir: &Path, how: How) -> anyhow::Result<()> {
    if !dir.join("meta.sqlite").is_file() {
        bail!("{} is no data directory: it holds no meta.sqlite; nothing was changed", dir.display());
    }
    let held = DataDir::lock(dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(check(&held, how))?;
    match found {
        0 => {
            println!("clean");
            Ok(())
        }
        1 => bail!("1 thing is wrong; see above"),
        n => bail!("{n} things are wrong; see above"),
    }
}

async fn check(dir: &DataDir, how: How) -> anyhow::Result<usize> {
    let meta = parpen_meta::Store::open(&dir.database())?;
    let rows = rows(&meta, dir.is_restored()).await?;
    let reactor = Reactor::start("fsck", Backend::Auto).context("the reactor cannot start")?;
    let drivers = LocalDrivers::new(dir.path().to_path_buf(), vec![reactor.clone()], Arc::new(SystemEntropy));
    let lost = strangers(dir.path(), &rows.pools)?;
    lost.iter().for_each(|s| println!("{s}"));
    let mut wrong = lost.len();
    for pool in rows.pools.iter().filter(|p| p.driver == Driver::Local && p.life == Life::Ready) {
        let (store, pool) = &match drivers.open_local(pool).await {
            Ok(opened) => opened,
            Err(e) => {
                println!("pool {}: {e}", pool.name);
                wrong += 1;
                continue;
            }
        };
        if how.repair {
            repair(store, pool).await?;
        }
        let said = check_store(store, pool, &rows, how.data).await?;
        said.iter().for_each(|s| println!("pool {}: {s}", pool.name));
        wrong += said.len() + absent(store, pool).await? + unreadable(store, pool).await?;
        for disk in &pool.disks {
            println!("pool {}: {} checked", pool.name, dir.path().join(&disk.path).display());
        }
        store.close().await.map_err(condition)?;
    }
    drop(drivers);
    reactor.shutdown();
    reactor.join()?;
    meta.close();
    Ok(wrong)
}

/// Lets the store bring its disks up to date and read every one of them through.
async fn repair(store: &Store, pool: &Pool) -> anyhow::Result<()> {
    let all_speed = Rates { recovery: u64::MAX, eject: u64::MAX, balance: u64::MAX, scrub: u64::MAX };
    store.set_rates(all_speed);
    for m in store.members().await.map_err(condition)?.iter().filter(|m| m.space.is_some()) {
        store.order(Order::Scrub(m.number)).await.map_err(condition)?;
    }
    let (mut quiet, mut last) = (0, 0);
    loop {
        let tasks = store.tasks().await.map_err(condition)?;
        let members = store.members().await.map_err(condition)?;
        let behind = members.iter().any(|m| m.state == State::Resyncing);
        let through = tasks.iter().all(|t| t.completed + t.stuck >= t.all);
        // A disk stays behind for ever where nobody has what it lacks.
        let done = tasks.iter().map(|t| t.completed + t.stuck).sum::<u64>();
        quiet = if through && done == last { quiet + 1 } else { 0 };
        last = done;
        if through && (!behind || quiet > QUIET) {
            for m in members.iter().filter(|m| m.state == State::Resyncing) {
                println!("pool {}: disk {} stays behind: nobody here has what it lacks", pool.name, m.number);
            }
            for m in &members {
                if m.faults.bad > 0 {
                    println!(
                        "pool {}: disk {}: {} bad blocks, {} repaired, {} without a good copy",
                        pool.name, m.number, m.faults.bad, m.faults.healed, m.faults.lost
                    );
                }
            }
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Says which disks do not serve.
async fn absent(store: &Store, pool: &Pool) -> anyhow::Result<usize> {
    let members = store.members().await.map_err(condition)?;
    let out: Vec<_> = members.iter().filter(|m| m.state == State::Out).collect();
    for m in &out {
        let why = m.trouble.as_deref().unwrap_or("it is not there");
        println!("pool {}: disk {} does not serve: {why}", pool.name, m.number);
    }
    Ok(out.len())
}

/// Says what cannot be read for want of disks.
async fn unreadable(store: &Store, pool: &Pool) -> anyhow::Result<usize> {
    let health = store.health(Vec::new()).await.map_err(condition)?;
    let away = "objects cannot be read: only disks that do not serve may have them; bring those back";
    let lost = "objects are lost: every disk that had them is gone for good; delete their volumes, or write them anew";
    let said: Vec<_> =
        [(health.away, away), (health.lost, lost)].into_iter().filter(|(n, _)| *n > 0).collect();
    said.iter().for_each(|(n, what)| println!("pool {}: {n} {what}", pool.name));
    Ok(said.len())
}

async fn rows(meta: &dyn MetaStore, restored: bool) -> anyhow::Result<Rows> {
    let rows = read(meta, move |tx| {
        let every = Query::default();
        let volumes: Vec<Volume> = tx.list(Scope::All, &every)?;
        let snapshots: Vec<Snapshot> = tx.list(Scope::All, &every)?;
        let jobs: Vec<Job> = tx.list(Scope::All, &every)?;
        let of_volume =
            |v: &Volume| (v.id.0, v.pool.0, format!("volume {}", v.handle), v.life == Life::Ready);
        let of_snapshot =
            |s: &Snapshot| (s.id.0, s.pool.0, format!("snapshot {}", s.handle), s.life == Life::Ready);
        let open = jobs.iter().filter(|j| !j.is_final() && !restored);
        Ok(Rows {
            pools: tx.list(Scope::All, &every)?,
            held: volumes.iter().map(of_volume).chain(snapshots.iter().map(of_snapshot)).collect(),
            moving: open.flat_map(|j| ids_in(&j.args)).collect(),
        })
    })
    .await?;
    Ok(rows)
}

/// Every id that a job speaks of.
fn ids_in(args: &serde_json::Value) -> Vec<Uuid> {
    match args {
        serde_json::Value::String(text) => Uuid::parse_str(text).into_iter().collect(),
        serde_json::Value::Array(all) => all.iter().flat_map(ids_in).collect(),
        serde_json::Value::Object(fields) => fields.values().flat_map(ids_in).collect(),
        _ => Vec::new(),
    }
}

/// Disks in the data directory that no pool names.
fn strangers(dir: &Path, pools: &[Pool]) -> anyhow::Result<Vec<String>> {
    let folder = dir.join("pools");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let named: HashSet<_> = pools.iter().flat_map(|p| &p.disks).map(|d| dir.join(&d.path)).collect();
    let mut said = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "disk") && !named.contains(&path) {
            said.push(format!(
                "{} belongs to no pool of the database; was meta.sqlite lost?",
                path.display()
            ));
        }
    }
    Ok(said)
}

async fn check_store(store: &Store, pool: &Pool, rows: &Rows, data: bool) -> anyhow::Result<Vec<String>> {
    let mut said: Vec<String> =
        store.fsck(data).await.map_err(condition)?.into_iter().map(|v| v.to_string()).collect();
    let there: Vec<_> = store.inventory().await.map_err(condition)?;
    let on_disk: HashSet<Uuid> = there.iter().map(|f| f.id).collect();
    let mine: Vec<_> = rows.held.iter().filter(|(_, p, _, _)| *p == pool.id.0).collect();
    for (id, _, title, must) in &mine {
        if *must && !on_disk.contains(id) && !rows.moving.contains(id) {
            said.push(format!("{title} ({id}) is in the database and not on the disk"));
        }
    }
    let known: HashSet<Uuid> = mine.iter().map(|(id, ..)| *id).collect();
    for f in there.iter().filter(|f| !known.contains(&f.id) && !rows.moving.contains(&f.id)) {
        said.push(format!("{} is on the disk and not in the database", f.id));
    }
    Ok(said)
}
