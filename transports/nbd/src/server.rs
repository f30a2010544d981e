//! Listening and stopping.

use std::future::poll_fn;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use parpen_block::{Address, Exports, Peer};
use parpen_ring::{Handle, Listener, Socket, sleep, spawn_local};

use crate::connection::{Connection, serve};
use crate::oneshot::{Give, Take, oneshot};
use crate::registry::{ConnectionInfo, Limits, Registry};

/// After a failed accept, which is mostly a lack of descriptors, the next one waits so long.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes of replies that a unix socket is asked to take at once.
const SEND_ROOM: usize = 1 << 20;

/// Where clients come from.
#[derive(Debug)]
pub enum Listen {
    /// A bound TCP socket.
    Tcp(TcpListener),
    /// A bound unix socket. Removing its file is up to whoever bound it.
    Unix(UnixListener),
}

/// A running server. It goes on when this is dropped; [`Server::drain`] ends it.
pub struct Server {
    registry: Arc<Registry>,
    /// One per listener; dropped, it stops.
    stops: Mutex<Vec<Give<()>>>,
}

impl Server {
    /// Serves these listeners on the first of these reactors, of which there is at least one. With several, connections
    /// are served by all of them in turn; with one, each is served where its device lives. Who gets what is asked of
    /// `exports`.
    pub fn start(
        reactors: &[Handle],
        listeners: impl IntoIterator<Item = Listen>,
        exports: Arc<dyn Exports>,
        limits: Limits,
    ) -> Server {
        let registry = Registry::new(limits);
        let mut stops = Vec::new();
        for listen in listeners {
            let (give, stop) = oneshot();
            stops.push(give);
            let (registry, exports) = (registry.clone(), exports.clone());
            let (first, all): (_, Vec<Handle>) = (reactors.first(), reactors.to_vec());
            let first = first.expect("a server has a reactor");
            first.spawn(move || accept(listen, registry, exports, all, stop));
        }
        Server { registry, stops: Mutex::new(stops) }
    }

    /// Takes no new connections and closes the listeners; the open ones go on.
    pub fn stop_accepting(&self) {
        let stops = std::mem::take(&mut *self.stops.lock().unwrap_or_else(PoisonError::into_inner));
        drop(stops);
    }

    /// Takes no new connections, lets the open ones answer what they have received, and cuts those that are not done
    /// after `time`; says how many that were. Blocks until then: not for a reactor's thread.
    pub fn drain(&self, time: Duration) -> usize {
        self.stop_accepting();
        self.registry.drain(time)
    }

    /// The open connections, oldest first.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.registry.list()
    }

    /// How many connections are open.
    pub fn connection_count(&self) -> usize {
        self.registry.count()
    }
}

/// Accepts until told to stop.
async fn accept(
    listen: Listen,
    registry: Arc<Registry>,
    exports: Arc<dyn Exports>,
    reactors: Vec<Handle>,
    stop: Take<()>,
) {
    let mut turns = reactors.iter().cycle();
    let mut stop = pin!(stop);
    let (listener, tcp) = match listen {
        Listen::Tcp(socket) => (Listener::new(socket), true),
        Listen::Unix(socket) => (Listener::new(socket), false),
    };
    loop {
        let mut next = pin!(listener.accept());
        let accepted = poll_fn(|cx| match stop.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => next.as_mut().poll(cx).map(Some),
        });
        let Some(accepted) = accepted.await else { return };
        let fd = match accepted {
            Ok(fd) => fd,
            Err(error) => {
                tracing::warn!(%error, "no NBD connection can be accepted now");
                sleep(PAUSE).await;
                continue;
            }
        };
        match (welcome(fd, tcp, &registry, &exports), turns.next()) {
            (Ok(connection), Some(reactor)) if reactors.len() > 1 => {
                let connection = Connection { stays: true, ..connection };
                reactor.spawn(move || serve(connection));
            }
            (Ok(connection), _) => spawn_local(serve(connection)),
            (Err(error), _) => tracing::warn!(%error, "an NBD connection was not taken"),
        }
    }
}

/// Prepares a fresh socket and puts it on the list.
fn welcome(
    fd: OwnedFd,
    tcp: bool,
    registry: &Arc<Registry>,
    exports: &Arc<dyn Exports>,
) -> io::Result<Connection> {
    let (fd, address) = if tcp {
        let stream = TcpStream::from(fd);
        stream.set_nodelay(true)?;
        let address = Address::Ip(stream.peer_addr()?.ip());
        (OwnedFd::from(stream), address)
    } else {
        (fd, Address::Local)
    };
    let socket = Socket::new(fd)?;
    if tcp {
        socket.keep_alive()?;
    } else {
        socket.ask_for_room(SEND_ROOM)?;
    }
    let peer = Peer { transport: "nbd", address, tls_name: None };
    let seat = registry.seat(&peer, &socket).map_err(io::Error::other)?;
    Ok(Connection { socket, peer, exports: exports.clone(), seat, stays: false })
}
