//! Settings: the command line wins over `parpen.toml`, which wins over the defaults.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;

/// `parpen.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// Where state is kept.
    pub data_dir: Option<PathBuf>,
    /// The HTTP address.
    pub listen: Option<SocketAddr>,
    /// The NBD address.
    pub nbd: Option<SocketAddr>,
    /// What is logged.
    pub log: Option<String>,
    /// What concerns single APIs.
    pub apis: Apis,
    /// Where backups are kept.
    pub backups: Backups,
    /// Where images are kept.
    pub images: Images,
    /// Where the key of encrypted volumes' keys is.
    pub keys: Keys,
    /// What concerns the disks of local pools.
    pub engine: Engine,
    /// Who knows the users of the OpenStack side.
    pub identity: Identity,
}

/// `[engine]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// Memory for maps, for each disk, as people write it [default: 64MiB].
    pub map_cache: Option<String>,
    /// Threads that move data [default: 1 on up to 4 processors, else one for each 4, at most 8]. Pools live on them in
    /// turn; with several, NBD connections do, too, wherever their volumes live.
    pub reactors: Option<usize>,
}

/// The most threads that move data.
const REACTORS: usize = 64;

impl Engine {
    /// How many threads move data.
    pub fn reactors(&self) -> anyhow::Result<usize> {
        match self.reactors {
            Some(n @ 1..=REACTORS) => Ok(n),
            Some(n) => anyhow::bail!("engine.reactors: {n} is not within 1 to {REACTORS}"),
            None => {
                let processors = std::thread::available_parallelism().map_or(1, usize::from);
                Ok((processors / 4).clamp(1, 8))
            }
        }
    }

    /// Memory for the maps of each disk, in bytes.
    pub fn map_cache(&self) -> anyhow::Result<Option<usize>> {
        let parse = |text: &String| {
            let bytes =
                parpen_base::parse_size(text).map_err(|e| anyhow::anyhow!("engine.map_cache: {e}"))?;
            usize::try_from(bytes).context("engine.map_cache: more than this machine can address")
        };
        self.map_cache.as_ref().map(parse).transpose()
    }
}

/// `[identity]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// A Keystone, with `/v3` or without; else this service is one itself.
    pub url: Option<String>,
    /// A TOML file with this service's own account there; else `OS_*` of the environment are asked.
    pub credentials_file: Option<PathBuf>,
    /// Certificates that are believed instead of the system's, as PEM.
    pub ca_file: Option<PathBuf>,
    /// How long an answer about a token is believed [default: 30].
    pub cache_seconds: Option<u64>,
}

/// `[keys]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// The file, absolute or relative to the data directory; made at the first use [default: volume.keys].
    pub file: Option<PathBuf>,
}

/// `[images]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Images {
    /// The folder, absolute or relative to the data directory [default: images].
    pub path: Option<PathBuf>,
    /// A Glance instead of a folder, with `/v2` or without.
    pub url: Option<String>,
    /// The Keystone whose tokens that Glance takes [default: `identity.url`].
    pub identity_url: Option<String>,
    /// A TOML file with this service's own account there [default: `identity.credentials_file`].
    pub credentials_file: Option<PathBuf>,
    /// Certificates that are believed instead of the system's, as PEM [default: `identity.ca_file`].
    pub ca_file: Option<PathBuf>,
}

/// `[backups]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backups {
    /// The folder, absolute or relative to the data directory [default: backups].
    pub path: Option<PathBuf>,
    /// `s3://bucket/prefix`, instead of a folder.
    pub url: Option<String>,
    /// The address of a store that is not AWS; plain HTTP only where this begins with `http://`.
    pub endpoint: Option<String>,
    /// The bucket's region.
    pub region: Option<String>,
    /// The bucket is part of the host name.
    pub virtual_hosted: bool,
    /// A TOML file with access_key_id, secret_access_key and perhaps session_token; else the environment is asked.
    pub credentials_file: Option<PathBuf>,
    /// How large stored objects are, as people write it: 16MiB.
    pub segment: Option<String>,
}

impl Backups {
    /// How large stored objects are, in bytes.
    pub fn segment(&self) -> anyhow::Result<Option<u64>> {
        let parse = |text: &String| {
            parpen_base::parse_size(text).map_err(|e| anyhow::anyhow!("backups.segment: {e}"))
        };
        self.segment.as_ref().map(parse).transpose()
    }
}

/// `[apis]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Apis {
    /// `[apis.cern]`.
    pub cern: Cern,
}

