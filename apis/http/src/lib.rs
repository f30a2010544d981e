//! HTTP for the APIs: listener, request line, the traits of an API and what they speak of.
//!
//! An API implements [`Api`] and is handed to a [`Server`] by [`serve`]. The request line is read here, before the HTTP
//! library sees it, so that targets with `#` or other raw bytes arrive whole; see [`framing`].
#![forbid(unsafe_code)]

mod api;
mod chunked;
pub mod framing;
mod head;
mod listen;
pub mod path;
mod reply;
mod request;
mod server;
mod wire;

pub use api::{Answer, Api, Service, serve};
pub use listen::{Address, BindError, Listener, UNIX_PATH_MAX};
pub use parpen_base::Boxed;
pub use reply::{Pieces, Reply, ReplyBody, Upgrade, UpgradedIo};
pub use request::{HttpRequest, Via, parse_json};
pub use server::{Metrics, Server};
pub use wire::Patience;
