//! The configuration keys of pools and volumes: which there are, and what their values may be.

use std::collections::BTreeMap;

use parpen_base::{GIB, SECTOR, format_size, parse_size, round_up};
use parpen_model::Condition;

/// Keys and values, sorted as LXD prints them.
pub(crate) type Config = BTreeMap<String, String>;

/// The size of a volume that names none, in bytes; LXD's own default.
pub(crate) const DEFAULT_SIZE: u64 = 10 * GIB;

/// The drivers whose names are taken; all of them are kept by the local engine.
pub(crate) const DRIVERS: [&str; 4] = ["dir", "btrfs", "zfs", "lvm"];

const POOL_KEYS: [&str; 6] =
    ["source", "size", "source.wipe", "source.recover", "rsync.bwlimit", "rsync.compression"];
const VOLUME_KEYS: [&str; 8] = [
    "size",
    "snapshots.expiry",
    "snapshots.schedule",
    "snapshots.pattern",
    "security.shifted",
    "security.unmapped",
    "block.filesystem",
    "block.mount_options",
];

/// The keys that only pools of one driver have.
fn driver_keys(driver: &str) -> &'static [&'static str] {
    match driver {
        "btrfs" => &["btrfs.mount_options"],
        "zfs" => &["zfs.pool_name", "zfs.clone_copy"],
        "lvm" => &["lvm.vg_name", "lvm.thinpool_name", "lvm.use_thinpool", "lvm.vg.force_reuse"],
        _ => &[],
    }
}

/// What LXD fills in at the making of a pool where nothing was said.
pub(crate) fn driver_defaults(driver: &str, pool: &str) -> Vec<(&'static str, String)> {
    match driver {
        "zfs" => vec![("zfs.pool_name", pool.to_string())],
        "lvm" => vec![("lvm.vg_name", pool.to_string()), ("lvm.thinpool_name", "LXDThinPool".to_string())],
        _ => Vec::new(),
    }
}

/// Refuses keys and values that no pool of this driver can have.
pub(crate) fn check_pool(driver: &str, config: &Config) -> Result<(), Condition> {
    for (key, value) in config {
        if key.starts_with("user.") || POOL_KEYS.contains(&key.as_str()) {
            if key == "size" {
                check_size(value).map_err(|why| bad_value("", key, &why))?;
            }
        } else if let Some(of_volumes) = key.strip_prefix("volume.") {
            check_volume_key("", of_volumes, value)?;
        } else if !key.starts_with("volatile.") && !driver_keys(driver).contains(&key.as_str()) {
            return Err(Condition::invalid("", format!("Invalid option {key:?}")));
        }
    }
    Ok(())
}

/// Refuses keys and values that no volume can have.
pub(crate) fn check_volume(name: &str, config: &Config) -> Result<(), Condition> {
    config.iter().try_for_each(|(key, value)| check_volume_key(name, key, value))
}

fn check_volume_key(name: &str, key: &str, value: &str) -> Result<(), Condition> {
    if key.starts_with("user.") || key.starts_with("volatile.") {
        return Ok(());
    }
    if !VOLUME_KEYS.contains(&key) {
        return Err(Condition::invalid("", format!("Invalid option for volume {name:?} option {key:?}")));
    }
    let checked = match key {
        "size" => check_size(value),
        "snapshots.expiry" => expiry(value).map(|_| ()),
        "snapshots.schedule" => check_schedule(value),
        "security.shifted" | "security.unmapped" => check_bool(value),
        _ => Ok(()),
    };
    checked.map_err(|why| bad_value(name, key, &why))
}

fn bad_value(name: &str, key: &str, why: &str) -> Condition {
    let text = match name {
        "" => format!("Invalid value for option {key:?}: {why}"),
        name => format!("Invalid value for volume {name:?} option {key:?}: {why}"),
    };
    Condition::invalid("", text)
}

