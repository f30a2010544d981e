//! Documents as tables for people and JSON for machines: two views of one struct.

use std::io::Write;

use comfy_table::{Table, presets};
use parpen_base::{GIB, KIB, MIB, TIB, format_size};
use parpen_native::doc::{AlarmDoc, HostDoc, PoolDoc, SnapshotDoc, StatusDoc, VolumeDoc};
use serde::Serialize;

use super::{Common, Output};

/// A document that people read as a row.
pub trait Tabular: Serialize {
    /// The heads of the columns.
    fn head() -> Vec<&'static str>;
    /// The cells.
    fn row(&self) -> Vec<String>;
}

pub(super) fn table(head: Vec<&'static str>, rows: Vec<Vec<String>>) -> Table {
    let mut t = Table::new();
    t.load_style(presets::NOTHING);
    t.set_header(head);
    t.add_rows(rows);
    t
}

/// One line, or several, on standard output; an error where nobody reads it.
pub(super) fn say(text: impl std::fmt::Display) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn json(document: &impl Serialize) -> anyhow::Result<()> {
    say(serde_json::to_string_pretty(document)?)
}

/// Prints many.
pub(super) fn list<T: Tabular>(common: &Common, all: &[T]) -> anyhow::Result<()> {
    match common.output {
        Output::Json => json(&all),
        Output::Table => say(table(T::head(), all.iter().map(T::row).collect())),
    }
}

/// Prints one, a line a field.
pub(super) fn one<T: Serialize>(common: &Common, document: &T) -> anyhow::Result<()> {
    if common.output == Output::Json {
        return json(document);
    }
    let value = serde_json::to_value(document)?;
    let fields = value.as_object().cloned().unwrap_or_default();
    // Alarms are sentences; they stand below.
    let fields = fields.into_iter().filter(|(name, v)| !v.is_null() && name != "alarms");
    let rows = fields.map(|(name, v)| vec![cell(&name, &v), name]);
    let rows = rows.map(|mut r| {
        r.reverse();
        r
    });
    say(table(vec!["field", "value"], rows.collect()))
}

/// A value as people read it.
fn cell(name: &str, v: &serde_json::Value) -> String {
    use serde_json::Value;
    match v {
        Value::String(s) if matches!(name, "created" | "since" | "data") => when(s),
        Value::String(s) => s.clone(),
        Value::Number(n)
            if matches!(
                name,
                "size"
                    | "virtual_size"
                    | "capacity"
                    | "used"
                    | "free"
                    | "stored"
                    | "unique"
                    | "shared"
                    | "freed_if_deleted"
                    | "usable"
                    | "usable_free"
            ) =>
        {
            n.as_u64()
                .map_or_else(|| n.to_string(), |n| if name == "size" { format_size(n) } else { about(n) })
        }
        Value::Array(a) => a.iter().map(|v| cell("", v)).collect::<Vec<_>>().join("\n"),
        Value::Object(o) => {
            o.iter().map(|(k, v)| format!("{k}: {}", cell(k, v))).collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    }
}

/// An instant as people read it, to the second; JSON has all of it.
pub(super) fn when(exact: &str) -> String {
    exact.parse::<jiff::Timestamp>().map_or_else(|_| exact.to_string(), |t| format!("{t:.0}"))
}

/// A figure that people compare, not compute with: `46.0GiB`.
pub(super) fn about(bytes: u64) -> String {
    let unit =
        [("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)].into_iter().find(|(_, n)| bytes >= *n);
    match unit {
        Some((name, n)) => format!("{:.1}{name}", bytes as f64 / n as f64),
        None => format_size(bytes),
    }
}

fn figure(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "?".into(), about)
}

impl Tabular for PoolDoc {
    fn head() -> Vec<&'static str> {
        vec!["name", "driver", "state", "capacity", "used", "free", "copies", "usable free", "disks"]
    }
    fn row(&self) -> Vec<String> {
        let disks = self.disks.join("\n");
        let (used, free) = (figure(self.used), figure(self.free));
        vec![
            self.name.clone(),
            self.driver.clone(),
            self.state.clone(),
            about(self.capacity),
            used,
            free,
            self.replication.to_string(),
            figure(self.usable_free),
            disks,
        ]
    }
}

impl Tabular for VolumeDoc {
    fn head() -> Vec<&'static str> {
        vec!["handle", "name", "size", "pool", "state", "use", "holders", "nbd"]
    }
    fn row(&self) -> Vec<String> {
        let holders: Vec<&str> = self.holders.iter().map(|h| h.host.as_str()).collect();
        vec![
            self.handle.clone(),
            self.name.clone(),
            format_size(self.size),
            self.pool.clone(),
            self.state.clone(),
            self.usage.clone(),
            holders.join(", "),
            self.nbd.clone(),
        ]
    }
}

