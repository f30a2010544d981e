//! One reactor per thread: tasks that need not be `Send`, timers, and I/O on owned buffers, by io_uring or, where
//! that is refused, by a thread-pool twin with the same behaviour. No tokio.
//!
//! [`Reactor::start`] makes the thread. Its [`Handle`] posts closures and futures to it from anywhere; whatever runs
//! on the thread uses the free functions ([`spawn_local`], [`sleep`], [`timeout`], [`current`]) and the methods of
//! [`File`], [`Socket`] and [`Listener`], which find the thread's own reactor and panic with a clear sentence on
//! any other thread.
//!
//! All that tasks start in one turn goes to the kernel in one call; a reactor with nothing to do sleeps in the kernel.
//! An operation owns its memory: dropping its future abandons the operation (one on a socket is also cancelled), and
//! its [`Buf`](parpen_base::Buf) is freed when the kernel has let go of it. What an abandoned write stored
//! is unknown. A panic in a task ends the reactor.
//!
//! ```
//! use parpen_base::Buf;
//! use parpen_ring::{Backend, File, Reactor};
//!
//! let reactor = Reactor::start("doc", Backend::Auto)?;
//! let file = File::new(tempfile::tempfile()?);
//! let text = reactor.block_on(move || async move {
//!     let (written, buf) = file.write_at(Buf::copy_of(b"a stone"), 0..7, 4096).await;
//!     written?;
//!     file.sync(true).await?;
//!     let (n, buf) = file.read_at(buf, 0..7, 4098).await;
//!     Ok::<_, std::io::Error>(buf[..n?].to_vec())
//! })??;
//! assert_eq!(text, b"stone");
//! reactor.shutdown();
//! reactor.join()?;
//! # Ok::<(), std::io::Error>(())
//! ```
#![allow(unsafe_code)] // in the module `uring` alone
#![deny(clippy::undocumented_unsafe_blocks)]

mod driver;
mod gather;
mod io;
mod local;
mod reactor;
mod shared;
mod table;
mod task;
mod threads;
mod timer;
mod uring;

pub use gather::Gather;
pub use io::{Allocate, File, Listener, Part, Socket};
pub use local::{current, spawn_local};
pub use reactor::{Backend, Handle, Reactor};
pub use timer::{Sleep, sleep, timeout};
