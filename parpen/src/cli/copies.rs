//! `parpen backup ...` and `parpen image ...`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Subcommand, ValueEnum};
use parpen_base::format_size;
use parpen_native::doc::{
    BackupBegun, BackupDoc, BackupWish, ImageDoc, ImageVolumeWish, ImageWish, JobDoc, RestoreWish,
    VolumeBegun, VolumeDoc,
};
use uuid::Uuid;

use super::client::{Client, segment};
use super::print::Tabular;
use super::progress::{self, Counted};
use super::size::volume_size;
use super::{Common, print, target};

#[derive(Debug, Subcommand)]
pub(super) enum Backup {
    /// Back a volume or a snapshot up
    Create {
        /// A volume's handle or id, or `<volume>@<snapshot>`
        of: String,
        /// The backup's name
        #[arg(long, default_value = "")]
        name: String,
        /// Store only what differs from the newest backup of the volume
        #[arg(long)]
        incremental: bool,
        /// The set it belongs to [default: volumebackups]
        #[arg(long)]
        container: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// List the backups
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Show a backup
    Show {
        /// Its id or its name
        backup: String,
        #[command(flatten)]
        common: Common,
    },
    /// Put a backup's bytes into a new volume, or over those of an existing one
    Restore {
        /// Its id or its name
        backup: String,
        /// The name of a new volume
        #[arg(long, conflicts_with = "over", required_unless_present = "over")]
        name: Option<String>,
        /// The new volume's pool [default: local]
        #[arg(long, requires = "name")]
        pool: Option<String>,
        /// An existing volume, whose bytes are lost
        #[arg(long)]
        over: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Read all of a backup and check every byte
    Verify {
        /// Its id or its name
        backup: String,
        #[command(flatten)]
        common: Common,
    },
    /// Print a backup as a record that `import` takes over
    Export {
        /// Its id or its name
        backup: String,
        #[command(flatten)]
        common: Common,
    },
    /// Take a backup over from its record; its bytes must be in the store
    Import {
        /// The file that `export` printed
        record: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Delete a backup
    Delete {
        /// Its id or its name
        backup: String,
        /// Also one that others were compared with; they keep the bytes they need
        #[arg(long)]
        dependents: bool,
        #[command(flatten)]
        common: Common,
    },
}

fn backup_path(id: &str) -> String {
    format!("/backups/{}", segment(id))
}

/// Shows how far a job is until it is over; its failure is ours.
fn follow(client: &Client, what: &str, job: Uuid) -> anyhow::Result<()> {
    let bar = progress::bar(what, 0);
    loop {
        let job: JobDoc = client.get(&format!("/jobs/{job}"))?;
        if let Some((done, of)) = job.progress {
            bar.set_length(of);
            bar.set_position(done);
        }
        let reason = || job.error.clone().unwrap_or_else(|| "the job failed".into());
        match job.state.as_str() {
            "done" => break,
            "failed" => {
                bar.finish_and_clear();
                bail!("{}", reason());
            }
            "running" if job.error.is_some() => {
                bar.finish_and_clear();
                bail!("{}; the next start of the server goes on with it", reason());
            }
            _ => super::progress::pause(Duration::from_millis(100)),
        }
    }
    bar.finish_and_clear();
    Ok(())
}

impl Backup {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Backup::Create { of, name, incremental, container, common } => {
                let client = Client::of(&common)?;
                let wish = BackupWish { of, name, incremental, container };
                let begun: BackupBegun = client.post("/backups", &wish)?;
                follow(&client, "backing up", begun.job)?;
                print::one(&common, &client.get::<BackupDoc>(&backup_path(&begun.backup.id.to_string()))?)
            }
            Backup::List { common } => {
                let all: Vec<BackupDoc> = Client::of(&common)?.get("/backups")?;
                print::list(&common, &all)
            }
            Backup::Show { backup, common } => {
                print::one(&common, &Client::of(&common)?.get::<BackupDoc>(&backup_path(&backup))?)
            }
            Backup::Restore { backup, name, pool, over, common } => {
                let client = Client::of(&common)?;
                let wish = RestoreWish { over, name, pool };
                let begun: VolumeBegun = client.post(&format!("{}/restore", backup_path(&backup)), &wish)?;
                follow(&client, "restoring", begun.job)?;
                print::one(&common, &client.get::<VolumeDoc>(&format!("/volumes/{}", begun.volume.id))?)
            }
            Backup::Verify { backup, common } => {
                let client = Client::of(&common)?;
                let begun: BackupBegun = client.post(&format!("{}/verify", backup_path(&backup)), &())?;
                follow(&client, "verifying", begun.job)?;
                print::one(&common, &client.get::<BackupDoc>(&backup_path(&backup))?)
            }
            Backup::Export { backup, common } => {
                let path = format!("{}/record", backup_path(&backup));
                let record: serde_json::Value = Client::of(&common)?.get(&path)?;
                print::say(serde_json::to_string_pretty(&record)?)
            }
            Backup::Import { record, common } => {
                let text = std::fs::read_to_string(&record)
                    .with_context(|| format!("cannot read {}", record.display()))?;
                let record: serde_json::Value = serde_json::from_str(&text)
                    .with_context(|| format!("{} is no record", record.display()))?;
                print::one(&common, &Client::of(&common)?.post::<BackupDoc>("/backups/import", &record)?)
            }
            Backup::Delete { backup, dependents, common } => {
                Client::of(&common)?.delete(&format!("{}?dependents={dependents}", backup_path(&backup)))
            }
        }
    }
}

impl Tabular for BackupDoc {
    fn head() -> Vec<&'static str> {
        vec!["id", "name", "volume", "size", "stored", "state", "base", "data of"]
    }
    fn row(&self) -> Vec<String> {
        let base = self.base.map(|b| b.to_string()[..8].to_string()).unwrap_or_default();
        let (size, stored) = (format_size(self.size), print::about(self.stored));
        let ids = [self.id.to_string(), self.name.clone(), self.volume.clone()];
        ids.into_iter().chain([size, stored, self.state.clone(), base, print::when(&self.data)]).collect()
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    /// The disk's bytes as they are
    Raw,
    /// QEMU's format
    Qcow2,
}

impl Format {
    fn word(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Qcow2 => "qcow2",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Image {
    /// Make an image of a file, or of a volume
    Create {
        /// The image's name
        name: String,
        /// The file
        #[arg(long, conflicts_with = "volume", required_unless_present = "volume")]
        file: Option<PathBuf>,
        /// The volume's handle or id
        #[arg(long)]
        volume: Option<String>,
        /// How its bytes are laid out
        #[arg(long, value_enum, default_value_t = Format::Raw)]
        format: Format,
        #[command(flatten)]
        common: Common,
    },
    /// List the images
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Show an image
    Show {
        /// Its id or its name
        image: String,
        #[command(flatten)]
        common: Common,
    },
    /// Write an image's bytes to a file
    Save {
        /// Its id or its name
        image: String,
        /// The file
        file: PathBuf,
        /// Write over what is there
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Make a volume with the image's disk in it
    Volume {
        /// The image's id or its name
        image: String,
        /// The volume's name
        name: String,
        /// The volume's size [default: that of the image's disk]
        #[arg(long, value_parser = volume_size)]
        size: Option<u64>,
        /// The volume's pool [default: local]
        #[arg(long)]
        pool: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Delete an image
    Delete {
        /// Its id or its name
        image: String,
        #[command(flatten)]
        common: Common,
    },
}

fn image_path(id: &str) -> String {
    format!("/images/{}", segment(id))
}

impl Image {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Image::Create { name, file, volume, format, common } => {
                let client = Client::of(&common)?;
                let wish = ImageWish { name, format: format.word().into(), of: volume };
                let made = match file {
                    Some(file) => upload(&client, &wish, &file)?,
                    None => of_volume(&client, &wish)?,
                };
                print::one(&common, &made)
            }
            Image::List { common } => {
                let all: Vec<ImageDoc> = Client::of(&common)?.get("/images")?;
                print::list(&common, &all)
            }
            Image::Show { image, common } => {
                print::one(&common, &Client::of(&common)?.get::<ImageDoc>(&image_path(&image))?)
            }
            Image::Save { image, file, force, common } => save(&Client::of(&common)?, &image, &file, force),
            Image::Volume { image, name, size, pool, common } => {
                let client = Client::of(&common)?;
                let wish = ImageVolumeWish { name, size, pool };
                let begun: VolumeBegun = client.post(&format!("{}/volume", image_path(&image)), &wish)?;
                follow(&client, "filling", begun.job)?;
                print::one(&common, &client.get::<VolumeDoc>(&format!("/volumes/{}", begun.volume.id))?)
            }
            Image::Delete { image, common } => Client::of(&common)?.delete(&image_path(&image)),
        }
    }
}

fn upload(client: &Client, wish: &ImageWish, file: &Path) -> anyhow::Result<ImageDoc> {
    let mut from = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    let length = from.seek(SeekFrom::End(0))?;
    from.rewind()?;
    let made: ImageDoc = client.post("/images", wish)?;
    let path = image_path(&made.id.to_string());
    let bar = progress::bar("uploading", length);
    let sent = client.put_stream(&format!("{path}/data"), length, Counted { from, bar: bar.clone() });
    bar.finish_and_clear();
    if let Err(e) = sent {
        client.delete(&path).context("the image without bytes could not be deleted either")?;
        return Err(e);
    }
    client.get(&path)
}

/// The image's job is that of the volume; it is over when the image is whole or gone.
fn of_volume(client: &Client, wish: &ImageWish) -> anyhow::Result<ImageDoc> {
    let made: ImageDoc = client.post("/images", wish)?;
    let turning = progress::spinner("making an image");
    let outcome = loop {
        let now: anyhow::Result<ImageDoc> = client.get(&image_path(&made.id.to_string()));
        match now {
            Ok(i) if i.state == "saving" => super::progress::pause(Duration::from_millis(200)),
            other => {
                break other.context("the image could not be made; `parpen status` and the log say more");
            }
        }
    };
    turning.finish_and_clear();
    outcome
}

fn save(client: &Client, image: &str, file: &Path, force: bool) -> anyhow::Result<()> {
    let (length, from) = client.get_stream(&format!("{}/data", image_path(image)))?;
    let mut to = target::create(file, force)?;
    let bar = progress::bar("saving", length);
    let copied = std::io::copy(&mut Counted { from, bar: bar.clone() }.take(length), &mut to)?;
    bar.finish_and_clear();
    to.flush()?;
    if copied != length {
        bail!("the bytes broke off at {copied} of {length}: {} is not whole", file.display());
    }
    Ok(())
}

impl Tabular for ImageDoc {
    fn head() -> Vec<&'static str> {
        vec!["id", "name", "format", "size", "disk", "state", "visibility"]
    }
    fn row(&self) -> Vec<String> {
        let size = |n: Option<u64>| n.map(print::about).unwrap_or_default();
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        vec![
            self.id.to_string(),
            text(&self.name),
            text(&self.format),
            size(self.size),
            size(self.virtual_size),
            self.state.clone(),
            self.visibility.clone(),
        ]
    }
}