impl Tabular for SnapshotDoc {
    fn head() -> Vec<&'static str> {
        vec!["handle", "volume", "name", "size", "state", "created"]
    }
    fn row(&self) -> Vec<String> {
        vec![
            self.handle.clone(),
            self.volume.clone(),
            self.name.clone(),
            format_size(self.size),
            self.state.clone(),
            when(&self.created),
        ]
    }
}

impl Tabular for HostDoc {
    fn head() -> Vec<&'static str> {
        vec!["name", "spellings", "id"]
    }
    fn row(&self) -> Vec<String> {
        vec![self.name.clone(), self.spellings.join(", "), self.id.to_string()]
    }
}

/// What came back from disks.
pub(super) fn rebuilt(common: &Common, all: &[crate::drivers::rebuild::Rebuilt]) -> anyhow::Result<()> {
    if common.output == Output::Json {
        return json(&all);
    }
    let row = |r: &crate::drivers::rebuild::Rebuilt| {
        vec![r.pool.clone(), r.disks.join("\n"), r.volumes.to_string(), r.snapshots.to_string()]
    };
    say(table(vec!["pool", "disks", "volumes back", "snapshots back"], all.iter().map(row).collect()))?;
    for r in all {
        for remark in &r.remarks {
            say(format_args!("pool {}: {remark}", r.pool))?;
        }
    }
    Ok(())
}

/// What to look at, a line each; JSON has it in its documents.
pub(super) fn alarms<'a>(common: &Common, all: impl IntoIterator<Item = &'a AlarmDoc>) -> anyhow::Result<()> {
    if common.output == Output::Json {
        return Ok(());
    }
    for a in all {
        say(format_args!("{} since {}: {}", a.severity, when(&a.since), a.text))?;
    }
    Ok(())
}

/// Pools, and below them what one should know of each.
pub(super) fn pools(common: &Common, all: &[PoolDoc]) -> anyhow::Result<()> {
    list(common, all)?;
    if common.output == Output::Json {
        return Ok(());
    }
    for p in all {
        for text in p.fault.iter().chain(&p.remark) {
            say(format_args!("\npool {}: {text}", p.name))?;
        }
    }
    Ok(())
}

/// The service at a glance.
pub(super) fn status(common: &Common, s: &StatusDoc) -> anyhow::Result<()> {
    if common.output == Output::Json {
        return json(s);
    }
    say(format_args!("parpen {}, configuration generation {}", s.version, s.generation))?;
    say(format_args!(
        "volumes: {}, snapshots: {}, open sessions: {}",
        s.volumes,
        s.snapshots,
        s.sessions.len()
    ))?;
    say("")?;
    pools(common, &s.pools)?;
    alarms(common, &s.alarms)?;
    if !s.jobs.is_empty() {
        let row = |j: &parpen_native::doc::JobDoc| vec![j.kind.clone(), j.state.clone(), when(&j.created)];
        say(format_args!("\n{}", table(vec!["job", "state", "since"], s.jobs.iter().map(row).collect())))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_second_and_other_texts_are_left_alone() {
        let created = serde_json::json!("2026-11-21T22:33:32.123456789Z");
        assert_eq!(cell("created", &created), "2026-11-21T22:33:32Z");
        assert_eq!(cell("name", &created), "2026-11-21T22:33:32.123456789Z");
        assert_eq!(when("yesterday"), "yesterday");
        assert_eq!(about(46 * GIB), "46.0GiB");
    }
}
