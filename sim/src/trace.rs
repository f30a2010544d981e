//! What happened in a history: a digest always, readable lines when somebody wants to read them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Shared by the disk and the driver of one history. Clones are the same trace.
#[derive(Clone, Default)]
pub struct Trace(Rc<Inner>);

#[derive(Default)]
struct Inner {
    digest: Cell<u64>,
    lines: Option<RefCell<Vec<String>>>,
}

impl Trace {
    /// A trace that keeps its lines if `keep` is set.
    pub fn new(keep: bool) -> Trace {
        Trace(Rc::new(Inner { digest: Cell::new(0), lines: keep.then(RefCell::default) }))
    }

    /// Notes an event: `code` goes into the digest, the text is made only when lines are kept.
    pub fn note(&self, code: u64, text: impl FnOnce() -> String) {
        let mixed = (self.0.digest.get() ^ code).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        self.0.digest.set(mixed);
        if let Some(lines) = &self.0.lines {
            lines.borrow_mut().push(text());
        }
    }

    /// A line that is no event of the history.
    pub fn say(&self, text: String) {
        if let Some(lines) = &self.0.lines {
            lines.borrow_mut().push(text);
        }
    }

    /// A number that two runs share only if they did the same things in the same order.
    pub fn digest(&self) -> u64 {
        self.0.digest.get()
    }

    /// The lines so far; empty when they are not kept.
    pub fn lines(&self) -> Vec<String> {
        self.0.lines.as_ref().map(|lines| lines.borrow().clone()).unwrap_or_default()
    }
}
