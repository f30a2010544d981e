//! Who may open what. One pure function, [`decide`], is asked by the gate, by every handshake and by the
//! attach use case.

use std::net::IpAddr;

use uuid::Uuid;

use crate::Session;

/// Something a transport can be asked for: an attachment's own export, or the plain export of a volume or
/// snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExportId(pub Uuid);

/// One who attaches or locks. Two spellings are equal only if one host record joins them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub Uuid);

/// What a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Reads only.
    ReadOnly,
    /// Reads and writes.
    ReadWrite,
}

/// Where a peer calls from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// A socket or a mount on this machine; counts as 127.0.0.1 in address rules.
    Local,
    /// An address.
    Ip(IpAddr),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Local => f.write_str("127.0.0.1"),
            Address::Ip(ip) => ip.to_canonical().fmt(f),
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The transport's name: `nbd`, or `copy` and the like for the house's own sessions.
    pub transport: &'static str,
    /// Where from.
    pub address: Address,
    /// The name in a verified certificate, if there is one.
    pub tls_name: Option<String>,
}

/// A peer asks for an export by name.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The name asked for, at most 4096 bytes (the transport's limit).
    pub name: String,
    /// Who asks.
    pub peer: Peer,
}

/// Whom an export lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admits {
    /// Whoever can reach it.
    Everyone,
    /// One host.
    Only(HostId),
    /// Nobody; says why, in words for the peer.
    Nobody(String),
}

/// The present rules of one export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTable {
    /// What those let in may do.
    pub rights: Rights,
    /// Who is let in.
    pub admits: Admits,
}

/// Which sessions of an export are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// All.
    Everyone,
    /// Those of one host.
    Host(HostId),
    /// All but those of one host.
    AllBut(HostId),
}

impl Whom {
    /// Whether a session of `host` is meant.
    pub fn means(&self, host: Option<HostId>) -> bool {
        match self {
            Whom::Everyone => true,
            Whom::Host(h) => host == Some(*h),
            Whom::AllBut(h) => host != Some(*h),
        }
    }
}

/// Why an export or a device is not given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such export (also said of exports that the peer may not know of).
    #[error("no export of that name")]
    Unknown,
    /// It exists and is closed to this peer; the text says why and what to do.
    #[error("{0}")]
    Forbidden(String),
    /// Its bytes are elsewhere or cannot be reached now.
    #[error("{0}")]
    Unavailable(String),
}

/// An open session, for people and for refusals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// The export.
    pub export: ExportId,
    /// The host, where one is known by that name or address.
    pub host: Option<HostId>,
    /// Who.
    pub peer: Peer,
    /// What it may do.
    pub rights: Rights,
}

/// May `host` open an export with these rules, and how?
pub fn decide(table: &AccessTable, host: Option<HostId>) -> Result<Rights, Refusal> {
    match &table.admits {
        Admits::Everyone => Ok(table.rights),
        Admits::Only(h) if host == Some(*h) => Ok(table.rights),
        Admits::Only(_) => {
            Err(Refusal::Forbidden("held by another host; detach or unlock it there first".into()))
        }
        Admits::Nobody(why) => Err(Refusal::Forbidden(why.clone())),
    }
}

/// What a transport asks of the house. Implemented in core/service; answers come from another thread.
pub trait Exports: Send + Sync {
    /// Decides on a claim; the answer is called exactly once, on any thread.
    fn admit(&self, claim: Claim, answer: Box<dyn FnOnce(Result<Session, Refusal>) + Send>);
    /// The names of the plain exports that this peer may see.
    fn visible(&self, peer: Peer, answer: Box<dyn FnOnce(Vec<String>) + Send>);
}
