//! What this API must be told about the house it stands in.

use std::path::PathBuf;

use parpen_http::HttpRequest;

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
