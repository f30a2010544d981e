//! What was said of tokens, for a moment, by the hash of their texts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parpen_base::{Boxed, Clock};
use parpen_model::Condition;
use sha2::{Digest, Sha256};

use super::Vouched;

/// Tokens that are remembered; the one that would be forgotten first leaves for the next.
const KNOWN_MAX: usize = 8192;
/// Texts that are remembered as no tokens: those who try many do not push known ones out.
const UNKNOWN_MAX: usize = 1024;
/// How long a text counts as no token.
const UNKNOWN_HOLD: Duration = Duration::from_secs(5);
/// How long nobody is asked after nobody answered.
const PAUSE: Duration = Duration::from_secs(1);
/// Questions at once; also, one token is asked for once however many bring it.
const TURNS: usize = 32;

type Key = [u8; 32];

struct Kept<T> {
    until: Duration,
    what: T,
}

/// Answers that end, and not too many.
struct Shelf<T> {
    max: usize,
    all: HashMap<Key, Kept<T>>,
}

impl<T: Clone> Shelf<T> {
    fn new(max: usize) -> Shelf<T> {
        Shelf { max, all: HashMap::new() }
    }

    fn get(&self, key: &Key, now: Duration) -> Option<T> {
        self.all.get(key).filter(|k| k.until > now).map(|k| k.what.clone())
    }

    fn put(&mut self, key: Key, until: Duration, now: Duration, what: T) {
        if self.all.len() >= self.max {
            self.all.retain(|_, k| k.until > now);
        }
        if self.all.len() >= self.max
            && let Some(first) = self.all.iter().min_by_key(|(_, k)| k.until).map(|(key, _)| *key)
        {
            self.all.remove(&first);
        }
        self.all.insert(key, Kept { until, what });
    }
}

struct Shelves {
    known: Shelf<Vouched>,
    unknown: Shelf<()>,
    /// Until when nobody is asked, and why.
    down: Option<Kept<Condition>>,
}

/// The answers.
pub(super) struct Cache {
    hold: Duration,
    shelves: Mutex<Shelves>,
    turns: [tokio::sync::Mutex<()>; TURNS],
}

impl Cache {
    /// Answers are believed for as long as `hold`.
    pub(super) fn new(hold: Duration) -> Cache {
        let shelves = Shelves { known: Shelf::new(KNOWN_MAX), unknown: Shelf::new(UNKNOWN_MAX), down: None };
        Cache { hold, shelves: Mutex::new(shelves), turns: std::array::from_fn(|_| Default::default()) }
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, key: &Key, now: Duration) -> Option<Result<Option<Vouched>, Condition>> {
        let shelves = self.shelves();
        if let Some(known) = shelves.known.get(key, now) {
            return Some(Ok(Some(known)));
        }
        if shelves.unknown.get(key, now).is_some() {
            return Some(Ok(None));
        }
        shelves.down.as_ref().filter(|d| d.until > now).map(|d| Err(d.what.clone()))
    }

    /// What is said of a token: what was said a moment ago, else what `ask` answers.
    pub(super) async fn get(
        &self,
        text: &str,
        clock: &dyn Clock,
        ask: Boxed<'_, Result<Option<Vouched>, Condition>>,
    ) -> Result<Option<Vouched>, Condition> {
        let key: Key = Sha256::digest(text.as_bytes()).into();
        if let Some(hit) = self.look(&key, clock.steady()) {
            return hit;
        }
        let _turn = self.turns[usize::from(key[0]) % TURNS].lock().await;
        if let Some(hit) = self.look(&key, clock.steady()) {
            return hit;
        }
        let said = ask.await;
        let now = clock.steady();
        let mut shelves = self.shelves();
        match &said {
            Ok(Some(v)) => shelves.known.put(key, now + self.hold, now, v.clone()),
            Ok(None) => shelves.unknown.put(key, now + self.hold.min(UNKNOWN_HOLD), now, ()),
            Err(why) => shelves.down = Some(Kept { until: now + PAUSE, what: why.clone() }),
        }
        drop(shelves);
        said
    }
}
