//! `parpen fsck`: the invariants of every store of a stopped data directory, and whether rows and stores agree.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use parpen_array::{Host, OldSource, Opening, Store};
use parpen_base::SystemEntropy;
use parpen_engine::FileDisk;
use parpen_meta::DataDir;
use parpen_model::lifecycle::Life;
use parpen_model::ports::MetaStore;
use parpen_model::{Driver, Job, Pool, Query, Scope, Snapshot, Volume, read};
use parpen_ring::{Backend, Reactor};
use uuid::Uuid;

use super::store::condition;

/// What the rows say: the pools, and the ids that each is to hold.
struct Rows {
    pools: Vec<Pool>,
    /// (id, pool, title, must be there)
    held: Vec<(Uuid, Uuid, String, bool)>,
    /// What unfinished jobs are about: it may be on either side.
    moving: HashSet<Uuid>,
}

/// Checks; an error when anything is wrong. `data` also reads every stored byte and verifies its checksum.
pub fn run(dir: &Path, data: bool) -> anyhow::Result<()> {
    if !dir.join("meta.sqlite").is_file() {
        bail!("{} is no data directory: it holds no meta.sqlite; nothing was changed", dir.display());
    }
    let held = DataDir::lock(dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let found = runtime.block_on(check(&held, data))?;
    match found {
        0 => {
            println!("clean");
            Ok(())
        }
        1 => bail!("1 thing is wrong; see above"),
        n => bail!("{n} things are wrong; see above"),
    }
}

async fn check(dir: &DataDir, data: bool) -> anyhow::Result<usize> {
    let meta = parpen_meta::Store::open(&dir.database())?;
    let rows = rows(&meta).await?;
    let reactor = Reactor::start("fsck", Backend::Auto).context("the reactor cannot start")?;
    let lost = strangers(dir.path(), &rows.pools)?;
    lost.iter().for_each(|s| println!("{s}"));
    let mut wrong = lost.len();
    for pool in rows.pools.iter().filter(|p| p.driver == Driver::Local && p.life == Life::Ready) {
        let path = dir.path().join(pool.disks.first().map(|d| d.path.as_str()).unwrap_or_default());
        let at = path.clone();
        let disk = move || Ok(FileDisk::open(&at)?);
        let home = Arc::new(reactor.clone());
        let number = pool.disks.first().map_or(1, |d| d.number);
        let disks: Vec<OldSource<FileDisk>> = vec![OldSource { number, disk: Box::new(disk) }];
        let witness = super::witness::of_pool(dir.path(), pool.id.0);
        let how = Opening { store: Some(pool.id.0), ..Opening::default() };
        let opened = Store::open(home, Host::ring(), Arc::new(SystemEntropy), disks, witness, how);
        let store = match opened.await {
            Ok(s) => s,
            Err(e) => {
                println!("pool {}: {}: {e}", pool.name, path.display());
                wrong += 1;
                continue;
            }
        };
        let said = check_store(&store, pool, &rows, data).await?;
        said.iter().for_each(|s| println!("pool {}: {s}", pool.name));
        wrong += said.len();
        println!("pool {}: {} checked", pool.name, path.display());
        store.close().await.map_err(condition)?;
    }
    reactor.shutdown();
    reactor.join()?;
    meta.close();
    Ok(wrong)
}

async fn rows(meta: &dyn MetaStore) -> anyhow::Result<Rows> {
    let rows = read(meta, |tx| {
        let every = Query::default();
        let volumes: Vec<Volume> = tx.list(Scope::All, &every)?;
        let snapshots: Vec<Snapshot> = tx.list(Scope::All, &every)?;
        let jobs: Vec<Job> = tx.list(Scope::All, &every)?;
        let of_volume =
            |v: &Volume| (v.id.0, v.pool.0, format!("volume {}", v.handle), v.life == Life::Ready);
        let of_snapshot =
            |s: &Snapshot| (s.id.0, s.pool.0, format!("snapshot {}", s.handle), s.life == Life::Ready);
        let open = jobs.iter().filter(|j| !j.is_final());
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
