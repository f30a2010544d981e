//! A store for tests: whole volumes in memory, snapshots and clones by copying. It can be told to fail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use parpen_base::{Boxed, GIB};
use parpen_block::Memory;
use parpen_model::ports::{
    Change, DataPath, Drivers, Figures, Lineage, Made, Media, Rebased, Rollback, VolumeBackend,
};
use parpen_model::{
    BalancePlan, BalanceVerb, Condition, Disk, DiskPlace, DiskVerb, Driver, Found, HeldObject, Label,
    NewBytes, Pool, PoolHealth, SnapshotId, Source, Space, StoredObject, Subject, Survey, Task, Upkeep,
    VolumeId, Whereabouts,
};
use uuid::Uuid;

use super::mortal::Life;

/// After a verb's name: the store is out of reach, rather than full.
const AWAY: &str = " away";

/// The next who asks for bytes is held up.
pub const HOLD: &str = "hold data";
/// He is there, and goes on when this is taken away.
pub const HELD: &str = "data is held";

/// Where a test makes a store fail: the verb's name, once each.
pub type Faults = Arc<Mutex<Vec<&'static str>>>;

/// What the stores show of their disks, as a test wants it.
#[derive(Default)]
pub struct Shown {
    pub disks: Vec<Disk>,
    /// Where they were found.
    pub found: Vec<DiskPlace>,
    /// Paths of disks that are known from before, with their numbers.
    pub known: Vec<(String, u16)>,
    pub health: PoolHealth,
    /// What was left out when the health was asked for.
    pub left_out: Vec<u16>,
    pub survey: Survey,
    /// The objects of every volume and snapshot.
    pub objects: Vec<StoredObject>,
    /// What every disk has.
    pub held: Vec<HeldObject>,
}

/// Stores by pool.
pub struct TestDrivers {
    pools: Mutex<HashMap<Uuid, Arc<TestStore>>>,
    pub faults: Faults,
    pub shown: Arc<Mutex<Shown>>,
    life: Arc<Life>,
}

impl TestDrivers {
    pub fn new(life: Arc<Life>) -> TestDrivers {
        TestDrivers { pools: Mutex::default(), faults: Faults::default(), shown: Arc::default(), life }
    }
}

/// One pool.
pub struct TestStore {
    held: Mutex<HashMap<Subject, (Memory, Label)>>,
    /// What was said about disks.
    said: Mutex<Vec<String>>,
    faults: Faults,
    shown: Arc<Mutex<Shown>>,
    life: Arc<Life>,
}

impl TestStore {
    fn fail(&self, verb: &'static str) -> Result<(), Condition> {
        let mut faults = self.faults.lock().expect("no test panics with it");
        let Some(i) = faults.iter().position(|f| f.trim_end_matches(AWAY) == verb) else { return Ok(()) };
        match faults.remove(i).ends_with(AWAY) {
            true => Err(Condition::Unavailable(format!("the test took the store away from {verb}"))),
            false => Err(Condition::NoSpace(format!("the test let {verb} fail"))),
        }
    }

