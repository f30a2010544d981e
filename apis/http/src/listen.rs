//! Where clients come in: TCP addresses and unix sockets.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix socket file.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp(addr) => write!(f, "{addr}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Why an address cannot be listened on.
#[derive(Debug)]
pub enum BindError {
    /// Somebody listens there.
    InUse(Address),
    /// The path of a unix socket is longer than the system allows.
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// A file that is no socket stands at the path.
    NotASocket(PathBuf),
    /// Anything else.
    Other(Address, io::Error),
}

/// Longest path of a unix socket: `sun_path` has 108 bytes, one of them the terminating zero.
pub const UNIX_PATH_MAX: usize = 107;

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BindError::InUse(address) => write!(f, "{address} is in use by another process"),
            BindError::PathTooLong { path, length } => write!(
                f,
                "the path {} has {length} bytes, and a unix socket's path can have {UNIX_PATH_MAX}; \
                 choose a data directory with a shorter path",
                path.display()
            ),
            BindError::NotASocket(path) => {
                write!(f, "{} exists and is no socket; it was left alone", path.display())
            }
            BindError::Other(address, e) => write!(f, "cannot listen on {address}: {e}"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BindError::Other(_, e) => Some(e),
            BindError::InUse(_) | BindError::PathTooLong { .. } | BindError::NotASocket(_) => None,
        }
    }
}

/// A bound socket. Dropping one on a unix path removes its file.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: Socket,
    address: Address,
}

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Binds. Port 0 takes a free one; [`Listener::address`] says which. Must run inside the runtime.
    pub async fn bind(address: &Address) -> Result<Listener, BindError> {
        match address {
            Address::Tcp(addr) => {
                let socket = TcpListener::bind(addr).await.map_err(|e| refused(address, e))?;
                let bound = socket.local_addr().map_err(|e| refused(address, e))?;
                Ok(Listener { socket: Socket::Tcp(socket), address: Address::Tcp(bound) })
            }
            Address::Unix(path) => {
                clear(path)?;
                let other = |e| refused(address, e);
                let socket = UnixListener::bind(path).map_err(other)?;
                // Until here the file has the umask's rights, which give no stranger the right to write (connect).
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(other)?;
                Ok(Listener { socket: Socket::Unix(socket), address: address.clone() })
            }
        }
    }

    /// Where it really listens.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address
            && let Err(e) = std::fs::remove_file(path)
        {
            tracing::debug!("the socket file {} was gone already: {e}", path.display());
        }
    }
}

fn refused(address: &Address, e: io::Error) -> BindError {
    match e.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(address.clone()),
        _ => BindError::Other(address.clone(), e),
    }
}

/// Makes room at a path: the socket file of a server that is dead is removed, nothing else.
fn clear(path: &Path) -> Result<(), BindError> {
    let length = path.as_os_str().len();
    if length > UNIX_PATH_MAX {
        return Err(BindError::PathTooLong { path: path.into(), length });
    }
    let address = || Address::Unix(path.into());
    let file = match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(BindError::Other(address(), e)),
        Ok(file) => file,
    };
    if !file.file_type().is_socket() {
        return Err(BindError::NotASocket(path.into()));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(BindError::InUse(address())),
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|e| BindError::Other(address(), e))
        }
        Err(e) => Err(BindError::Other(address(), e)),
    }
}
