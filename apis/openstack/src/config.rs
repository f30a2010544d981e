//! What this API must be told about the house it stands in.

use std::collections::BTreeMap;
use std::path::PathBuf;

use parpen_http::HttpRequest;
use parpen_model::Condition;

/// Where NBD is served; it goes into connection information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nbd {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The unix socket, for clients on this machine.
    pub socket: Option<PathBuf>,
}

/// Settings of this API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Scheme, host and port under which clients reach this listener (`http://storage:7475`), where the Host header
    /// does not say it.
    pub public: Option<String>,
    /// The name of the region.
    pub region: String,
    /// Where NBD is served.
    pub nbd: Nbd,
    /// Where images are, if they are not kept here.
    pub images_at: Option<String>,
}

impl Config {
    /// The root of all addresses in answers to this request, without a slash at the end.
    pub(crate) fn base(&self, request: &HttpRequest) -> String {
        if let Some(public) = &self.public {
            return public.trim_end_matches('/').to_string();
        }
        let plain = |h: &&str| h.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-_[]".contains(&b));
        let host = request.header("host").filter(|h| !h.is_empty()).filter(plain).unwrap_or("localhost");
        format!("http://{host}")
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything that helps to find a fault.
    Debug,
    /// What happens.
    Info,
    /// What may become a fault.
    Warning,
    /// Faults.
    Error,
}

impl LogLevel {
    /// All of them.
    pub const ALL: [LogLevel; 4] = [LogLevel::Debug, LogLevel::Info, LogLevel::Warning, LogLevel::Error];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            LogLevel::Debug => "DEBUG",
            LogLevel::Info => "INFO",
            LogLevel::Warning => "WARNING",
            LogLevel::Error => "ERROR",
        }
    }
}

/// The filter of what is logged, while the service runs.
pub trait Logs: Send + Sync {
    /// Sets the level of all targets that begin with `prefix`; an empty one means all.
    fn set(&self, prefix: &str, level: LogLevel) -> Result<(), Condition>;
    /// The levels of the targets that begin with `prefix`.
    fn levels(&self, prefix: &str) -> BTreeMap<String, LogLevel>;
}
