//! Pools, volumes, snapshots, hosts: each command is one call of the native API.

mod lineage;
mod volume;

use clap::{Subcommand, ValueEnum};
use parpen_native::doc::{HostDoc, JoinWish, PoolChange, PoolDoc, PoolWish, SnapshotDoc, StatusDoc};

pub(super) use volume::Volume;

use super::client::{Client, segment};
use super::{Common, print};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Driver {
    /// The engine on a file or block device
    Local,
    /// The engine on memory; empty again after a restart
    Memory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Switch {
    On,
    Off,
}

impl Switch {
    fn is_on(self) -> bool {
        self == Switch::On
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Pool {
    /// Make a pool
    Create {
        /// Its name
        name: String,
        /// What keeps the bytes
        #[arg(long, value_enum)]
        driver: Driver,
        /// A file or block device, once for each disk; a relative path begins at the data directory [default: a
        /// file there]
        #[arg(long = "path", value_name = "PATH")]
        disks: Vec<String>,
        /// How far it may grow [default: 90 % of what the file system has free]
        #[arg(long, value_parser = super::size::size)]
        capacity: Option<u64>,
        /// Replicas of its volumes that ask for no number, 1 to 3 [default: 1]
        #[arg(long)]
        replication: Option<u8>,
        /// In words
        #[arg(long, default_value = "")]
        description: String,
        #[command(flatten)]
        common: Common,
    },
    /// List the pools
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Show a pool
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Change what is said of a pool, and what its next volumes get
    Edit {
        /// Its name
        name: String,
        /// Replicas of volumes that ask for no number, 1 to 3; those that are there keep theirs
        #[arg(long)]
        replication: Option<u8>,
        /// In words
        #[arg(long)]
        description: Option<String>,
        /// Whether data moves between its disks where it has to; "off" also holds what an eject or a balance moves
        #[arg(long, value_enum, value_name = "ON|OFF")]
        relocate: Option<Switch>,
        /// Whether it is balanced by itself: now, with each new disk, and when disks drift apart
        #[arg(long, value_enum, value_name = "ON|OFF")]
        auto_balance: Option<Switch>,
        #[command(flatten)]
        common: Common,
    },
    /// Fill the disks of a pool evenly: what that would do, or do it
    Balance {
        /// The pool's name
        name: String,
        /// Do it, in the background
        #[arg(long, conflicts_with = "stop")]
        commit: bool,
        /// Stop; what has moved stays
        #[arg(long)]
        stop: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Rebuild a stopped server's database from the disks: what they hold and it does not know gets its rows back
    RebuildMetadata {
        /// Also without disks that a pool is to have. Which disks are the newest is not known: if a missing one is, what
        /// was written since is lost when it is added later
        #[arg(long)]
        despite_missing: bool,
        /// A disk outside the data directory; may be said several times
        #[arg(long = "disk", value_name = "PATH")]
        disks: Vec<std::path::PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Delete an empty pool
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        common: Common,
    },
}

impl Pool {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Pool::Create { name, driver, disks, capacity, replication, description, common } => {
                let driver = match driver {
                    Driver::Local => "local",
                    Driver::Memory => "memory",
                };
                let wish =
                    PoolWish { name, driver: driver.into(), disks, capacity, replication, description };
                let pool: PoolDoc = Client::of(&common)?.post("/pools", &wish)?;
                print::one(&common, &pool)
            }
            Pool::Edit { name, replication, description, relocate, auto_balance, common } => {
                let (relocate, auto_balance) = (relocate.map(Switch::is_on), auto_balance.map(Switch::is_on));
                let change = PoolChange { replication, description, relocate, auto_balance };
                let path = format!("/pools/{}", segment(&name));
                let pool: PoolDoc = Client::of(&common)?.patch(&path, &change)?;
                print::one(&common, &pool)
            }
            Pool::List { common } => {
                let all: Vec<PoolDoc> = Client::of(&common)?.get("/pools")?;
                print::pools(&common, &all)
            }
            Pool::Show { name, common } => {
                let pool: PoolDoc = Client::of(&common)?.get(&format!("/pools/{}", segment(&name)))?;
                print::one(&common, &pool)?;
                print::alarms(&common, &pool.alarms)
            }
            Pool::Balance { name, commit, stop, common } => {
                super::disk::balance(&common, &name, commit, stop)
            }
            Pool::RebuildMetadata { despite_missing, disks, common } => {
                let data = crate::config::data_dir(common.data_dir.as_deref())?;
                let rebuilt = crate::drivers::rebuild::run(&data, &disks, despite_missing)?;
                print::rebuilt(&common, &rebuilt)
            }
            Pool::Delete { name, common } => {
                Client::of(&common)?.delete(&format!("/pools/{}", segment(&name)))
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Snapshot {
    /// List snapshots
    List {
        /// Only those of this volume
        volume: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Show a snapshot
    Show {
        /// `<volume>@<name>`, or its id
        snapshot: String,
        #[command(flatten)]
        common: Common,
    },
    /// Delete a snapshot
    Delete {
        /// `<volume>@<name>`, or its id
        snapshot: String,
        /// Cut whoever has it open
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        common: Common,
    },
}

impl Snapshot {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Snapshot::List { volume, common } => {
                let query = volume.map(|v| format!("?volume={}", segment(&v))).unwrap_or_default();
                let all: Vec<SnapshotDoc> = Client::of(&common)?.get(&format!("/snapshots{query}"))?;
                print::list(&common, &all)
            }
            Snapshot::Show { snapshot, common } => {
                let s: SnapshotDoc =
                    Client::of(&common)?.get(&format!("/snapshots/{}", segment(&snapshot)))?;
                print::one(&common, &s)
            }
            Snapshot::Delete { snapshot, force, common } => {
                Client::of(&common)?.delete(&format!("/snapshots/{}?force={force}", segment(&snapshot)))
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Host {
    /// List the hosts and all their spellings
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Say that two spellings are one host
    Join {
        /// A spelling of the host that stays
        host: String,
        /// The spelling that becomes one of its
        other: String,
        #[command(flatten)]
        common: Common,
    },
}

impl Host {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Host::List { common } => {
                let all: Vec<HostDoc> = Client::of(&common)?.get("/hosts")?;
                print::list(&common, &all)
            }
            Host::Join { host, other, common } => {
                let joined: HostDoc = Client::of(&common)?.post("/hosts/join", &JoinWish { host, other })?;
                print::one(&common, &joined)
            }
        }
    }
}

/// The service at a glance.
pub(super) fn status(common: &Common) -> anyhow::Result<()> {
    let s: StatusDoc = Client::of(common)?.get("/status")?;
    print::status(common, &s)
}
