//! Snapshots.

use parpen_model::{Api, Attributes, Condition, Snapshot, Volume};
use parpen_service::names::{self, Naming, Space};
use parpen_service::snapshots::NewSnapshot;

use super::{refused, set_config, set_description};
use crate::config::{self, Config};
use crate::to_wire::{self, NO_DATE, SPACE};
use crate::wire::SnapshotsPost;

/// The name of a snapshot.
pub(crate) fn snapshot_name(name: String) -> Result<String, Condition> {
    match name.as_str() {
        "" => Err(refused("No name provided")),
        "." | ".." => Err(refused(format!("{name:?} is no name for a snapshot"))),
        n if n.contains('/') => Err(refused("Storage name cannot contain \"/\"")),
        n if n.contains(char::is_whitespace) => Err(refused("Storage name cannot contain white space")),
        _ => Ok(name),
    }
}

/// The name that an unnamed snapshot gets: `snap%d` with the first number above those that are there.
pub(crate) fn next_snapshot_name(there: &[Snapshot]) -> String {
    let number = |s: &Snapshot| {
        let name = names::short_in(s, Api::Lxd);
        name.strip_prefix("snap").and_then(|n| n.parse::<u32>().ok())
    };
    let next = there.iter().filter_map(number).max().map_or(0, |n| n.saturating_add(1));
    format!("snap{next}")
}

/// A date as clients give it: RFC 3339, or one of the ways to say none.
pub(crate) fn expires_at(text: Option<String>) -> Result<Option<String>, Condition> {
    let Some(text) = text.filter(|t| !t.is_empty() && t != NO_DATE) else { return Ok(None) };
    match text.parse::<jiff::Timestamp>() {
        Ok(_) => Ok(Some(text)),
        Err(_) => Err(refused(format!("parsing time {text:?}: it is no date of RFC 3339"))),
    }
}

/// A snapshot to be taken. It keeps the config that its volume has now.
pub(crate) fn new_snapshot(
    of: &Volume,
    name: String,
    body: SnapshotsPost,
    now: jiff::Timestamp,
) -> Result<NewSnapshot, Condition> {
    let config = to_wire::volume_config(of);
    let date = match expires_at(body.expires_at)? {
        Some(date) => Some(date),
        None => default_expiry(&config, now)?,
    };
    let mut attributes = Attributes::default();
    set_config(&mut attributes, &config);
    set_description(&mut attributes, "");
    if let Some(date) = date {
        attributes.entry(SPACE).insert("expires_at".into(), date.into());
    }
    let naming = Naming::unique(name, Space::within(Api::Lxd, of.id));
    Ok(NewSnapshot { naming, attributes, ..NewSnapshot::default() })
}

/// The date that the volume's own rule gives.
fn default_expiry(config: &Config, now: jiff::Timestamp) -> Result<Option<String>, Condition> {
    let rule = config.get("snapshots.expiry").map(String::as_str).unwrap_or_default();
    let Some(span) = config::expiry(rule).map_err(refused)? else { return Ok(None) };
    let late = |e| refused(format!("snapshots.expiry {rule:?} leads beyond all calendars: {e}"));
    let date = now.to_zoned(jiff::tz::TimeZone::UTC).checked_add(span).map_err(late)?;
    Ok(Some(date.timestamp().to_string()))
}
