//! One connection: the handshake over the socket, the questions to the house, the move to the device's home.

use std::future::poll_fn;
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parpen_base::Buf;
use parpen_block::{Claim, Exports, Home, Peer, Refusal, Session};
use parpen_ring::{Socket, current, spawn_local, timeout};

use crate::handshake::{Dialect, Handshake, Want};
use crate::oneshot::oneshot;
use crate::registry::Seat;
use crate::transmission::{self, Fault, offer};

/// Bytes received at once during the handshake.
const INPUT: usize = 4096;
/// A handshake may take so many times the patience for one thing; else one option now and then would hold a seat for
/// days.
const OPTIONS: u32 = 4;

/// A connection that was accepted and is on the list.
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    pub(crate) peer: Peer,
    pub(crate) exports: Arc<dyn Exports>,
    /// Its place on the server's list.
    pub(crate) seat: Seat,
    /// It is served where it was accepted, wherever its device lives.
    pub(crate) stays: bool,
}

/// An export that the handshake has opened.
struct Opened {
    session: Arc<Session>,
    dialect: Dialect,
    /// What the client has sent since.
    rest: Vec<u8>,
}

/// Serves a connection to its end. Its faults, and even a panic of its code, end this connection and nothing else.
pub(crate) async fn serve(connection: Connection) {
    let peer = connection.peer.address;
    let in_time = async {
        let handshake = timeout(connection.seat.patience() * OPTIONS, handshake(&connection)).await;
        handshake.unwrap_or(Err(Fault::Protocol("the client took too long to ask for an export")))
    };
    let handshake = unpanicked(in_time).await;
    match handshake {
        Ok(Some(opened)) => go_home(connection, opened).await,
        Ok(None) => tracing::debug!(%peer, "left without an export"),
        Err(fault) => tracing::info!(%peer, %fault, "an NBD handshake ended"),
    }
}

/// Goes on where the device lives, here or on another reactor, unless the connection stays.
async fn go_home(connection: Connection, opened: Opened) {
    let here = current().expect("connections are tasks of a reactor");
    match opened.session.home() {
        Some(home) if home.id() != here.id() && !connection.stays => home.run(Box::new(move || {
            if current().is_some() {
                spawn_local(transmit(connection, opened));
            } else {
                tracing::error!("a device lives on a thread that is no reactor; its client is sent away");
            }
        })),
        _ => transmit(connection, opened).await,
    }
}

async fn transmit(connection: Connection, opened: Opened) {
    let Connection { socket, peer, .. } = &connection;
    let share = connection.seat.share(socket);
    let run = transmission::run(&opened.session, socket, opened.dialect, share, &opened.rest);
    let end = unpanicked(run).await;
    // The session's hook may keep the socket open for as long as the device still works for it.
    let _ = socket.shutdown(Shutdown::Both);
    match end {
        Ok(()) => tracing::debug!(peer = %peer.address, "an NBD client has left"),
        Err(_) if opened.session.is_cut() => tracing::info!(peer = %peer.address, "an NBD client was cut"),
        Err(fault) => tracing::info!(peer = %peer.address, %fault, "an NBD connection ended"),
    }
}

/// Negotiates; none if the client leaves without an export.
async fn handshake(connection: &Connection) -> Result<Option<Opened>, Fault> {
    let Connection { socket, peer, exports, seat, .. } = connection;
    let patience = seat.patience();
    let mut machine = Handshake::new();
    let mut buf = Buf::zeroed(INPUT);
    loop {
        let want = machine.next();
        buf = send(socket, &mut machine.output, buf, patience).await?;
        match want {
            Want::Bytes => buf = feed(socket, &mut machine, buf, patience).await?,
            Want::Admission(name) => {
                let decision = admit(exports, peer, &name, patience).await;
                let told = decision.as_ref().map(offer).map_err(Refusal::clone);
                if !machine.answer(&told) {
                    continue; // and a session that was only looked at leaves
                }
                let Ok(session) = decision else { continue };
                let cut = socket.clone();
                // an error says that the client was faster
                session.on_cut(Box::new(move || drop(cut.shutdown(Shutdown::Both))));
                seat.opened(&name, session.info());
                send(socket, &mut machine.output, buf, patience).await?;
                let session = Arc::new(session);
                return Ok(Some(Opened { session, dialect: machine.dialect(), rest: machine.rest() }));
            }
            Want::Names => {
                let (give, take) = oneshot();
                exports.visible(peer.clone(), Box::new(|names| give.give(names)));
                let names = timeout(patience, take).await.flatten();
                machine.list(&names.ok_or(Fault::Protocol("the house did not answer"))?);
            }
            Want::Transmission => return Err(Fault::Protocol("the export was opened twice")),
            Want::End(why) => {
                tracing::debug!(peer = %peer.address, why, "an NBD handshake is over");
                return Ok(None);
            }
        }
    }
}

/// Asks the house for an export.
async fn admit(
    exports: &Arc<dyn Exports>,
    peer: &Peer,
    name: &str,
    patience: Duration,
) -> Result<Session, Refusal> {
    let (give, take) = oneshot();
    let claim = Claim { name: name.to_owned(), peer: peer.clone() };
    exports.admit(claim, Box::new(|answer| give.give(answer)));
    match timeout(patience, take).await {
        Some(Some(answer)) => answer,
        Some(None) => Err(Refusal::Unavailable("the service is about to stop".into())),
        None => Err(Refusal::Unavailable("the service did not answer in time; try again".into())),
    }
}

/// Sends what stands in `output` and empties it.
async fn send(socket: &Socket, output: &mut Vec<u8>, buf: Buf, patience: Duration) -> Result<Buf, Fault> {
    if output.is_empty() {
        return Ok(buf);
    }
    let mut buf = buf;
    buf.resize(output.len());
    buf.copy_from_slice(output);
    output.clear();
    let len = buf.len();
    match timeout(patience, socket.send(buf, 0..len)).await {
        Some((sent, mut buf)) => {
            sent?;
            buf.resize(INPUT);
            Ok(buf)
        }
        None => Err(Fault::Protocol("the client does not take its answers")),
    }
}

/// Receives until the machine has understood something. The time runs from option to option, not from byte to byte.
async fn feed(socket: &Socket, machine: &mut Handshake, buf: Buf, patience: Duration) -> Result<Buf, Fault> {
    let received = timeout(patience, async {
        let mut buf = buf;
        loop {
            let (n, back) = socket.recv(buf, 0..INPUT).await;
            buf = back;
            match n? {
                0 => return Err(Fault::Protocol("the client hung up")),
                n => machine.feed(&buf[..n]),
            }
            if machine.is_stirred() {
                return Ok(buf);
            }
        }
    });
    received.await.unwrap_or(Err(Fault::Protocol("the client was silent for too long")))
}

/// The future's value; a panic of it is a fault, so that the reactor and its other tasks live on.
async fn unpanicked<T>(future: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // After a panic the future is never polled again, so nothing sees its state.
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))).unwrap_or_else(|_| {
            tracing::error!("a bug: the code of an NBD connection panicked; the connection is closed");
            Poll::Ready(Err(Fault::Protocol("internal error")))
        })
    })
    .await
}
