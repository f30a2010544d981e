//! Errors on order: by rule, or by a seed.

use std::sync::{Arc, Mutex, PoisonError};

use parpen_base::{Entropy, SeededEntropy};

use crate::{BlockDevice, Capabilities, Completion, Geometry, Home, IoError, Queue, Refusal, Request, Wake};

use super::{Answers, Kind};

/// Which requests fail, and how.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Requests of this kind; `None`: of every kind.
    pub kind: Option<Kind>,
    /// The error that is told.
    pub error: IoError,
    /// This many are spared first. One that is given back and submitted again counts twice.
    pub skip: u64,
    /// Then so many fail; the rule is used up afterwards.
    pub times: u64,
    /// One in so many of them, by the seed; 1 or 0: each.
    pub odds: u64,
    /// The device does the request all the same and only the answer is an error, as when a cable breaks.
    pub done: bool,
}

impl Rule {
    /// The next request of `kind` fails before the device sees it.
    pub fn next(kind: Kind, error: IoError) -> Rule {
        Rule { kind: Some(kind), error, skip: 0, times: 1, odds: 1, done: false }
    }
}

/// The rules of a [`Fault`] device; they may be changed while it runs.
pub struct Faults {
    rules: Mutex<Vec<Rule>>,
    dice: SeededEntropy,
}

impl Faults {
    /// Adds a rule. The first that applies to a request is the one that counts.
    pub fn add(&self, rule: Rule) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).push(rule);
    }

    /// Ends all rules.
    pub fn clear(&self) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The request that was struck did not fit: the next one is struck instead.
    fn owe(&self, rule: Rule) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).insert(0, rule);
    }

    /// The error of a request of this kind, and whether the device is to do it.
    fn strike(&self, kind: Kind) -> Option<(IoError, bool)> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let at = rules.iter().position(|r| r.kind.is_none_or(|k| k == kind))?;
        let rule = &mut rules[at];
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        if rule.odds > 1 && !self.dice.u64().is_multiple_of(rule.odds) {
            return None;
        }
        let struck = (rule.error, rule.done);
        rule.times = rule.times.saturating_sub(1);
        if rule.times == 0 {
            rules.remove(at);
        }
        Some(struck)
    }
}

/// A device that fails as it is told.
#[derive(Clone)]
pub struct Fault {
    inner: Arc<dyn BlockDevice>,
    faults: Arc<Faults>,
}

impl Fault {
    /// Wraps `inner`, without rules yet.
    pub fn new(inner: Arc<dyn BlockDevice>, seed: u64) -> Fault {
        let faults = Faults { rules: Mutex::default(), dice: SeededEntropy::new(seed) };
        Fault { inner, faults: Arc::new(faults) }
    }

    /// Its rules.
    pub fn faults(&self) -> Arc<Faults> {
        Arc::clone(&self.faults)
    }
}

impl BlockDevice for Fault {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn home(&self) -> Option<Arc<dyn Home>> {
        self.inner.home()
    }

    fn open(&self, depth: u16, wake: Wake) -> Result<Box<dyn Queue>, Refusal> {
        Ok(Box::new(FaultQueue {
            inner: self.inner.open(depth, wake.clone())?,
            faults: Arc::clone(&self.faults),
            failed: Answers::new(depth, wake),
            spoiled: Vec::with_capacity(usize::from(depth)),
        }))
    }
}

struct FaultQueue {
    inner: Box<dyn Queue>,
    faults: Arc<Faults>,
    failed: Answers,
    /// Requests that the device does and whose answer will be an error.
    spoiled: Vec<(u32, IoError)>,
}

impl Queue for FaultQueue {
    fn submit(&mut self, r: Request) -> Result<(), Request> {
        let tag = r.tag;
        let kind = Kind::of(r.op);
        let Some((error, done)) = self.faults.strike(kind) else { return self.inner.submit(r) };
        let result = if done { self.inner.submit(r) } else { self.failed.fail(r, error) };
        match &result {
            Ok(()) if done => self.spoiled.push((tag, error)),
            Ok(()) => {}
            Err(_) => self.faults.owe(Rule { done, ..Rule::next(kind, error) }),
        }
        result
    }

    fn kick(&mut self) {
        self.inner.kick();
    }

    fn reap(&mut self) -> Option<Completion> {
        if let Some(c) = self.failed.next() {
            return Some(c);
        }
        let mut c = self.inner.reap()?;
        if let Some(at) = self.spoiled.iter().position(|(tag, _)| *tag == c.tag) {
            c.result = Err(self.spoiled.swap_remove(at).1);
            c.all_zero = false;
        }
        Some(c)
    }
}
