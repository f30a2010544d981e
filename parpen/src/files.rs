//! Files of the data directory that people and tools read: secrets and where the server runs.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use parpen_identity::Secrets;
use serde::{Deserialize, Serialize};

/// Where a running server is; removed when it ends in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunFile {
    /// The server's process.
    pub pid: u32,
    /// The HTTP address.
    pub http: String,
    /// The NBD address.
    pub nbd: String,
    /// NBD's unix socket, if it could be made.
    pub nbd_socket: Option<PathBuf>,
    /// The LXD side's unix socket, if it could be made.
    pub lxd_socket: Option<PathBuf>,
    /// The program's version.
    pub version: String,
    /// Where users of the OpenStack side log in, if it is not here.
    #[serde(default)]
    pub identity: Option<String>,
}

/// Writes a file that only its owner can read, whole or not at all, durably.
pub fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut f = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
    f.write_all(text.as_bytes())?;
    f.sync_all()?;
    std::fs::rename(&new, path)?;
    match path.parent() {
        Some(dir) => std::fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

fn run_path(data: &Path) -> PathBuf {
    data.join("run.json")
}

impl RunFile {
    /// Says where the server is.
    pub fn write(&self, data: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        write_private(&run_path(data), &text)
            .with_context(|| format!("cannot write {}", run_path(data).display()))
    }

    /// Nothing runs here any more.
    pub fn remove(data: &Path) {
        if let Err(e) = std::fs::remove_file(run_path(data)) {
            tracing::warn!(error = %e, "run.json could not be removed");
        }
    }

    /// Where the server of a data directory is; in words when nothing runs there.
    pub fn read(data: &Path) -> anyhow::Result<RunFile> {
        let none = || {
            format!(
                "no parpen runs on {}: start one with `parpen serve --data-dir {0}`, or name another data directory",
                data.display()
            )
        };
        let text = match std::fs::read_to_string(run_path(data)) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => bail!("{}", none()),
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", run_path(data).display())),
        };
        let run: RunFile = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged", run_path(data).display()))?;
        if !Path::new(&format!("/proc/{}", run.pid)).exists() {
            bail!("{} (the one of run.json, process {}, has ended)", none(), run.pid);
        }
        Ok(run)
    }
}

fn secrets_path(data: &Path) -> PathBuf {
    data.join("credentials.json")
}

/// Keeps the secrets of the first principal, for its owner's eyes only.
pub fn write_secrets(data: &Path, secrets: &Secrets) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(secrets)?;
    let path = secrets_path(data);
    write_private(&path, &text).with_context(|| format!("cannot write {}", path.display()))
}

/// The secrets that an earlier start kept, if it did.
pub fn kept_secrets(data: &Path) -> anyhow::Result<Option<Secrets>> {
    if secrets_path(data).exists() { read_secrets(data).map(Some) } else { Ok(None) }
}

/// The secrets of the first principal.
pub fn read_secrets(data: &Path) -> anyhow::Result<Secrets> {
    let path = secrets_path(data);
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("cannot read {}: is this the right data directory, and are you its owner?", path.display())
    })?;
    serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
}
