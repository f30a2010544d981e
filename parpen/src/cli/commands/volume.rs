//! `parpen volume ...`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Subcommand;
use parpen_base::format_size;
use parpen_native::doc::{
    CeilingDoc, LimitsWish, RollbackWish, SnapshotDoc, SnapshotWish, VolumeChange, VolumeDoc, VolumeWish,
};

use super::super::client::{Client, segment};
use super::super::progress::{self, Counted};
use super::super::size::{size, volume_size};
use super::super::{Common, print, target};
use super::lineage;

/// Bytes that are looked at together for zeros, so that exported files stay sparse.
const GRAIN: usize = 64 * 1024;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Volume {
    /// Make a volume
    Create {
        /// Its name
        name: String,
        /// Its size, as people write it: 2GiB, 2G (the same), 500MB
        #[arg(long, value_parser = volume_size)]
        size: u64,
        /// Its pool [default: local]
        #[arg(long)]
        pool: Option<String>,
        /// Copies on different disks, 1 to 3 [default: 1]
        #[arg(long)]
        replication: Option<u8>,
        /// The placement group of all copies but the last [default: every disk]
        #[arg(long, value_name = "GROUP")]
        place: Option<String>,
        /// The placement group of the last copy, which is read [default: that of the others]
        #[arg(long, value_name = "GROUP")]
        place_tail: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// List the volumes
    List {
        /// Only those of this pool
        #[arg(long)]
        pool: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Show a volume: its names on every side, who holds it, where NBD clients find it
    Show {
        /// Its handle or id
        volume: String,
        #[command(flatten)]
        common: Common,
    },
    /// Change a volume's size
    Resize {
        /// Its handle or id
        volume: String,
        /// The new size
        #[arg(value_parser = volume_size)]
        size: u64,
        /// It may become smaller: what lies beyond is lost
        #[arg(long)]
        shrink: bool,
        /// Cut whoever has it open, when it becomes smaller
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Change a volume's name and handle
    Rename {
        /// Its handle or id
        volume: String,
        /// The new name
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Bound a volume's I/O, also for those who have it open
    Limit {
        /// Its handle or id
        volume: String,
        /// Requests per second, or `unlimited`
        #[arg(long, value_parser = requests, required_unless_present = "bandwidth")]
        iops: Option<CeilingDoc>,
        /// Bytes per second (10MiB), or `unlimited`
        #[arg(long, value_parser = bandwidth)]
        bandwidth: Option<CeilingDoc>,
        #[command(flatten)]
        common: Common,
    },
    /// Take a snapshot
    Snapshot {
        /// The volume's handle or id
        volume: String,
        /// The snapshot's name
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Make a volume from a volume or a snapshot
    Clone {
        /// A volume's handle or id, or `<volume>@<snapshot>`
        source: String,
        /// The new volume's name
        name: String,
        /// Its pool [default: the source's]
        #[arg(long)]
        pool: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Put a volume back to a snapshot
    Rollback {
        /// The volume's handle or id
        volume: String,
        /// The snapshot's name
        snapshot: String,
        /// Cut whoever has it open
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Cut a volume or snapshot off the snapshots that it comes from, while it is used
    Flatten {
        /// The volume's handle or id, or `<volume>@<snapshot>`
        volume: String,
        /// A snapshot that it comes from and goes on sharing with [default: none]
        #[arg(long, value_name = "SNAPSHOT")]
        onto: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Turn a volume into a snapshot of the same name, which nobody can write
    Freeze {
        /// Its handle or id
        volume: String,
        /// Cut whoever has it open
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Say which bytes differ from an older state, or (without one) which are allocated
    Diff {
        /// The volume's handle or id, or `<volume>@<snapshot>`
        volume: String,
        /// The older state: one of its snapshots, or any volume or snapshot of the same pool
        #[arg(long)]
        from: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Store a file's bytes in a volume
    Import {
        /// The volume's handle or id
        volume: String,
        /// The file
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Write a volume's or snapshot's bytes to a file
    Export {
        /// The volume's handle or id, or `<volume>@<snapshot>`
        volume: String,
        /// The file; zeros become holes
        file: PathBuf,
        /// Write over what is there
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Delete a volume
    Delete {
        /// Its handle or id
        volume: String,
        /// Its snapshots too
        #[arg(long)]
        snapshots: bool,
        /// Cut whoever has it open or attached
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        common: Common,
    },
}

fn ceiling(text: &str, number: impl Fn(&str) -> Result<u64, String>) -> Result<CeilingDoc, String> {
    match text {
        "unlimited" => Ok(CeilingDoc::Word(text.into())),
        _ => number(text).map(CeilingDoc::At),
    }
}

fn requests(text: &str) -> Result<CeilingDoc, String> {
    ceiling(text, |t| t.parse().map_err(|_| "it is a number or `unlimited`".into()))
}

fn bandwidth(text: &str) -> Result<CeilingDoc, String> {
    ceiling(text, size)
}

fn path(volume: &str) -> String {
    format!("/volumes/{}", segment(volume))
}

impl Volume {
    pub(in crate::cli) fn run(self) -> anyhow::Result<()> {
        match self {
            Volume::Create { name, size, pool, replication, place, place_tail, common } => {
                let size = Some(size);
                let wish = VolumeWish { name, size, pool, source: None, replication, place, place_tail };
                let v: VolumeDoc = Client::of(&common)?.post("/volumes", &wish)?;
                print::one(&common, &v)
            }
            Volume::List { pool, common } => {
                let query = pool.map(|p| format!("?pool={}", segment(&p))).unwrap_or_default();
                let all: Vec<VolumeDoc> = Client::of(&common)?.get(&format!("/volumes{query}"))?;
                print::list(&common, &all)
            }
            Volume::Show { volume, common } => {
                let v: VolumeDoc = Client::of(&common)?.get(&path(&volume))?;
                print::one(&common, &v)
            }
            Volume::Resize { volume, size, shrink, force, common } => {
                let change = VolumeChange { size: Some(size), shrink, force, ..VolumeChange::default() };
                let v: VolumeDoc = Client::of(&common)?.patch(&path(&volume), &change)?;
                print::one(&common, &v)
            }
            Volume::Rename { volume, name, common } => {
                let change = VolumeChange { name: Some(name), ..VolumeChange::default() };
                let v: VolumeDoc = Client::of(&common)?.patch(&path(&volume), &change)?;
                print::one(&common, &v)
            }
            Volume::Limit { volume, iops, bandwidth, common } => {
                let limits = LimitsWish { bytes_per_second: bandwidth, requests_per_second: iops };
                let change = VolumeChange { limits, ..VolumeChange::default() };
                let v: VolumeDoc = Client::of(&common)?.patch(&path(&volume), &change)?;
                print::one(&common, &v)
            }
            Volume::Snapshot { volume, name, common } => {
                let wish = SnapshotWish { name };
                let s: SnapshotDoc =
                    Client::of(&common)?.post(&format!("{}/snapshots", path(&volume)), &wish)?;
                print::one(&common, &s)
            }
            Volume::Clone { source, name, pool, common } => {
                let wish = VolumeWish { name, pool, source: Some(source), ..VolumeWish::default() };
                let client = Client::of(&common)?;
                let turning = progress::spinner("cloning");
                let v: anyhow::Result<VolumeDoc> = client.post("/volumes", &wish);
                turning.finish_and_clear();
                print::one(&common, &v?)
            }
            Volume::Rollback { volume, snapshot, force, common } => {
                let wish = RollbackWish { snapshot, force };
                let v: VolumeDoc =
                    Client::of(&common)?.post(&format!("{}/rollback", path(&volume)), &wish)?;
                print::one(&common, &v)
            }
            Volume::Flatten { volume, onto, common } => lineage::flatten(&common, &volume, onto),
            Volume::Freeze { volume, force, common } => lineage::freeze(&common, &volume, force),
            Volume::Diff { volume, from, common } => lineage::diff(&common, &volume, from.as_deref()),
            Volume::Import { volume, file, common } => import(&Client::of(&common)?, &volume, &file),
            Volume::Export { volume, file, force, common } => {
                export(&Client::of(&common)?, &volume, &file, force)
            }
            Volume::Delete { volume, snapshots, force, common } => {
                Client::of(&common)?.delete(&format!("{}?snapshots={snapshots}&force={force}", path(&volume)))
            }
        }
    }
}

fn import(client: &Client, volume: &str, file: &PathBuf) -> anyhow::Result<()> {
    let mut from = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    // A block device has no length of its own, but an end.
    let length = from.seek(SeekFrom::End(0))?;
    from.rewind()?;
    if from.metadata()?.is_dir() {
        bail!("{} is a directory", file.display());
    }
    let v: VolumeDoc = client.get(&path(volume))?;
    if length > v.size {
        let (has, holds) = (format_size(length), format_size(v.size));
        bail!("{} has {has} and the volume {holds}: resize it first", file.display());
    }
    let bar = progress::bar("importing", length);
    let sent =
        client.put_stream(&format!("{}/data", path(volume)), length, Counted { from, bar: bar.clone() });
    bar.finish_and_clear();
    sent
}

fn export(client: &Client, volume: &str, file: &Path, force: bool) -> anyhow::Result<()> {
    let kind = if volume.contains('@') { "snapshots" } else { "volumes" };
    let (length, from) = client.get_stream(&format!("/{kind}/{}/data", segment(volume)))?;
    let mut to = target::create(file, force)?;
    // Holes are zeros in a new file only; a device keeps what it had.
    let sparse = to.metadata()?.is_file();
    let bar = progress::bar("exporting", length);
    let mut from = Counted { from, bar: bar.clone() };
    let (mut at, mut piece) = (0, vec![0; GRAIN]);
    while at < length {
        let n = (length - at).min(GRAIN as u64) as usize;
        if let Err(e) = from.read_exact(&mut piece[..n]) {
            bail!("the bytes broke off at {at} of {length} ({e}): {} is not whole", file.display());
        }
        if sparse && piece[..n].iter().all(|b| *b == 0) {
            to.seek(SeekFrom::Current(n as i64))?;
        } else {
            to.write_all(&piece[..n])?;
        }
        at += n as u64;
    }
    if sparse {
        to.set_len(length)?;
        to.sync_all()?;
    }
    to.flush()?;
    bar.finish_and_clear();
    Ok(())
}
