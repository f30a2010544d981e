//! The ceilings of all volumes: whoever opens one, however often, shares its bucket, and a change reaches all who
//! have it open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use parpen_base::Clock;
use uuid::Uuid;

use crate::filter::{Limits, Shared, Throttle};
use crate::{BlockDevice, Timer};

/// For whom bytes move. Each class has a bucket of its own with the volume's ceilings, so that a copy takes nothing
/// from those who use the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Somebody's requests.
    Foreground,
    /// The service's own work.
    Background,
}

impl Class {
    const ALL: [Class; 2] = [Class::Foreground, Class::Background];
}

struct Entry {
    throttle: Weak<Shared>,
    revision: i64,
}

#[derive(Default)]
struct Known {
    all: HashMap<(Uuid, Class), Entry>,
    /// How many may be there before those that nobody has open any more are looked for.
    sweep_at: usize,
}

/// The ceilings in force. One for each process.
pub struct Ceilings {
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
    known: Mutex<Known>,
}

impl Ceilings {
    /// None yet.
    pub fn new(clock: Arc<dyn Clock>, timer: Arc<dyn Timer>) -> Ceilings {
        Ceilings { clock, timer, known: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing in here panics half-way through a change.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the volume's ceilings, as its row of that revision says, on a device of it.
    pub fn around(
        &self,
        id: Uuid,
        class: Class,
        (limits, revision): (Limits, i64),
        device: Arc<dyn BlockDevice>,
    ) -> Arc<dyn BlockDevice> {
        let mut known = self.lock();
        let live = known.all.get(&(id, class)).and_then(|e| Throttle::upgrade(&e.throttle));
        let throttle = match live {
            Some(throttle) => {
                known.change((id, class), &throttle, (limits, revision));
                throttle
            }
            None => {
                known.sweep();
                let throttle = Throttle::new(self.clock.clone(), self.timer.clone(), limits);
                known.all.insert((id, class), Entry { throttle: throttle.downgrade(), revision });
                throttle
            }
        };
        Arc::new(throttle.around(device))
    }

    /// The row of that revision says so: all who have the volume open are bound by it from now on.
    pub fn set(&self, id: Uuid, (limits, revision): (Limits, i64)) {
        let mut known = self.lock();
        for class in Class::ALL {
            let live = known.all.get(&(id, class)).and_then(|e| Throttle::upgrade(&e.throttle));
            if let Some(throttle) = live {
                known.change((id, class), &throttle, (limits, revision));
            }
        }
    }
}

impl Known {
    /// What an older row says is no longer so.
    fn change(&mut self, key: (Uuid, Class), throttle: &Throttle, (limits, revision): (Limits, i64)) {
        let Some(entry) = self.all.get_mut(&key).filter(|e| e.revision <= revision) else { return };
        entry.revision = revision;
        if throttle.limits() != limits {
            throttle.set(limits);
        }
    }

    fn sweep(&mut self) {
        if self.all.len() >= self.sweep_at {
            self.all.retain(|_, e| e.throttle.strong_count() > 0);
            self.sweep_at = 2 * self.all.len() + 64;
        }
    }
}

#[cfg(test)]
#[path = "ceilings_tests.rs"]
mod tests;
