//! `parpen disk ...`, `parpen task ...`: media, and what they do in the background.

use std::io::IsTerminal;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use parpen_base::format_size;
use parpen_native::doc::{BalanceDoc, DiskChange, DiskDoc, DiskWish, TaskDoc};

use super::client::{Client, segment};
use super::print::{self, Tabular, about};
use super::{Common, Output};

/// Between two looks at the tasks.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Medium {
    Hdd,
    Ssd,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ScrubVerb {
    Start,
    Pause,
    Continue,
    Stop,
}

#[derive(Debug, Subcommand)]
pub(super) enum Disk {
    /// Give a pool one more disk
    Add {
        /// The file or block device; a relative path begins at the data directory [default: a file there]
        path: Option<String>,
        /// The pool [default: local]
        #[arg(long)]
        pool: Option<String>,
        /// How large a file may grow [default: 90 % of what the file system has free]
        #[arg(long, value_parser = super::size::size)]
        capacity: Option<u64>,
        /// With or without moving parts [default: what the system says]
        #[arg(long, value_enum)]
        medium: Option<Medium>,
        /// In words
        #[arg(long, default_value = "")]
        description: String,
        #[command(flatten)]
        common: Common,
    },
    /// List the disks
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Show a disk
    Show {
        /// Its number
        disk: u16,
        #[command(flatten)]
        common: Common,
    },
    /// Say something else of a disk
    Describe {
        /// Its number
        disk: u16,
        /// In words
        text: String,
        #[command(flatten)]
        common: Common,
    },
    /// Move a disk's data to others while it is used; `parpen task list --watch` shows how far it is
    SoftEject {
        /// Its number
        disk: u16,
        /// Wait
        #[arg(long, conflicts_with = "cancel")]
        pause: bool,
        /// Give it up; what has moved stays where it is
        #[arg(long)]
        cancel: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Stop using a disk now, whatever it holds; what has no other replica cannot be reached until it returns
    Eject {
        /// Its number
        disk: u16,
        #[command(flatten)]
        common: Common,
    },
    /// Take a disk again that was ejected, failed or away; what it lacks is brought to it
    Return {
        /// Its number
        disk: u16,
        #[command(flatten)]
        common: Common,
    },
    /// Leave a disk that cannot be reached out of what is counted and warned of, until it has come back whole
    Ignore {
        /// Its number
        disk: u16,
        /// Count it again
        #[arg(long)]
        undo: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Say that a disk never comes back; refused while it may hold the only good copy of anything
    Forget {
        /// Its number
        disk: u16,
        /// What only this disk has is lost, and that is accepted
        #[arg(long)]
        lose_data: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Read every stored byte of a disk, verify it, repair what a replica still has right
    Scrub {
        /// Its number
        disk: u16,
        /// What to do
        #[arg(value_enum, default_value_t = ScrubVerb::Start)]
        verb: ScrubVerb,
        #[command(flatten)]
        common: Common,
    },
}

fn act(common: &Common, disk: u16, verb: &str) -> anyhow::Result<()> {
    let doc: DiskDoc = Client::of(common)?.post(&format!("/disks/{disk}/{verb}"), &serde_json::json!({}))?;
    shown(common, &doc)
}

/// A disk and what to look at.
fn shown(common: &Common, doc: &DiskDoc) -> anyhow::Result<()> {
    print::one(common, doc)?;
    print::alarms(common, &doc.alarms)
}

impl Disk {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Disk::Add { path, pool, capacity, medium, description, common } => {
                let medium = medium.map(|m| if matches!(m, Medium::Ssd) { "ssd" } else { "hdd" }.to_string());
                let wish = DiskWish { pool, path, capacity, medium, description };
                let doc: DiskDoc = Client::of(&common)?.post("/disks", &wish)?;
                print::one(&common, &doc)
            }
            Disk::List { common } => {
                let all: Vec<DiskDoc> = Client::of(&common)?.get("/disks")?;
                print::list(&common, &all)?;
                print::alarms(&common, all.iter().flat_map(|d| &d.alarms))
            }
            Disk::Show { disk, common } => {
                let doc: DiskDoc = Client::of(&common)?.get(&format!("/disks/{disk}"))?;
                shown(&common, &doc)
            }
            Disk::Describe { disk, text, common } => {
                let change = DiskChange { description: text };
                let doc: DiskDoc = Client::of(&common)?.patch(&format!("/disks/{disk}"), &change)?;
                print::one(&common, &doc)
            }
            Disk::SoftEject { disk, pause, cancel, common } => {
                let verb = match (pause, cancel) {
                    (true, _) => "pause-eject",
                    (_, true) => "cancel-eject",
                    _ => "soft-eject",
                };
                act(&common, disk, verb)
            }
            Disk::Eject { disk, common } => act(&common, disk, "eject"),
            Disk::Return { disk, common } => act(&common, disk, "return"),
            Disk::Ignore { disk, undo, common } => {
                act(&common, disk, if undo { "undo-ignore" } else { "ignore" })
            }
            Disk::Forget { disk, lose_data, common } => {
                let verb = if lose_data { "abandon" } else { "forget" };
                Client::of(&common)?.post_quietly(&format!("/disks/{disk}/{verb}"), &serde_json::json!({}))
            }
            Disk::Scrub { disk, verb, common } => {
                let verb = match verb {
                    ScrubVerb::Start => "scrub",
                    ScrubVerb::Pause => "pause-scrub",
                    ScrubVerb::Continue => "continue-scrub",
                    ScrubVerb::Stop => "stop-scrub",
                };
                act(&common, disk, verb)
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// List what disks do in the background
    List {
        /// Look again every second until nothing is left to do
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        common: Common,
    },
}

impl Task {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Task::List { watch, common } = self;
        let client = Client::of(&common)?;
        loop {
            let all: Vec<TaskDoc> = client.get("/tasks")?;
            if watch && common.output == Output::Table && std::io::stdout().is_terminal() {
                // Back to the top of a cleared screen.
                print::say("\x1b[2J\x1b[H")?;
            }
            print::list(&common, &all)?;
            if !watch || all.is_empty() {
                return Ok(());
            }
            super::progress::pause(LOOK);
        }
    }
}

/// What balancing a pool would do; then that it begins or ends.
pub(super) fn balance(common: &Common, pool: &str, commit: bool, stop: bool) -> anyhow::Result<()> {
    let client = Client::of(common)?;
    let path = format!("/pools/{}/balance", segment(pool));
    let doc: BalanceDoc = match (commit, stop) {
        (true, _) => client.post(&path, &serde_json::json!({}))?,
        (_, true) => {
            client.delete(&path)?;
            client.get(&path)?
        }
        _ => client.get(&path)?,
    };
    if common.output == Output::Json {
        return print::one(common, &doc);
    }
    let row = |d: &parpen_native::doc::FillDoc| vec![d.disk.to_string(), about(d.used), about(d.after)];
    print::say(print::table(vec!["disk", "used", "after"], doc.disks.iter().map(row).collect()))?;
    let state = if doc.running { "is being carried out" } else { "is a plan; --commit carries it out" };
    print::say(format_args!("{} objects, {}: {state}", doc.moves, format_size(doc.bytes)))
}

impl Tabular for DiskDoc {
    fn head() -> Vec<&'static str> {
        vec![
            "disk",
            "pool",
            "state",
            "medium",
            "size",
            "used",
            "objects",
            "scrub",
            "bad",
            "path",
            "description",
        ]
    }
    fn row(&self) -> Vec<String> {
        let state = match &self.fault {
            Some(fault) => format!("{}: {fault}", self.state),
            None => self.state.clone(),
        };
        let state = if self.ignored { format!("{state} (ignored)") } else { state };
        let bad = match self.bad_blocks {
            0 => "0".into(),
            n => format!("{n}, {} repaired", self.repaired_blocks),
        };
        vec![
            self.disk.to_string(),
            self.pool.clone(),
            state,
            self.medium.clone(),
            about(self.size),
            about(self.used),
            self.objects.to_string(),
            self.scrub.clone(),
            bad,
            self.path.clone(),
            self.description.clone(),
        ]
    }
}

impl Tabular for TaskDoc {
    fn head() -> Vec<&'static str> {
        vec!["disk", "why", "objects", "done", "under way", "moved", ""]
    }
    fn row(&self) -> Vec<String> {
        vec![
            self.disk.to_string(),
            self.class.clone(),
            self.objects.to_string(),
            self.done.to_string(),
            self.under_way.to_string(),
            about(self.bytes),
            if self.paused { "paused" } else { "" }.into(),
        ]
    }
}
