//! Completions that a filter gives itself.

use std::collections::VecDeque;

use crate::{Completion, IoError, Request, Wake};

/// A bounded list of ready completions; it never grows past the room it was made with.
pub(crate) struct Answers {
    ready: VecDeque<Completion>,
    room: usize,
    wake: Wake,
}

impl Answers {
    /// Room for `depth` answers, at least one.
    pub(crate) fn new(depth: u16, wake: Wake) -> Answers {
        let room = usize::from(depth).max(1);
        Answers { ready: VecDeque::with_capacity(room), room, wake }
    }

    /// Ends a request with an error; gives it back when the earlier answers were not fetched yet.
    pub(crate) fn fail(&mut self, r: Request, why: IoError) -> Result<(), Request> {
        if self.ready.len() == self.room {
            return Err(r);
        }
        self.ready.push_back(Completion { tag: r.tag, result: Err(why), buf: r.buf, all_zero: false });
        self.wake.wake();
        Ok(())
    }

    /// The oldest answer.
    pub(crate) fn next(&mut self) -> Option<Completion> {
        self.ready.pop_front()
    }
}
