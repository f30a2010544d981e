//! What is logged, and how it is changed while the server runs.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Mutex;

use anyhow::Context;
use parpen_model::Condition;
use parpen_openstack::{LogLevel, Logs};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::{EnvFilter, Registry};

/// The targets whose levels are told: the rooms of the house.
const ROOMS: [&str; 16] = [
    "parpen",
    "parpen_block",
    "parpen_cern",
    "parpen_engine",
    "parpen_http",
    "parpen_identity",
    "parpen_lxd",
    "parpen_meta",
    "parpen_model",
    "parpen_native",
    "parpen_nbd",
    "parpen_openstack",
    "parpen_rapyuta",
    "parpen_ring",
    "parpen_service",
    "parpen_storpool",
];

/// The directives in force.
#[derive(Clone)]
struct Directives {
    /// As the command line or the last change of all has them.
    base: String,
    /// By prefix of targets.
    set: BTreeMap<String, LogLevel>,
}

impl Directives {
    fn text(&self) -> String {
        let set = self.set.iter().map(|(prefix, level)| format!(",{prefix}={}", word(*level)));
        std::iter::once(self.base.clone()).chain(set).collect()
    }
}

/// The filter of the server's subscriber.
pub struct Filter {
    handle: Handle<EnvFilter, Registry>,
    now: Mutex<Directives>,
}

fn word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warning => "warn",
        LogLevel::Error => "error",
    }
}

/// A filter of these directives.
pub fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(text).with_context(|| format!("--log {text:?} is no level and no filter"))
}

impl Filter {
    /// The filter that began with these directives.
    pub fn new(handle: Handle<EnvFilter, Registry>, base: &str) -> Filter {
        Filter { handle, now: Mutex::new(Directives { base: base.to_string(), set: BTreeMap::new() }) }
    }
}

/// The level of one target; directives about spans do not count.
fn level_of(text: &str, target: &str) -> LogLevel {
    let plain: Vec<&str> = text.split(',').filter(|d| !d.contains('[')).collect();
    let targets = Targets::from_str(&plain.join(",")).unwrap_or_default();
    let has = |level: Level| targets.would_enable(target, &level);
    match () {
        () if has(Level::DEBUG) => LogLevel::Debug,
        () if has(Level::INFO) => LogLevel::Info,
        () if has(Level::WARN) => LogLevel::Warning,
        () => LogLevel::Error,
    }
}

impl Logs for Filter {
    fn set(&self, prefix: &str, level: LogLevel) -> Result<(), Condition> {
        // Other systems part their names with dots.
        let prefix = prefix.trim().trim_end_matches('.').replace('.', "::");
        if !prefix.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-')) {
            return Err(Condition::invalid("prefix", "a target has letters, digits, _, -, . and : only"));
        }
        let mut now = self.now.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut next = now.clone();
        next.set.retain(|known, _| !known.starts_with(&prefix));
        match prefix.is_empty() {
            true => next.base = word(level).to_string(),
            false => drop(next.set.insert(prefix, level)),
        }
        let filter = EnvFilter::try_new(next.text()).map_err(|e| Condition::invalid("prefix", e))?;
        self.handle.reload(filter).map_err(Condition::internal)?;
        tracing::info!(filter = next.text(), "what is logged was changed");
        *now = next;
        Ok(())
    }

    fn levels(&self, prefix: &str) -> BTreeMap<String, LogLevel> {
        let prefix = prefix.trim().replace('.', "::");
        let now = self.now.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let text = now.text();
        let rooms = ROOMS.iter().map(|r| r.to_string()).chain(now.set.keys().cloned());
        rooms.filter(|t| t.starts_with(&prefix)).map(|t| (t.clone(), level_of(&text, &t))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::prelude::*;

    #[test]
    fn levels_follow_the_directives_and_reach_the_filter() {
        let (layer, handle) =
            tracing_subscriber::reload::Layer::new(filter("info,parpen_nbd=debug").unwrap());
        let logs = Filter::new(handle, "info,parpen_nbd=debug");
        let _kept = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        let of = |target: &str| logs.levels("")[target];
        assert_eq!((of("parpen_nbd"), of("parpen_service")), (LogLevel::Debug, LogLevel::Info));
        assert!(!tracing::enabled!(target: "parpen_service", Level::DEBUG));
        logs.set("parpen_service", LogLevel::Debug).unwrap();
        assert!(tracing::enabled!(target: "parpen_service", Level::DEBUG), "the real filter follows");
        logs.set("", LogLevel::Error).unwrap();
        assert_eq!((of("parpen_nbd"), of("parpen_service")), (LogLevel::Error, LogLevel::Error));
        assert!(!tracing::enabled!(target: "parpen_service", Level::WARN));
        logs.set("cinder.volume.", LogLevel::Debug).unwrap();
        assert_eq!(logs.levels("cinder")["cinder::volume"], LogLevel::Debug);
        assert!(logs.set("a=b,c", LogLevel::Debug).is_err());
    }
}