    /// Stands still where a test said [`HOLD`], from when it says [`HELD`] until that is taken away.
    async fn wait_if_held(&self) {
        let swap = |from, to| {
            let mut faults = self.faults.lock().expect("no test panics with it");
            let found = faults.iter().position(|f| *f == from);
            found.inspect(|i| faults[*i] = to).is_some()
        };
        if swap(HOLD, HELD) {
            while swap(HELD, HELD) {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        }
    }

    fn device(&self, what: Subject) -> Option<Memory> {
        self.held.lock().expect("no test panics with it").get(&what).map(|(m, _)| m.clone())
    }

    fn put(&self, what: Subject, device: Memory, label: Label) {
        self.held.lock().expect("no test panics with it").insert(what, (device, label));
    }
}

impl TestDrivers {
    /// What the pools' stores were told about disks.
    pub fn said(&self) -> Vec<String> {
        let pools = self.pools.lock().expect("no test panics with it");
        pools.values().flat_map(|p| p.said.lock().expect("no test panics with it").clone()).collect()
    }
}

impl TestStore {
    async fn hear(&self, verb: &'static str, what: String) -> Result<(), Condition> {
        self.life.point().await;
        self.fail(verb)?;
        self.said.lock().expect("no test panics with it").push(format!("{verb} {what}"));
        self.life.point().await;
        Ok(())
    }
}

/// Disks of which only what was said is kept: the rows are what the tests are about.
impl Media for TestStore {
    fn disks(&self) -> Boxed<'_, Result<Vec<Disk>, Condition>> {
        Box::pin(async { Ok(self.shown.lock().expect("no test panics with it").disks.clone()) })
    }
    fn health<'a>(&'a self, left_out: &'a [u16]) -> Boxed<'a, Result<PoolHealth, Condition>> {
        Box::pin(async {
            let mut shown = self.shown.lock().expect("no test panics with it");
            shown.left_out = left_out.to_vec();
            Ok(shown.health)
        })
    }
    fn survey(&self) -> Boxed<'_, Result<Survey, Condition>> {
        Box::pin(async {
            self.fail("survey")?;
            Ok(self.shown.lock().expect("no test panics with it").survey.clone())
        })
    }
    fn whereabouts(&self, _: Subject, (from, most): (u64, u64)) -> Boxed<'_, Result<Whereabouts, Condition>> {
        let shown = self.shown.lock().expect("no test panics with it");
        let objects = shown.objects.iter().skip(from as usize).take(most as usize).cloned().collect();
        Box::pin(async { Ok(Whereabouts { sets: vec![vec![1, 2]], objects }) })
    }
    fn holds(
        &self,
        _: u16,
        (from, most): ((u64, u64), u64),
    ) -> Boxed<'_, Result<Vec<HeldObject>, Condition>> {
        let shown = self.shown.lock().expect("no test panics with it");
        let some = shown.held.iter().filter(|h| h.at >= from).take(most as usize).copied().collect();
        Box::pin(async { Ok(some) })
    }
    fn tasks(&self) -> Boxed<'_, Result<Vec<Task>, Condition>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn found(&self) -> Vec<DiskPlace> {
        self.shown.lock().expect("no test panics with it").found.clone()
    }
    fn knows<'a>(&'a self, path: &'a str) -> Boxed<'a, Result<Option<u16>, Condition>> {
        let shown = self.shown.lock().expect("no test panics with it");
        let number = shown.known.iter().find(|(p, _)| p == path).map(|(_, n)| *n);
        Box::pin(async move { Ok(number) })
    }
    fn add<'a>(&'a self, place: &'a DiskPlace) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async move { self.hear("add", format!("{} {}", place.number, place.path)).await })
    }
    fn change(&self, disk: u16, verb: DiskVerb) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move { self.hear("change", format!("{disk} {verb:?}")).await })
    }
    fn balance(&self) -> Boxed<'_, Result<BalancePlan, Condition>> {
        Box::pin(async { Ok(BalancePlan { moves: 0, bytes: 0, disks: Vec::new(), running: false }) })
    }
    fn planned(&self) -> Boxed<'_, Result<Option<BalancePlan>, Condition>> {
        Box::pin(async { Ok(None) })
    }
    fn rebalance(&self, verb: BalanceVerb) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move { self.hear("balance", format!("{verb:?}")).await })
    }
    fn keep_up(&self, how: Upkeep) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move { self.hear("keep up", format!("{how:?}")).await })
    }
}

impl Drivers for TestDrivers {
    fn open<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Arc<dyn VolumeBackend>, Condition>> {
        Box::pin(async move {
            let mut pools = self.pools.lock().expect("no test panics with it");
            let fresh = || {
                let (faults, shown, life) = (self.faults.clone(), self.shown.clone(), self.life.clone());
                Arc::new(TestStore { faults, shown, life, held: Mutex::default(), said: Mutex::default() })
            };
            let store: Arc<dyn VolumeBackend> = pools.entry(pool.id.0).or_insert_with(fresh).clone();
            Ok(store)
        })
    }
    fn destroy<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async move {
            self.life.point().await;
            self.pools.lock().expect("no test panics with it").remove(&pool.id.0);
            self.life.point().await;
            Ok(())
        })
    }
    fn default_path(&self, pool: &str, number: Option<u16>) -> String {
        number.map_or_else(|| pool.to_string(), |n| format!("{pool}-{n}"))
    }
    fn is_ssd(&self, _: &str) -> bool {
        true
    }
    fn remark(&self, _: &Pool) -> Option<String> {
        None
    }
    fn capacity_for(
        &self,
        _d: Driver,
        _path: Option<&str>,
        asked: Option<u64>,
        _: u64,
    ) -> Result<u64, Condition> {
        Ok(asked.unwrap_or(8 * GIB))
    }
}

