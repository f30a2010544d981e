//! Which facts are alarming.

use parpen_base::format_size;
use parpen_model::{Condition, Disk, DiskState, Pool, PoolHealth};

use super::board::{Finding, Severity};
use crate::capacity::Room;

/// From so many percent on a pool counts as full.
const POOL_STEPS: [u8; 3] = [80, 90, 95];
/// From so many percent on a disk counts as full.
const DISK_STEPS: [u8; 2] = [90, 95];
/// The step from which on it is critical.
const CRITICAL: u8 = 95;

/// What is known of a pool.
pub(super) struct Facts {
    pub(super) room: Room,
    pub(super) disks: Vec<Disk>,
    /// Without what is left out.
    pub(super) health: PoolHealth,
}

/// The highest step that is reached; one that was reached before is left one percent below it, so that what is used
/// there is not said again and again.
fn step(steps: &[u8], used: u64, of: u64, before: Option<u8>) -> Option<u8> {
    if of == 0 {
        return None;
    }
    let reached = |s: &u8| {
        let slack = u8::from(before.is_some_and(|b| b >= *s));
        u128::from(used) * 100 >= u128::from(of) * u128::from(s - slack)
    };
    steps.iter().copied().filter(reached).max()
}

fn objects(n: u64) -> String {
    match n {
        1 => "1 object".into(),
        n => format!("{n} objects"),
    }
}

struct About<'a> {
    pool: &'a Pool,
    disk: Option<u16>,
}

impl About<'_> {
    fn find(&self, kind: &'static str, severity: Severity, text: String) -> Finding {
        Finding { kind, pool: self.pool.name.clone(), disk: self.disk, severity, level: severity as u8, text }
    }

    fn full(&self, kind: &'static str, level: u8, text: String) -> Finding {
        let severity = if level >= CRITICAL { Severity::Critical } else { Severity::Warning };
        Finding { level, ..self.find(kind, severity, text) }
    }
}

/// A pool whose store does not answer.
pub(super) fn unavailable(pool: &Pool, why: &Condition) -> Finding {
    let text = format!("pool {:?} cannot be used: {why}; mend that, then start the service again", pool.name);
    About { pool, disk: None }.find("pool-unavailable", Severity::Critical, text)
}

/// What is alarming about a pool; `before` tells the level at which an alarm stands.
pub(super) fn of_pool(pool: &Pool, facts: &Facts, before: impl Fn(&str) -> Option<u8>) -> Vec<Finding> {
    let mut found = Vec::new();
    let about = About { pool, disk: None };
    let name = &pool.name;
    let room = &facts.room;
    let used = room.usable.saturating_sub(room.usable_free);
    if room.usable == 0 && facts.disks.iter().any(|d| d.state.is_there()) {
        let text = format!(
            "pool {name:?} has too few disks for {} copies: `parpen disk add` one, or `parpen pool edit {name} \
             --replication` fewer",
            room.copies
        );
        found.push(about.full("pool-full", 100, text));
    } else if let Some(level) = step(&POOL_STEPS, used, room.usable, before(&format!("pool-full:{name}"))) {
        let more = if facts.disks.is_empty() { "" } else { ", or `parpen disk add` one" };
        let text = format!(
            "pool {name:?} is over {level} % full, {} are left for volumes: delete or discard something{more}",
            format_size(room.usable_free)
        );
        found.push(about.full("pool-full", level, text));
    }
    found.extend(of_objects(&about, &facts.health));
    for d in &facts.disks {
        let about = About { pool, disk: Some(d.id) };
        let before = before(&format!("disk-full:{}", d.id));
        found.extend(of_disk(&about, d, before, facts.disks.len() > 1));
    }
    found
}

fn of_objects(about: &About, h: &PoolHealth) -> Vec<Finding> {
    let name = &about.pool.name;
    let mut found = Vec::new();
    if h.lost > 0 {
        let text = format!(
            "pool {name:?} has lost {}: all their disks are forgotten; restore what used them from a backup",
            objects(h.lost)
        );
        found.push(about.find("data-lost", Severity::Critical, text));
    }
    if h.away > 0 {
        let text = format!(
            "{} of pool {name:?} cannot be reached, only disks that are away have them: bring those disks back \
             (`parpen disk list`, `parpen disk return`)",
            objects(h.away)
        );
        found.push(about.find("objects-away", Severity::Critical, text));
    }
    if h.short > 0 {
        let text = format!(
            "{} of pool {name:?} have fewer copies than they are to have: `parpen task list` shows what is \
             being copied; bring back the disks that are away, or forget them and add others",
            objects(h.short)
        );
        found.push(about.find("objects-short", Severity::Warning, text));
    }
    found
}

fn of_disk(about: &About, d: &Disk, before: Option<u8>, others: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    let n = d.id;
    if !d.state.is_there() && !d.ignored {
        let what = match (d.state, &d.fault) {
            (DiskState::Absent, _) => format!("is not there ({})", d.path),
            (_, Some(fault)) => format!("is out: {fault}"),
            (_, None) => "is out".into(),
        };
        let text = format!(
            "disk {n} of pool {:?} {what}: bring it back (`parpen disk return {n}`), give it up (`parpen disk \
             forget {n}`), or have it left out of what is counted (`parpen disk ignore {n}`)",
            about.pool.name
        );
        found.push(about.find("disk-away", Severity::Critical, text));
    }
    if d.state.is_there() {
        let used = d.size.saturating_sub(d.free);
        if let Some(level) = step(&DISK_STEPS, used, d.size, before) {
            let even = format!("`parpen pool balance {} --commit`, or ", about.pool.name);
            let even = if others { even } else { String::new() };
            let text = format!("disk {n} is over {level} % full: {even}`parpen disk add` another");
            found.push(about.full("disk-full", level, text));
        }
    }
    if d.scrub.lost > 0 {
        let text = format!(
            "{} blocks on disk {n} are damaged and have no good copy: restore what used them from a backup, and \
             replace the disk (`parpen disk soft-eject {n}`)",
            d.scrub.lost
        );
        found.push(about.find("blocks-lost", Severity::Critical, text));
    }
    if d.scrub.bad > 0 {
        let text = format!(
            "{} blocks on disk {n} did not match their checksums, {} of them are mended: scrub it (`parpen disk \
             scrub {n}`), and replace it if there are more",
            d.scrub.bad, d.scrub.repaired
        );
        found.push(about.find("bad-blocks", Severity::Warning, text));
    }
    found
}

#[cfg(test)]
mod tests;