/// `[apis.cern]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cern {
    /// Reading needs no login.
    pub anonymous_read: bool,
}

/// What the server runs with.
#[derive(Debug)]
pub struct Settings {
    /// Where state is kept.
    pub data_dir: PathBuf,
    /// The HTTP address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The NBD address; port 0 takes a free one.
    pub nbd: SocketAddr,
    /// What is logged, in the words of `tracing`'s filters.
    pub log: String,
    /// Reading through the CERN side needs no login.
    pub cern_anonymous_read: bool,
    /// Where backups are kept.
    pub backups: Backups,
    /// Where images are kept.
    pub images: Images,
    /// Where the key of encrypted volumes' keys is.
    pub keys: Keys,
    /// What concerns the disks of local pools.
    pub engine: Engine,
    /// Who knows the users of the OpenStack side.
    pub identity: Identity,
}

/// Options of `serve`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Settings file (parpen.toml)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where state is kept [default: $PARPEN_DATA_DIR, else parpen in the XDG data folder]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// HTTP address of all APIs [default: 127.0.0.1:7475]; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// NBD address [default: 127.0.0.1:10809]; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub nbd: Option<SocketAddr>,
    /// What is logged: error, warn, info, debug, trace, or filters like parpen_nbd=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
}

/// The data directory when none is named.
pub fn data_dir(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(dir) = named.map(Path::to_path_buf).or_else(|| var("PARPEN_DATA_DIR")) {
        return Ok(dir);
    }
    let data = var("XDG_DATA_HOME").or_else(|| var("HOME").map(|h| h.join(".local/share")));
    let data =
        data.context("neither HOME nor XDG_DATA_HOME is set: name the data directory with --data-dir")?;
    Ok(data.join("parpen"))
}

/// Puts file, options and defaults together.
pub fn settings(o: Options) -> anyhow::Result<Settings> {
    let file: File = match &o.config {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            toml::from_str(&text).with_context(|| format!("{} cannot be understood", path.display()))?
        }
        None => File::default(),
    };
    let default = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let named = o.data_dir.or(file.data_dir);
    let s = Settings {
        data_dir: std::path::absolute(data_dir(named.as_deref())?)?,
        listen: o.listen.or(file.listen).unwrap_or(default(7475)),
        nbd: o.nbd.or(file.nbd).unwrap_or(default(10809)),
        log: o.log.or(file.log).unwrap_or_else(|| "info".into()),
        cern_anonymous_read: file.apis.cern.anonymous_read,
        backups: file.backups,
        images: file.images,
        keys: file.keys,
        engine: file.engine,
        identity: file.identity,
    };
    if s.backups.url.is_some() && s.backups.path.is_some() {
        bail!("backups has both a path and a url: keep one");
    }
    s.backups.segment()?;
    s.engine.map_cache()?;
    for (option, addr) in [("--listen", s.listen), ("--nbd", s.nbd)] {
        if !addr.ip().is_loopback() {
            bail!(
                "{option} {addr} is beyond loopback, and there is no TLS yet: take an address of 127.0.0.0/8 or ::1"
            );
        }
    }
    Ok(s)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        let data_dir = Some(PathBuf::from("/d"));
        Options { config: None, data_dir, listen: None, nbd: None, log: None }
    }

    #[test]
    fn loopback_only() {
        assert_eq!(settings(options()).unwrap().listen.port(), 7475);
        let beyond = Options { nbd: Some("0.0.0.0:10809".parse().unwrap()), ..options() };
        assert!(settings(beyond).unwrap_err().to_string().contains("--nbd 0.0.0.0:10809 is beyond loopback"));
    }

    #[test]
    fn the_file_is_read_strictly() {
        let f: File =
            toml::from_str("listen = \"127.0.0.1:1\"\n[apis.cern]\nanonymous_read = true\n").unwrap();
        assert!(f.apis.cern.anonymous_read && f.listen.is_some());
        let engine = |text: &str| toml::from_str::<File>(text).unwrap().engine.map_cache();
        assert_eq!(engine("[engine]\nmap_cache = \"8MiB\"").unwrap(), Some(8 << 20));
        assert_eq!(engine("").unwrap(), None);
        assert!(engine("[engine]\nmap_cache = \"much\"").unwrap_err().to_string().contains("map_cache"));
        assert!(toml::from_str::<File>("lisen = \"127.0.0.1:1\"").is_err());
    }
}