fn check_size(value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Ok(());
    }
    parse_size(value).map(|_| ()).map_err(|e| e.to_string())
}

fn check_bool(value: &str) -> Result<(), String> {
    let known = ["", "true", "false", "1", "0", "yes", "no", "on", "off"];
    if known.contains(&value.to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(format!("Invalid value for a boolean {value:?}"))
}

fn check_schedule(value: &str) -> Result<(), String> {
    const WORDS: [&str; 8] =
        ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@annually", "@yearly", "@startup"];
    let value = value.to_ascii_lowercase();
    if value.is_empty() || value.split(',').all(|word| WORDS.contains(&word.trim())) {
        return Ok(());
    }
    // Several are parted by a comma and a space; a comma alone is part of one.
    value.split(", ").filter(|one| !WORDS.contains(one)).try_for_each(|one| {
        let fields: Vec<&str> = one.split_whitespace().collect();
        if fields.len() != FIELDS.len() {
            return Err(
                "Schedule must be of the form: <minute> <hour> <day-of-month> <month> <day-of-week>".into()
            );
        }
        let unfit = fields.iter().zip(&FIELDS).find(|(text, field)| !field.takes(text));
        unfit.map_or(Ok(()), |(text, field)| {
            Err(format!("Error parsing schedule: {text:?} is no {}", field.what))
        })
    })
}

/// One of the five parts of a schedule: least and greatest number, and names that count from the least.
struct Field {
    what: &'static str,
    least: u32,
    greatest: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { what: "minute", least: 0, greatest: 59, names: &[] },
    Field { what: "hour", least: 0, greatest: 23, names: &[] },
    Field { what: "day of the month", least: 1, greatest: 31, names: &[] },
    Field {
        what: "month",
        least: 1,
        greatest: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Field {
        what: "day of the week",
        least: 0,
        greatest: 6,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

impl Field {
    /// Whether this is a list of `*`, numbers and ranges, each perhaps with a step.
    fn takes(&self, text: &str) -> bool {
        text.split(',').all(|part| {
            let (range, step) =
                part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
            self.has(range) && step.is_none_or(|s| number(s).is_some_and(|n| n > 0))
        })
    }

    fn has(&self, range: &str) -> bool {
        match range.split_once('-') {
            None => matches!(range, "*" | "?") || self.place(range).is_some(),
            Some((from, to)) => {
                self.place(from).is_some_and(|from| self.place(to).is_some_and(|to| from <= to))
            }
        }
    }

    fn place(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().zip(self.least..).find(|(name, _)| **name == text);
        let place = named.map(|(_, n)| n).or_else(|| number(text))?;
        (self.least..=self.greatest).contains(&place).then_some(place)
    }
}

/// Digits alone: no sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The span after which a snapshot is over: `1M 2H 3d 4w 5m 6y`, each at most once. `None`: never.
pub(crate) fn expiry(value: &str) -> Result<Option<jiff::Span>, String> {
    let bad = || "Invalid expiry expression".to_string();
    let mut span = jiff::Span::new();
    let mut seen = Vec::new();
    for part in value.split_whitespace() {
        let unit = part.chars().next_back().ok_or_else(bad)?;
        let number = &part[..part.len() - unit.len_utf8()];
        if seen.contains(&unit) || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        let n: i64 = number.parse().map_err(|_| bad())?;
        span = match unit {
            'M' => span.try_minutes(n),
            'H' => span.try_hours(n),
            'd' => span.try_days(n),
            'w' => span.try_weeks(n),
            'm' => span.try_months(n),
            'y' => span.try_years(n),
            _ => return Err(bad()),
        }
        .map_err(|_| bad())?;
        seen.push(unit);
    }
    Ok((!seen.is_empty()).then_some(span))
}

/// The bytes that a configuration asks for; `None` where it leaves that to the default (`0` does too).
pub(crate) fn size(config: &Config) -> Option<u64> {
    config.get("size").and_then(|text| parse_size(text).ok()).filter(|n| *n > 0)
}

/// The new size that a configuration asks for, where that is another than the present one.
pub(crate) fn resized(config: &Config, present: u64) -> Option<u64> {
    size(config).filter(|n| round_up(*n, SECTOR) != Some(present))
}

/// How a size in bytes is shown: the literal that was asked for while it still means that size.
pub(crate) fn shown_size(literal: Option<&String>, bytes: u64) -> String {
    let means = |text: &&String| parse_size(text).ok().and_then(|n| round_up(n, SECTOR)) == Some(bytes);
    literal.filter(means).cloned().unwrap_or_else(|| format_size(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, value: &str) -> Config {
        Config::from([(key.to_string(), value.to_string())])
    }

    #[test]
    fn volumes_have_these_keys_and_values() {
        for (key, value) in [
            ("size", "64MiB"),
            ("size", "1000001"),
            ("size", ""),
            ("user.any thing", "é"),
            ("snapshots.expiry", "1w 2d"),
            ("snapshots.schedule", "@daily, @startup"),
            ("snapshots.schedule", "@DAILY,@startup"),
            ("snapshots.schedule", "0 6 * * *"),
            ("snapshots.schedule", "*/15 0-6,22 1,15 jan-Mar 1-5"),
            ("snapshots.schedule", "0 6 * * *, @monthly, 5/10 ? 31 12 0"),
            ("security.shifted", "true"),
        ] {
            assert!(check_volume("v", &one(key, value)).is_ok(), "{key}={value}");
        }
        for (key, value) in [
            ("nokey", "1"),
            ("size", "big"),
            ("size", "-1"),
            ("snapshots.expiry", "soon"),
            ("snapshots.expiry", "1d 2d"),
            ("snapshots.expiry", "99999999999999999999y"),
            ("snapshots.schedule", "whenever"),
            // Five words were enough to be a schedule.
            ("snapshots.schedule", "61 * * * *"),
            ("snapshots.schedule", "* 24 * * *"),
            ("snapshots.schedule", "* * 0 * *"),
            ("snapshots.schedule", "* * * 13 *"),
            ("snapshots.schedule", "* * * * 7"),
            ("snapshots.schedule", "*/0 * * * *"),
            ("snapshots.schedule", "*/ * * * *"),
            ("snapshots.schedule", "9-5 * * * *"),
            ("snapshots.schedule", "1, * * * *"),
            ("snapshots.schedule", "+1 * * * *"),
            ("snapshots.schedule", "-1 * * * *"),
            ("snapshots.schedule", "now or never at all"),
            ("snapshots.schedule", "@daily, @never"),
            ("snapshots.schedule", "* * * *"),
            ("security.shifted", "maybe"),
            ("zfs.blocksize", "4096"),
        ] {
            assert!(check_volume("v", &one(key, value)).is_err(), "{key}={value}");
        }
    }

    #[test]
    fn pools_have_their_own_drivers_keys() {
        assert!(check_pool("zfs", &one("zfs.pool_name", "tank")).is_ok());
        assert!(check_pool("dir", &one("zfs.pool_name", "tank")).is_err());
        assert!(check_pool("dir", &one("volume.size", "1GiB")).is_ok());
        assert!(check_pool("dir", &one("volume.size", "lots")).is_err());
        assert!(check_pool("dir", &one("bogus", "1")).is_err());
    }

    #[test]
    fn a_literal_is_shown_while_it_is_true() {
        assert_eq!(shown_size(Some(&"1000001".into()), 1_000_448), "1000001");
        assert_eq!(shown_size(Some(&"64MiB".into()), 128 << 20), "128MiB");
        assert_eq!(shown_size(None, DEFAULT_SIZE), "10GiB");
        assert_eq!(shown_size(Some(&"junk".into()), 512), "512B");
        assert_eq!(size(&one("size", "0")), None);
    }
}
