//! Who may change a volume now: any number of whole-sector requests, or one that completes sectors.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Wake;

/// How a request stands to others of its volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It changes nothing.
    Free,
    /// It changes whole sectors.
    Shared,
    /// It completes sectors: nothing else may change the volume meanwhile.
    Alone,
}

/// The turns of one volume, shared by all its queues. Clones are the same.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    shared: usize,
    alone: bool,
    /// Seats that wait to be alone: nobody new shares before them.
    wanting: Vec<u64>,
    seats: Vec<(u64, Wake)>,
    number: u64,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic leaves the state half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody else has them.
    pub fn is_used(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// A queue's seat; it is woken when a turn ends that it may be waiting for.
    pub(super) fn join(&self, wake: Wake) -> Seat {
        let mut state = self.lock();
        state.number += 1;
        let number = state.number;
        state.seats.push((number, wake));
        drop(state);
        Seat { turns: self.clone(), number }
    }
}

/// One queue's part in the turns.
pub(super) struct Seat {
    turns: Turns,
    number: u64,
}

impl Seat {
    /// Whether a turn begins now; if not, it is to be asked for again after the wake.
    pub(super) fn enter(&self, turn: Turn) -> bool {
        let mut state = self.turns.lock();
        match turn {
            Turn::Free => true,
            Turn::Shared => {
                let mine = state.wanting.iter().all(|n| *n == self.number);
                let may = !state.alone && mine;
                state.shared += usize::from(may);
                may
            }
            Turn::Alone => {
                let may = !state.alone && state.shared == 0;
                if may {
                    state.alone = true;
                    state.wanting.retain(|n| *n != self.number);
                } else if !state.wanting.contains(&self.number) {
                    state.wanting.push(self.number);
                }
                may
            }
        }
    }

    /// Ends a turn that began.
    pub(super) fn leave(&self, turn: Turn) {
        let mut state = self.turns.lock();
        match turn {
            Turn::Free => return,
            Turn::Shared => state.shared -= 1,
            Turn::Alone => state.alone = false,
        }
        let over = state.shared == 0 && !state.alone;
        let woken: Vec<Wake> = match over {
            true => state.seats.iter().filter(|(n, _)| *n != self.number).map(|(_, w)| w.clone()).collect(),
            false => Vec::new(),
        };
        drop(state);
        woken.iter().for_each(Wake::wake);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        state.seats.retain(|(n, _)| *n != self.number);
        state.wanting.retain(|n| *n != self.number);
        let woken: Vec<Wake> = state.seats.iter().map(|(_, w)| w.clone()).collect();
        drop(state);
        woken.iter().for_each(Wake::wake);
    }
}
