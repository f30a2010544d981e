//! A whole core in one process, which can be stopped and started over the same rows and stores.

mod copies;
pub mod drivers;
mod mortal;
#[allow(dead_code)] // the tests of the sides use it
pub mod people;

use std::sync::{Arc, mpsc};

use parpen_base::{SeededEntropy, SystemClock};
use parpen_block::{Address, Claim, Exports, Gate, Home, Peer, ReactorId, Refusal, Session};
use parpen_identity::{Actor, Login, bootstrap, login};
use parpen_model::ports::MetaStore;
use parpen_model::{Api, Condition, Volume};
use parpen_service::names::{Naming, Space};
use parpen_service::{Copies, HouseExports, Ports, Start, volumes};
use tokio::sync::{oneshot, watch};

use copies::MortalCopies;
use drivers::{Faults, Shown, TestDrivers};
use mortal::{Life, Mortal};

/// A thread on which queues live.
struct Thread(mpsc::Sender<Box<dyn FnOnce() + Send>>);

impl Home for Thread {
    fn id(&self) -> ReactorId {
        ReactorId(1)
    }
    fn run(&self, f: Box<dyn FnOnce() + Send>) {
        // A test that has ended needs nothing more.
        let _ = self.0.send(f);
    }
}

#[allow(clippy::disallowed_methods)] // a test's own thread
pub fn thread() -> Arc<dyn Home> {
    let (send, receive) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
    std::thread::spawn(move || receive.into_iter().for_each(|f| f()));
    Arc::new(Thread(send))
}

/// What outlives a process: rows and stores.
pub struct Disk {
    meta: Arc<dyn MetaStore>,
    drivers: Arc<TestDrivers>,
    entropy: Arc<SeededEntropy>,
    /// Where backups, images and the key of keys are kept.
    copies: tempfile::TempDir,
    /// When the process dies.
    pub life: Arc<Life>,
}

/// One life of the core.
pub struct House {
    pub ports: Ports,
    pub exports: HouseExports,
    pub actor: Actor,
    pub gate: Gate,
    stop: watch::Sender<bool>,
    runner: Running,
}

/// The job runner. It ends with its house, also with one whose start was broken off.
struct Running(tokio::task::JoinHandle<Result<(), Condition>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Disk {
    pub fn new() -> Disk {
        Disk::seeded(1)
    }

    /// One whose ids are others than those of another seed.
    pub fn seeded(seed: u64) -> Disk {
        let life = Arc::new(Life::default());
        let rows: Arc<dyn MetaStore> = Arc::new(parpen_meta::Store::memory().unwrap());
        let drivers = Arc::new(TestDrivers::new(life.clone()));
        let meta = Arc::new(Mortal { rows, life: life.clone() });
        let copies = tempfile::tempdir().unwrap();
        Disk { meta, drivers, entropy: Arc::new(SeededEntropy::new(seed)), copies, life }
    }

    /// What the stores were told about disks.
    pub fn said(&self) -> Vec<String> {
        self.drivers.said()
    }

    /// What the stores show of their disks.
    pub fn shown(&self) -> Arc<std::sync::Mutex<Shown>> {
        self.drivers.shown.clone()
    }

    fn copies(&self) -> Copies {
        let (clock, dir) = (Arc::new(SystemClock::new()), self.copies.path());
        let archive = parpen_archive::ObjectArchive::local(&dir.join("backups"), clock, "test".into());
        let copies = Arc::new(MortalCopies {
            archive: archive.unwrap(),
            images: parpen_image::ImageDir::open(&dir.join("images")).unwrap(),
            life: self.life.clone(),
        });
        let keys = Arc::new(parpen_keys::FileKeys::new(dir.join("key")));
        Copies { archive: copies.clone(), images: copies, keys }
    }

    /// The names of the files that are kept below `backups` or `images`, from there on.
    pub fn kept(&self, of: &str) -> Vec<String> {
        let root = self.copies.path().join(of);
        let (mut found, mut open) = (Vec::new(), vec![root.clone()]);
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => open.push(path),
                    false => found.push(path.strip_prefix(&root).unwrap().display().to_string()),
                }
            }
        }
        found.sort();
        found
    }

    /// Makes verbs of the stores fail, once each.
    pub fn faults(&self) -> Faults {
        self.drivers.faults.clone()
    }

    /// Starts the core; with `jobs` false no job runs, as if the process died right after each first transaction.
    pub async fn start_with(&self, jobs: bool) -> House {
        self.start_as(jobs, false).await
    }

    /// Starts on rows that are an older copy.
    pub async fn start_restored(&self) -> House {
        self.start_as(true, true).await
    }

    async fn start_as(&self, jobs: bool, restored: bool) -> House {
        let clock = Arc::new(SystemClock::new());
        bootstrap(&*self.meta, &*self.entropy, &*clock, None, |_| Ok(())).await.unwrap();
        let gate = Gate::new();
        let (ports, exports, runner) = parpen_service::start(Start {
            meta: self.meta.clone(),
            drivers: self.drivers.clone(),
            copies: self.copies(),
            home: thread(),
            gate: gate.clone(),
            clock,
            entropy: self.entropy.clone(),
            restored,
        })
        .await
        .unwrap();
        let (stop, stopped) = watch::channel(false);
        let runner = Running(match jobs {
            true => tokio::spawn(runner.run(stopped)),
            false => tokio::spawn(async move {
                let _kept = runner;
                std::future::pending().await
            }),
        });
        let actor = login(&*self.meta, Api::Native, Login::Local).await.unwrap();
        House { ports, exports, actor, gate, stop, runner }
    }

    pub async fn start(&self) -> House {
        let house = self.start_with(true).await;
        parpen_service::first_pools(&house.ports, &house.actor).await.unwrap();
        house
    }
}

impl House {
    /// Ends this life without any care, like a kill.
    pub fn kill(self) {
        drop(self.runner);
        drop(self.stop);
    }

    /// A volume under a native name, made to the end.
    pub async fn volume(&self, name: &str, bytes: u64) -> Volume {
        let new = volumes::NewVolume { naming: native(name), size: Some(bytes), ..Default::default() };
        let started = volumes::create(&self.ports, &self.actor, new).await.unwrap();
        self.ports.jobs.wait(started.job).await.unwrap();
        self.row(&started.now).await
    }

    /// The row as it is now.
    pub async fn row(&self, v: &Volume) -> Volume {
        let key = volumes::Key::Id(v.id);
        volumes::get(&self.ports, &self.actor, &key).await.unwrap().volume
    }

    /// What a transport's client from this address gets.
    pub async fn connect(&self, name: &str, address: &str) -> Result<Session, Refusal> {
        let (answer, got) = oneshot::channel();
        let peer = Peer { transport: "nbd", address: Address::Ip(address.parse().unwrap()), tls_name: None };
        let claim = Claim { name: name.to_string(), peer };
        self.exports.admit(
            claim,
            Box::new(move |r| {
                let _ = answer.send(r);
            }),
        );
        got.await.unwrap()
    }
}

/// A name in the native space.
pub fn native(name: &str) -> Naming {
    Naming::unique(name, Space::global(Api::Native))
}