impl Lineage for TestStore {
    fn diff(
        &self,
        _from: Option<Subject>,
        to: Subject,
        _offset: u64,
        len: u64,
    ) -> Boxed<'_, Result<Vec<Change>, Condition>> {
        Box::pin(async move {
            self.device(to).ok_or_else(|| Condition::not_found(to.kind(), to.uuid()))?;
            Ok(vec![Change { len, changed: true, zero: false }])
        })
    }
    fn freeze<'a>(
        &'a self,
        id: VolumeId,
        snapshot: SnapshotId,
        label: &'a Label,
    ) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async move {
            self.life.point().await;
            self.fail("freeze")?;
            if let Some(device) = self.device(id.into()) {
                self.put(snapshot.into(), device, label.clone());
                self.held.lock().expect("no test panics with it").remove(&id.into());
            }
            self.life.point().await;
            Ok(())
        })
    }
    fn rebase(
        &self,
        _what: Subject,
        _onto: Option<SnapshotId>,
        most: u64,
    ) -> Boxed<'_, Result<Rebased, Condition>> {
        Box::pin(async move {
            self.life.point().await;
            self.fail("rebase")?;
            self.life.point().await;
            Ok(Rebased { copied: most, done: true })
        })
    }
    fn figures(&self, _what: Subject) -> Boxed<'_, Result<Figures, Condition>> {
        Box::pin(async { Ok(Figures { stored: 8192, unique: 4096, shared: 4096, freed: 4096 }) })
    }
}

impl VolumeBackend for TestStore {
    fn create<'a>(
        &'a self,
        id: VolumeId,
        from: &'a Source,
        want: &'a NewBytes,
        label: &'a Label,
    ) -> Boxed<'a, Result<Made, Condition>> {
        Box::pin(async move {
            self.life.point().await;
            self.fail("create")?;
            let there = self.device(id.into()).is_some();
            let (device, made) = match from {
                Source::Blank => (Memory::new(want.size), Made::Ready),
                Source::Snapshot(s) => match self.device((*s).into()) {
                    Some(m) => (m.copy(want.size), Made::Ready),
                    None => (Memory::new(want.size), Made::CopyInto),
                },
            };
            if !there {
                self.put(id.into(), device, label.clone());
            }
            self.life.point().await;
            Ok(made)
        })
    }
    fn snapshot<'a>(&'a self, all: &'a [(VolumeId, SnapshotId, Label)]) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async move {
            self.life.point().await;
            self.fail("snapshot")?;
            for (v, s, label) in all {
                let device = self.device((*v).into()).ok_or_else(|| Condition::internal("no such volume"))?;
                if self.device((*s).into()).is_none() {
                    self.put((*s).into(), device.copy(label.size), label.clone());
                }
            }
            self.life.point().await;
            Ok(())
        })
    }
    fn resize(&self, id: VolumeId, bytes: u64) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move {
            self.life.point().await;
            self.fail("resize")?;
            self.device(id.into()).ok_or_else(|| Condition::internal("no such volume"))?.resize(bytes);
            self.life.point().await;
            Ok(())
        })
    }
    fn delete(&self, what: Subject) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move {
            self.life.point().await;
            self.fail("delete")?;
            self.held.lock().expect("no test panics with it").remove(&what);
            self.life.point().await;
            Ok(())
        })
    }
    fn data(&self, what: Subject) -> Boxed<'_, Result<DataPath, Condition>> {
        Box::pin(async move {
            self.wait_if_held().await;
            let device =
                self.device(what).ok_or_else(|| Condition::internal("the store has no such thing"))?;
            Ok(DataPath::Here(Arc::new(device)))
        })
    }
    fn lineage(&self) -> Option<&dyn Lineage> {
        Some(self)
    }
    fn relabel<'a>(&'a self, _labels: &'a [Label]) -> Boxed<'a, Result<(), Condition>> {
        Box::pin(async {
            self.life.point().await;
            Ok(())
        })
    }
    fn inventory(&self) -> Boxed<'_, Result<Vec<Found>, Condition>> {
        Box::pin(async move {
            let held = self.held.lock().expect("no test panics with it");
            let found = |(s, (m, l)): (&Subject, &(Memory, Label))| Found {
                subject: *s,
                size: l.size,
                stored: m.stored(),
                label: l.to_bytes(),
                parent: None,
            };
            Ok(held.iter().map(found).collect())
        })
    }
    fn space(&self) -> Boxed<'_, Result<Space, Condition>> {
        Box::pin(async { Ok(Space { capacity: 8 * GIB, used: 0, free: 8 * GIB }) })
    }
    fn at_generation(&self, _generation: u64) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async { Ok(()) })
    }
    fn close(&self) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async { Ok(()) })
    }
    fn rollback(&self) -> Option<&dyn Rollback> {
        Some(self)
    }
    fn media(&self) -> Option<&dyn Media> {
        Some(self)
    }
}

impl Rollback for TestStore {
    fn rollback(&self, id: VolumeId, to: SnapshotId) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move {
            self.life.point().await;
            let device = self.device(to.into()).ok_or_else(|| Condition::internal("no such snapshot"))?;
            let size = parpen_block::BlockDevice::geometry(&device).size;
            {
                let mut held = self.held.lock().expect("no test panics with it");
                let there = held.get_mut(&id.into()).ok_or_else(|| Condition::internal("no such volume"))?;
                there.0 = device.copy(size);
            }
            self.life.point().await;
            Ok(())
        })
    }
}
