//! The alarms that stand, and since when.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// How soon somebody should act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Some day soon.
    Warning,
    /// Now.
    Critical,
}

impl Severity {
    /// Its word. Stable.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// Something that an operator should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// `<kind>:<subject>`; the same as long as it stands.
    pub id: String,
    /// What it is about: a stable word.
    pub kind: &'static str,
    /// The pool's name.
    pub pool: String,
    /// The disk, if it is about one.
    pub disk: Option<u16>,
    /// How soon somebody should act.
    pub severity: Severity,
    /// What is so, and what to do.
    pub text: String,
    /// Since when it stands at this severity, as this life of the service has seen it.
    pub since: Timestamp,
}

/// What a look found; not yet an alarm, for nobody knows since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) kind: &'static str,
    pub(super) pool: String,
    pub(super) disk: Option<u16>,
    pub(super) severity: Severity,
    /// How bad it is among its like: another level is another crossing.
    pub(super) level: u8,
    pub(super) text: String,
}

impl Finding {
    pub(super) fn id(&self) -> String {
        match self.disk {
            Some(disk) => format!("{}:{disk}", self.kind),
            None => format!("{}:{}", self.kind, self.pool),
        }
    }
}

/// What is worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Crossing {
    /// It began, or became worse or better.
    Stands(Alarm),
    /// It is over.
    Over(Alarm),
}

impl Crossing {
    pub(super) fn log(&self) {
        match self {
            Crossing::Stands(a) if a.severity == Severity::Critical => {
                tracing::error!(alarm = a.id, "{}", a.text);
            }
            Crossing::Stands(a) => tracing::warn!(alarm = a.id, "{}", a.text),
            Crossing::Over(a) => tracing::info!(alarm = a.id, "it is over"),
        }
    }
}

/// The alarms that stand, by id.
#[derive(Default)]
pub(super) struct Board(BTreeMap<String, (Alarm, u8)>);

impl Board {
    /// The level at which an alarm stands.
    pub(super) fn level(&self, id: &str) -> Option<u8> {
        self.0.get(id).map(|(_, level)| *level)
    }

    /// Takes what a look found in place of what stood, and tells what has changed.
    pub(super) fn update(&mut self, found: Vec<Finding>, now: Timestamp) -> Vec<Crossing> {
        let mut before = std::mem::take(&mut self.0);
        let mut crossings = Vec::new();
        for f in found {
            let (id, level) = (f.id(), f.level);
            let old = before.remove(&id);
            let since = match &old {
                Some((a, _)) if a.severity == f.severity => a.since,
                _ => now,
            };
            let Finding { kind, pool, disk, severity, text, .. } = f;
            let alarm = Alarm { id: id.clone(), kind, pool, disk, severity, text, since };
            if old.is_none_or(|(_, was)| was != level) {
                crossings.push(Crossing::Stands(alarm.clone()));
            }
            self.0.insert(id, (alarm, level));
        }
        crossings.extend(before.into_values().map(|(a, _)| Crossing::Over(a)));
        crossings
    }

    /// All of them, the gravest first.
    pub(super) fn all(&self) -> Vec<Alarm> {
        let mut all: Vec<Alarm> = self.0.values().map(|(a, _)| a.clone()).collect();
        all.sort_by_key(|a| std::cmp::Reverse(a.severity));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(severity: Severity, level: u8) -> Finding {
        let text = format!("{level} %");
        Finding { kind: "pool-full", pool: "local".into(), disk: None, severity, level, text }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn each_crossing_is_told_once() {
        use Severity::{Critical, Warning};
        let mut board = Board::default();
        assert!(matches!(&board.update(vec![full(Warning, 80)], at(1))[..], [Crossing::Stands(_)]));
        assert_eq!(board.update(vec![full(Warning, 80)], at(2)), []);
        assert_eq!(board.all()[0].since, at(1));
        assert_eq!(board.level("pool-full:local"), Some(80));
        assert!(matches!(&board.update(vec![full(Warning, 90)], at(3))[..], [Crossing::Stands(_)]));
        assert_eq!(board.all()[0].since, at(1), "a warning it was before");
        assert!(matches!(&board.update(vec![full(Critical, 95)], at(4))[..], [Crossing::Stands(_)]));
        assert_eq!(board.all()[0].since, at(4));
        assert!(matches!(&board.update(vec![], at(5))[..], [Crossing::Over(a)] if a.text == "95 %"));
        assert_eq!(board.update(vec![], at(6)), []);
        assert_eq!(board.all(), []);
    }

    #[test]
    fn the_gravest_is_first() {
        let mut board = Board::default();
        let away = Finding { kind: "z", disk: Some(2), ..full(Severity::Critical, 0) };
        board.update(vec![full(Severity::Warning, 80), away], at(1));
        let ids: Vec<String> = board.all().into_iter().map(|a| a.id).collect();
        assert_eq!(ids, ["z:2", "pool-full:local"]);
    }
}
