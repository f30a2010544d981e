//! Addresses and sockets, and the table that says where they are.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use parpen_http::{Address, BindError, Listener};
use parpen_nbd::Listen;
use parpen_ring::Backend;

use crate::config::Settings;
use crate::files::RunFile;

/// Every bound door.
pub struct Doors {
    /// All APIs.
    pub http: Listener,
    /// The LXD side's socket.
    pub lxd: Option<Listener>,
    /// NBD's listeners.
    pub nbd: Vec<Listen>,
    /// NBD's real TCP address.
    pub nbd_address: SocketAddr,
    /// Where they really are.
    pub run: RunFile,
    /// What could not be opened, in words.
    pub warnings: Vec<String>,
}

/// Binds everything. A busy port is a refusal; a socket whose path is too long is a warning.
pub async fn open(s: &Settings, data: &Path) -> anyhow::Result<Doors> {
    let mut warnings = Vec::new();
    let http = match Listener::bind(&Address::Tcp(s.listen)).await {
        Ok(l) => l,
        Err(e @ BindError::InUse(_)) => bail!("{e}: choose another port with --listen, or 0 for a free one"),
        Err(e) => return Err(e.into()),
    };
    let lxd_path = data.join("unix.socket");
    let lxd = match Listener::bind(&Address::Unix(lxd_path.clone())).await {
        Ok(l) => Some(l),
        Err(e @ BindError::PathTooLong { .. }) => {
            warnings.push(format!("no LXD socket: {e}"));
            None
        }
        Err(e) => return Err(e.into()),
    };
    let tcp = match TcpListener::bind(s.nbd) {
        Ok(l) => l,
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            bail!(
                "{} is in use by another process: choose another port with --nbd, or 0 for a free one",
                s.nbd
            )
        }
        Err(e) => return Err(e).with_context(|| format!("cannot listen on {} for NBD", s.nbd)),
    };
    let nbd_address = tcp.local_addr()?;
    let mut nbd = vec![Listen::Tcp(tcp)];
    let nbd_path = data.join("nbd.socket");
    let nbd_socket = match unix(&nbd_path) {
        Ok(l) => {
            nbd.push(Listen::Unix(l));
            Some(nbd_path)
        }
        Err(e) => {
            warnings.push(format!(
                "no NBD socket at {}: {e}; a data directory with a shorter path would have one",
                nbd_path.display()
            ));
            None
        }
    };
    let run = RunFile {
        pid: std::process::id(),
        http: http.address().to_string(),
        nbd: nbd_address.to_string(),
        nbd_socket,
        lxd_socket: lxd.as_ref().map(|_| lxd_path),
        version: env!("CARGO_PKG_VERSION").into(),
        identity: None,
    };
    Ok(Doors { http, lxd, nbd, nbd_address, run, warnings })
}

/// The lock on the data directory says that nobody else uses a socket that stands there.
fn unix(path: &PathBuf) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let l = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(l)
}

/// What a newcomer reads first.
pub fn table(s: &Settings, run: &RunFile, notes: &[String], backend: Backend, warnings: &[String]) -> String {
    let dir = s.data_dir.display();
    let lxd = run.lxd_socket.as_ref().map_or("none".to_string(), |p| p.display().to_string());
    let with = |name: &str| format!("eval \"$(parpen env {name} --data-dir '{dir}')\"");
    let openstack = match &run.identity {
        Some(at) => ("OpenStack", format!("http://{}/volume/v3", run.http), format!("log in at {at}")),
        None => ("OpenStack", format!("http://{}/identity/v3", run.http), with("openstack")),
    };
    let rows = [
        openstack,
        ("StorPool", format!("http://{}/ctrl/1.0", run.http), with("storpool")),
        ("LXD", lxd, with("lxd")),
        ("CERN", format!("http://{}/v3", run.http), with("cern")),
        ("rapyuta.io", format!("http://{}/disk", run.http), with("rapyuta")),
        ("NBD", format!("nbd://{}", run.nbd), with("nbd")),
    ];
    let mut out = format!("parpen {} runs on {dir} (reactor: {backend:?})\n\n", run.version);
    for (who, door, how) in rows {
        let how = if door == "none" { String::new() } else { how };
        out += &format!("  {who:<11} {door:<42} {how}\n");
    }
    if s.data_dir.metadata().is_ok_and(|m| m.permissions().mode() & 0o077 != 0) {
        out += "\n  note: the data directory is open to others than its owner; `chmod 700` it\n";
    }
    for note in notes.iter().chain(warnings) {
        out += &format!("\n  note: {note}\n");
    }
    out + "\n  Whoever can reach these loopback addresses can open the plain NBD exports.\n"
}
