//! From nouns to documents.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use parpen_base::{SECTOR, round_up};
use parpen_model::lifecycle::{Health, Life, Usage, Work};
use parpen_model::{Api as Side, Condition, Lock, Volume};
use parpen_service::{names, snapshots, volumes};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::from_wire::KEPT;

/// A volume: always all 17 keys, null where nothing is known.
#[derive(Debug, Serialize)]
pub(crate) struct VolumeRead {
    size_used: Option<u64>,
    uuid: String,
    state: &'static str,
    filer_address: String,
    creation_time: String,
    percentage_snapshot_reserve_used: Option<u64>,
    name: String,
    size_total: u64,
    aggregate_name: Option<String>,
    junction_path: Option<String>,
    autosize_enabled: Option<bool>,
    max_autosize: Option<Box<RawValue>>,
    active_policy_name: Option<String>,
    percentage_snapshot_reserve: Option<Box<RawValue>>,
    compression_enabled: Option<bool>,
    inline_compression: Option<bool>,
    caching_policy: Option<String>,
}

/// A snapshot.
#[derive(Debug, Serialize)]
pub(crate) struct SnapshotRead {
    name: String,
    size_kbytes: Option<u64>,
    creation_time: String,
}

/// A lock.
#[derive(Debug, Serialize)]
pub(crate) struct LockRead {
    host: String,
}

/// A time as mail has it; a time that mail cannot write is one that no clock of ours tells.
fn mail_time(at: Timestamp) -> Result<String, Condition> {
    DateTimePrinter::new().timestamp_to_string(&at).map_err(Condition::internal)
}

/// The word for a volume's state.
fn state(life: Life, usage: Usage, work: &[Work], health: Health) -> &'static str {
    match (life, health) {
        (Life::Creating | Life::Error, _) => "offline",
        (Life::Deleting, _) => "restricted",
        (Life::Ready, Health::DataLost | Health::Down) => "offline",
        (Life::Ready, Health::Up | Health::UpSoon) => match usage {
            _ if work.contains(&Work::RollingBack) || work.contains(&Work::Freezing) => "restricted",
            Usage::Free | Usage::Reserved | Usage::Attaching | Usage::Attached | Usage::Detaching => "online",
        },
    }
}

/// The size that was asked for while it still rounds to the volume's, else the volume's.
fn size_total(v: &Volume) -> u64 {
    let asked = v.attributes.value(KEPT, "size_total").and_then(|s| s.as_u64());
    asked.filter(|bytes| round_up((*bytes).max(1), SECTOR) == Some(v.size)).unwrap_or(v.size)
}

/// A volume. `used`: bytes that stand on its account; `filer`: where it can be had.
pub(crate) fn volume(view: &volumes::View, used: Option<u64>, filer: &str) -> Result<VolumeRead, Condition> {
    let v = &view.volume;
    let text = |key| v.attributes.text(KEPT, key).map(str::to_string);
    let flag = |key| v.attributes.value(KEPT, key).and_then(|b| b.as_bool());
    let integer = |key| {
        let literal = v.attributes.text(KEPT, key).map(str::to_string);
        literal.map(RawValue::from_string).transpose().map_err(Condition::internal)
    };
    Ok(VolumeRead {
        size_used: used,
        uuid: v.id.to_string(),
        state: state(v.life, v.usage, &v.work, v.health),
        filer_address: filer.to_string(),
        creation_time: mail_time(v.stamp.created)?,
        percentage_snapshot_reserve_used: None,
        name: v.shown_in(Side::Cern),
        size_total: size_total(v),
        aggregate_name: text("aggregate_name"),
        junction_path: text("junction_path"),
        autosize_enabled: flag("autosize_enabled"),
        max_autosize: integer("max_autosize")?,
        active_policy_name: None,
        percentage_snapshot_reserve: integer("percentage_snapshot_reserve")?,
        compression_enabled: flag("compression_enabled"),
        inline_compression: flag("inline_compression"),
        caching_policy: text("caching_policy"),
    })
}

/// A snapshot. `used`: bytes that stand on its account.
pub(crate) fn snapshot(view: &snapshots::View, used: Option<u64>) -> Result<SnapshotRead, Condition> {
    Ok(SnapshotRead {
        name: names::short_in(&view.snapshot, Side::Cern),
        size_kbytes: used.map(|bytes| bytes.div_ceil(1024)),
        creation_time: mail_time(view.snapshot.stamp.created)?,
    })
}

/// A lock.
pub(crate) fn lock(l: &Lock) -> LockRead {
    LockRead { host: l.spelling.clone() }
}

/// The keys that the header `X-Fields` asks for, `{name,size_total}`; `*` is all of them.
pub(crate) struct Mask(Vec<String>);

impl Mask {
    /// From the header; what is no flat list of keys is refused.
    pub(crate) fn parse(header: &str) -> Result<Mask, Condition> {
        let header = header.trim();
        let inner = header.strip_prefix('{').and_then(|h| h.strip_suffix('}')).unwrap_or(header);
        let keys: Vec<String> = inner.split(',').map(|key| key.trim().to_string()).collect();
        let fits = |key: &String| {
            key == "*" || !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        match keys.iter().all(fits) {
            true => Ok(Mask(keys)),
            false => Err(Condition::invalid("X-Fields", "it is a list of keys, such as {name,size_total}")),
        }
    }

    /// Only those keys of a document; keys that it has not are null.
    pub(crate) fn of(&self, document: &impl Serialize) -> Result<BTreeMap<String, Box<RawValue>>, Condition> {
        let text = serde_json::to_string(document).map_err(Condition::internal)?;
        let mut whole: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(&text).map_err(Condition::internal)?;
        if self.0.iter().any(|key| key == "*") {
            return Ok(whole);
        }
        let taken = |key: &String| {
            let value = whole.remove(key).unwrap_or_else(|| RawValue::NULL.to_owned());
            (key.clone(), value)
        };
        Ok(self.0.iter().map(taken).collect())
    }
}

#[cfg(test)]
#[path = "to_wire_tests.rs"]
mod tests;
