//! What the code under test says of itself, in the story of a history that somebody wants to read.

use std::fmt::Write;
use std::rc::Rc;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::trace::Trace;

thread_local! {
    static HEARS: std::cell::RefCell<Option<Rc<Trace>>> = const { std::cell::RefCell::new(None) };
}

struct Log;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let text = if field.name() == "message" {
            format!(" {value:?}")
        } else {
            format!(" {}={value:?}", field.name())
        };
        self.0.push_str(&text);
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        HEARS.with_borrow(|h| h.is_some())
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        // A string takes whatever is written to it.
        let _ = write!(line.0, "      {}", event.metadata().level());
        event.record(&mut line);
        HEARS.with_borrow(|h| h.iter().for_each(|trace| trace.say(line.0.clone())));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Runs `f`; what it logs becomes lines of the trace.
pub fn hearing<T>(trace: &Trace, f: impl FnOnce() -> T) -> T {
    HEARS.set(Some(Rc::new(trace.clone())));
    let out = tracing::subscriber::with_default(Log, f);
    HEARS.set(None);
    out
}
