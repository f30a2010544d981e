//! Work that must stay on one thread, reached from others by number.
//!
//! A queue is not `Send`, and [`Home::run`] takes only what is. So whatever owns a queue is kept in a table
//! of its thread, and other threads send that thread the number.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{Home, Wake};

/// Does what can be done now; `true` when nothing is left and it may be dropped.
pub(crate) type Pump = Box<dyn FnMut() -> bool>;

enum Slot {
    Idle(Pump),
    /// Being run further up this thread's stack; `again` asks for one more round.
    Running {
        again: bool,
    },
}

thread_local! {
    static KEPT: RefCell<HashMap<u64, Slot>> = RefCell::new(HashMap::new());
}

/// A number that no other pump of this process has.
pub(crate) fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Keeps `pump` on this thread. When the thread is ending it is dropped instead.
pub(crate) fn keep(number: u64, pump: Pump) {
    let late = KEPT.try_with(|kept| kept.borrow_mut().insert(number, Slot::Idle(pump)));
    drop(late);
}

/// Runs the pump of that number, if this thread keeps it, and drops it when it is done.
pub(crate) fn poke(number: u64) {
    let Some(mut pump) = take(number) else { return };
    loop {
        let done = pump();
        let next = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            let again = matches!(kept.remove(&number), Some(Slot::Running { again: true }));
            match (done, again) {
                (true, _) => Some(pump),
                (false, true) => {
                    kept.insert(number, Slot::Running { again: false });
                    Some(pump)
                }
                (false, false) => {
                    kept.insert(number, Slot::Idle(pump));
                    None
                }
            }
        });
        match next {
            Ok(Some(back)) if !done => pump = back,
            // A finished pump is dropped here, outside the borrow: what it owns may come back to this table.
            _ => return,
        }
    }
}

fn take(number: u64) -> Option<Pump> {
    KEPT.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        match kept.remove(&number)? {
            Slot::Idle(pump) => {
                kept.insert(number, Slot::Running { again: false });
                Some(pump)
            }
            Slot::Running { .. } => {
                kept.insert(number, Slot::Running { again: true });
                None
            }
        }
    })
    .ok()?
}

/// Pokes one pump on its home from any thread; pokes that meet are one.
pub(crate) struct Poker {
    home: Arc<dyn Home>,
    number: u64,
    sent: AtomicBool,
    lost: Box<dyn Fn() + Send + Sync>,
}

impl Poker {
    /// `lost` is called, on any thread, when the home has ended without running a poke.
    pub(crate) fn new(
        home: Arc<dyn Home>,
        number: u64,
        lost: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Poker> {
        Arc::new(Poker { home, number, sent: AtomicBool::new(false), lost: Box::new(lost) })
    }

    pub(crate) fn poke(self: &Arc<Poker>) {
        if self.sent.swap(true, Ordering::SeqCst) {
            return;
        }
        let mut errand = Errand { poker: Arc::clone(self), ran: false };
        self.home.run(Box::new(move || {
            errand.ran = true;
            // Cleared before the pump runs: what it does not see is announced by a poke after this line.
            errand.poker.sent.store(false, Ordering::SeqCst);
            poke(errand.poker.number);
        }));
    }

    /// A wake that pokes.
    pub(crate) fn wake(self: &Arc<Poker>) -> Wake {
        let poker = Arc::clone(self);
        Wake::new(move || poker.poke())
    }
}

struct Errand {
    poker: Arc<Poker>,
    ran: bool,
}

impl Drop for Errand {
    fn drop(&mut self) {
        if !self.ran {
            (self.poker.lost)();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn runs_until_done_and_once_more_when_poked_meanwhile() {
        let (n, rounds) = (number(), Rc::new(Cell::new(0)));
        let seen = Rc::clone(&rounds);
        keep(
            n,
            Box::new(move || {
                seen.set(seen.get() + 1);
                if seen.get() == 1 {
                    poke(n);
                }
                seen.get() == 3
            }),
        );
        poke(n);
        assert_eq!(rounds.get(), 2);
        poke(n);
        assert_eq!((rounds.get(), Rc::strong_count(&rounds)), (3, 1));
        poke(n);
        assert_eq!(rounds.get(), 3);
    }
}
