//! The driver of the work behind the scenes: step, then rest as long as the class of the work says.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parpen_base::MIB;
use parpen_engine::sync::{Either, either};

use crate::local::{LocalTask, here};
use crate::mover::{Class, Did};

/// Starts a task on the thread that calls it: `parpen_ring::spawn_local`, or a simulator's.
pub type Spawn = fn(LocalTask<'static, ()>);

/// Ends after a time, on the thread that calls it.
pub type Sleep = fn(Duration) -> LocalTask<'static, ()>;

/// What an array's thread gives it.
#[derive(Clone, Copy)]
pub struct Host {
    /// Starts tasks.
    pub spawn: Spawn,
    /// Waits.
    pub sleep: Sleep,
}

impl Host {
    /// The reactor of the thread.
    pub fn ring() -> Host {
        Host {
            spawn: |task| parpen_ring::spawn_local(task),
            sleep: |time| Box::pin(parpen_ring::sleep(time)),
        }
    }
}

/// How fast work behind the scenes may be, in bytes per second, by class. While requests come in it takes half of
/// that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Bringing disks back, restoring copies.
    pub recovery: u64,
    /// Emptying disks.
    pub eject: u64,
    /// Balancing.
    pub balance: u64,
    /// Scrubbing.
    pub scrub: u64,
}

impl Default for Rates {
    fn default() -> Rates {
        Rates { recovery: 256 * MIB, eject: 128 * MIB, balance: 64 * MIB, scrub: 32 * MIB }
    }
}

/// A turn moves about as much as may be moved in this part of a second.
const TURNS: u64 = 32;

/// Others get their turn after every step, also one that moved nothing.
const BREATH: Duration = Duration::from_micros(200);

impl Rates {
    fn of(&self, class: Class) -> u64 {
        let rate = match class {
            Class::Recovery => self.recovery,
            Class::Eject => self.eject,
            Class::Balance => self.balance,
            Class::Scrub => self.scrub,
        };
        rate.max(1)
    }

    fn turn(&self) -> u64 {
        let slowest = self.recovery.min(self.eject).min(self.balance).min(self.scrub);
        (slowest / TURNS).max(1)
    }

    /// How long to rest after a step.
    fn rest(&self, did: Did, class: Class, busy: bool) -> Duration {
        let micros = (u128::from(did.bytes) * 1_000_000 / u128::from(self.of(class))) as u64;
        Duration::from_micros(micros * if busy { 2 } else { 1 }).max(BREATH)
    }
}

/// How often it is looked whether disks have drifted apart, and how long an era lasts in which something is written: a
/// copy of a disk that is older is known as one.
const LOOK: Duration = Duration::from_secs(600);

/// Works for the array with this key until it leaves its thread.
pub(crate) async fn drive(key: u64, host: Host, rates: Arc<Mutex<Rates>>) {
    let mut seen = 0;
    let mut look = (host.sleep)(LOOK);
    while let Some(array) = here(key) {
        let now = *rates.lock().unwrap_or_else(PoisonError::into_inner);
        let work = array.until_work();
        let did = array.step(now.turn()).await;
        let requests = array.requests();
        let woken = match did.class {
            None => either(work, look.as_mut()).await,
            Some(class) => {
                drop(work);
                drop(array);
                either((host.sleep)(now.rest(did, class, requests != seen)), look.as_mut()).await
            }
        };
        seen = requests;
        if woken == Either::Second {
            look = (host.sleep)(LOOK);
            look_after(key).await;
        }
    }
}

/// What is due now and then, whether or not there is work.
async fn look_after(key: u64) {
    let Some(array) = here(key) else { return };
    array.look_at_fill();
    if let Err(error) = array.renew().await {
        tracing::warn!(%error, "no new era could be begun");
    }
}
