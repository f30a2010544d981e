//! The simulated disk: requests complete in the order of the seed, faults come from the seed, and a crash
//! leaves what a real medium might have kept.

mod faults;
mod medium;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Poll, Waker};

use parpen_base::{Buf, PAGE};
use parpen_engine::{Disk, DiskError};

pub use faults::Faults;
use medium::Medium;

use crate::rng::Rng;
use crate::trace::Trace;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Flush,
    Discard,
}

/// Where a request's end appears: shared by the medium, which ends it, and the future, which waits.
#[derive(Default)]
struct Outcome {
    result: Option<(Result<(), DiskError>, Option<Buf>)>,
    waker: Option<Waker>,
}

struct Pending {
    kind: Kind,
    first: usize,
    pages: usize,
    buf: Option<Buf>,
    submitted: u64,
    outcome: Rc<RefCell<Outcome>>,
}

impl Pending {
    fn overlaps(&self, first: usize, pages: usize) -> bool {
        self.first < first + pages && first < self.first + self.pages
    }
}

struct State {
    medium: Medium,
    faults: Faults,
    pending: Vec<Pending>,
    rng: Rng,
    /// Counts submissions and answers, so that "answered before submitted" is a comparison.
    now: u64,
    steps: u64,
    /// Writes and flushes that ended in an error of the medium since the last power cut.
    failures: u64,
    /// Reads that ended in an error, since the disk was made.
    failed_reads: u64,
    /// Faults that nobody was told of, since the disk was made.
    silent: u64,
    violation: Option<String>,
    trace: Trace,
    /// What the trace calls it.
    name: String,
    /// How often the disk was pulled out; handles from before get nothing but errors.
    life: u64,
}

/// A disk whose requests stand still until [`SimDisk::step`] ends one of them. Clones are handles of one
/// disk.
#[derive(Clone)]
pub struct SimDisk(Rc<RefCell<State>>, u64);

impl SimDisk {
    /// An empty disk of `size` bytes that writes `atomic` bytes (512 or 4096) at once.
    pub fn new(size: u64, atomic: usize, rng: Rng, trace: Trace) -> SimDisk {
        let state = Rc::new(RefCell::new(State {
            medium: Medium::new(size, atomic),
            faults: Faults::default(),
            pending: Vec::new(),
            rng,
            now: 0,
            steps: 0,
            failures: 0,
            failed_reads: 0,
            silent: 0,
            violation: None,
            trace,
            name: "disk".to_owned(),
            life: 0,
        }));
        SimDisk(state, 0)
    }

    /// The same disk; the trace calls it so.
    pub fn named(self, name: String) -> SimDisk {
        self.0.borrow_mut().name = name;
        self
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    /// Requests that wait for [`SimDisk::step`].
    pub fn pending(&self) -> usize {
        self.0.borrow().pending.len()
    }

    /// Requests that have ended so far.
    pub fn steps(&self) -> u64 {
        self.0.borrow().steps
    }

    /// Writes and flushes that ended in an error of the medium since the last power cut.
    pub fn failures(&self) -> u64 {
        self.0.borrow().failures
    }

    /// Reads that ended in an error, since the disk was made.
    pub fn failed_reads(&self) -> u64 {
        self.0.borrow().failed_reads
    }

    /// Faults that nobody was told of, since the disk was made.
    pub fn silent_faults(&self) -> u64 {
        self.0.borrow().silent
    }

    /// Pages that hold anything.
    pub fn held(&self) -> usize {
        self.0.borrow().medium.held()
    }

    /// What the engine did that no user of a disk may do: the first such thing.
    pub fn violation(&self) -> Option<String> {
        self.0.borrow().violation.clone()
    }

    /// Ends one waiting request, chosen by the seed; false if none waits.
    pub fn step(&self) -> bool {
        let mut state = self.0.borrow_mut();
        if state.pending.is_empty() {
            return false;
        }
        let waiting = state.pending.len();
        let i = if waiting == 1 { 0 } else { state.rng.below(waiting) };
        let mut request = state.pending.swap_remove(i);
        state.steps += 1;
        state.now += 1;
        let result = state.perform(&mut request);
        match (result, request.kind) {
            (Err(DiskError::Io), Kind::Read) => state.failed_reads += 1,
            (Err(DiskError::Io), _) => state.failures += 1,
            _ => {}
        }
        state.note(&request, result);
        drop(state);
        let mut outcome = request.outcome.borrow_mut();
        outcome.result = Some((result, request.buf.take()));
        let waker = outcome.waker.take();
        drop(outcome);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// A power cut. Requests under way are gone; what they and un-flushed writes left is any part of them.
    pub fn crash(&self) {
        self.cut(Medium::crash);
    }

    /// A power cut after which exactly these pages hold what was written last, and all others what was
    /// flushed.
    pub fn crash_keeping(&self, arrived: impl Fn(usize) -> bool) {
        self.cut(|medium, _| medium.crash_keeping(arrived));
    }

    fn cut(&self, settle: impl FnOnce(&mut Medium, &mut Rng)) {
        let mut state = self.0.borrow_mut();
        let State { medium, pending, rng, .. } = &mut *state;
        for request in pending.drain(..) {
            if let (Kind::Write, Some(buf)) = (request.kind, &request.buf) {
                for (i, bytes) in buf.chunks_exact(PAGE).enumerate() {
                    medium.write_unanswered(request.first + i, page_of(bytes));
                }
            }
        }
        settle(medium, rng);
        state.failures = 0;
        state.trace.note(1, || "== power cut".to_owned());
    }

    /// The disk is pulled out (with its power, if `power`): requests under way end in errors, and so does everything
    /// that is asked of handles from before. Any part of the writes that were under way has arrived. (What failed before
    /// is forgotten only with the power: until then reads show bytes that a failed flush left behind, and that no later
    /// one writes.)
    pub fn vanish(&self, power: bool) {
        if power {
            self.fail_pending();
            self.crash();
        } else {
            self.fail_pending();
        }
        self.0.borrow_mut().life += 1;
    }

    fn fail_pending(&self) {
        let mut state = self.0.borrow_mut();
        for mut request in std::mem::take(&mut state.pending) {
            let State { medium, rng, now, .. } = &mut *state;
            if let (Kind::Write, Some(buf)) = (request.kind, &request.buf) {
                for (i, bytes) in buf.chunks_exact(PAGE).enumerate() {
                    if rng.percent(50) {
                        medium.write(request.first + i, page_of(bytes), *now);
                    }
                }
            }
            let mut outcome = request.outcome.borrow_mut();
            outcome.result = Some((Err(DiskError::Io), request.buf.take()));
            outcome.waker.take().into_iter().for_each(Waker::wake);
        }
    }

    /// A handle of the disk as it is now, after it was pulled out.
    pub fn again(&self) -> SimDisk {
        let life = self.0.borrow().life;
        SimDisk(self.0.clone(), life)
    }

    /// A bit of a stored page flips for good; nobody is told.
    pub fn rot(&self, page: usize) {
        let mut state = self.0.borrow_mut();
        let (byte, bit) = (state.rng.below(PAGE), state.rng.below(8));
        if state.medium.holds(page) {
            state.medium.rot(page, |bytes| bytes[byte] ^= 1 << bit);
            state.silent += 1;
        }
    }

    /// The pages of the writes that wait.
    pub fn waiting_writes(&self) -> Vec<usize> {
        let state = self.0.borrow();
        state.pending.iter().filter(|p| p.kind == Kind::Write).map(|p| p.first).collect()
    }

    /// The page as a read would see it.
    pub fn peek(&self, page: usize) -> Vec<u8> {
        let mut out = vec![0; PAGE];
        self.0.borrow().medium.read(page, &mut out);
        out
    }

    fn submit(&self, kind: Kind, offset: u64, len: u64, buf: Option<Buf>) -> Rc<RefCell<Outcome>> {
        let outcome = Rc::new(RefCell::new(Outcome::default()));
        let mut state = self.0.borrow_mut();
        state.now += 1;
        if self.1 != state.life {
            outcome.borrow_mut().result = Some((Err(DiskError::Io), buf));
            return outcome;
        }
        if let Some(story) = state.breach(kind, offset, len) {
            state.violation.get_or_insert(story);
            outcome.borrow_mut().result = Some((Err(DiskError::Io), buf));
            return outcome;
        }
        let submitted = state.now;
        let (first, pages) = ((offset / PAGE as u64) as usize, (len / PAGE as u64) as usize);
        state.pending.push(Pending { kind, first, pages, buf, submitted, outcome: outcome.clone() });
        outcome
    }

    async fn request(
        &self,
        kind: Kind,
        offset: u64,
        len: u64,
        buf: Option<Buf>,
    ) -> (Result<(), DiskError>, Option<Buf>) {
        let outcome = self.submit(kind, offset, len, buf);
        std::future::poll_fn(|cx| {
            let mut outcome = outcome.borrow_mut();
            match outcome.result.take() {
                Some(done) => Poll::Ready(done),
                None => {
                    outcome.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl State {
    /// What this request breaks of the rules for users of a disk, if anything.
    fn breach(&self, kind: Kind, offset: u64, len: u64) -> Option<String> {
        let size = (self.medium.pages() * PAGE) as u64;
        let aligned = offset.is_multiple_of(PAGE as u64) && len.is_multiple_of(PAGE as u64);
        if !aligned || offset.checked_add(len).is_none_or(|end| end > size) {
            return Some(format!("{kind:?} of {len} bytes at {offset}: not within the disk or not aligned"));
        }
        let (first, pages) = ((offset / PAGE as u64) as usize, (len / PAGE as u64) as usize);
        let clash = |p: &&Pending| {
            matches!((p.kind, kind), (Kind::Write | Kind::Discard, Kind::Write | Kind::Discard))
                && p.overlaps(first, pages)
        };
        self.pending.iter().find(clash).map(|p| {
            let (kind2, first2, pages2) = (p.kind, p.first, p.pages);
            format!("{kind:?} of {pages} pages at page {first} while {kind2:?} of {pages2} at {first2} runs")
        })
    }

    fn note(&self, request: &Pending, result: Result<(), DiskError>) {
        let code = (request.kind as u64) << 56 ^ (request.first as u64) << 8 ^ u64::from(result.is_err());
        self.trace.note(code, || {
            let Pending { kind, first, pages, .. } = request;
            let end = match result {
                Ok(()) => "",
                Err(DiskError::NoSpace) => " -> no space",
                Err(DiskError::Io) => " -> error",
            };
            match kind {
                Kind::Flush => format!("      {} flush{end}", self.name),
                _ => format!("      {} {kind:?} page {first} +{pages}{end}", self.name),
            }
        });
    }

    fn perform(&mut self, request: &mut Pending) -> Result<(), DiskError> {
        match request.kind {
            Kind::Read => self.read(request),
            Kind::Write => self.write(request),
            Kind::Discard => {
                self.discard(request);
                Ok(())
            }
            Kind::Flush if self.rng.chance(self.faults.flush_error) => {
                self.medium.flush_failed(request.submitted, &mut self.rng);
                Err(DiskError::Io)
            }
            Kind::Flush => {
                self.medium.flush(request.submitted);
                Ok(())
            }
        }
    }

    /// Whether a silent fault of these odds strikes the page now.
    fn silently(&mut self, odds: u32, page: usize) -> bool {
        let strikes = self.faults.strikes(page) && self.rng.chance(odds);
        self.silent += u64::from(strikes);
        strikes
    }

    fn read(&mut self, request: &mut Pending) -> Result<(), DiskError> {
        if self.rng.chance(self.faults.read_error) {
            return Err(DiskError::Io);
        }
        let Some(buf) = &mut request.buf else { return Err(DiskError::Io) };
        for (i, out) in buf.chunks_exact_mut(PAGE).enumerate() {
            self.read_page(request.first + i, out);
        }
        Ok(())
    }

    fn read_page(&mut self, page: usize, out: &mut [u8]) {
        if self.silently(self.faults.rot, page) {
            let (byte, bit) = (self.rng.below(PAGE), self.rng.below(8));
            self.medium.rot(page, |bytes| bytes[byte] ^= 1 << bit);
        }
        let stray = self.silently(self.faults.stray_read, page);
        let from = if stray { elsewhere(&self.faults, &mut self.rng, page) } else { page };
        self.medium.read(from, out);
        if self.silently(self.faults.flipped_read, page) {
            out[self.rng.below(PAGE)] ^= 1 << self.rng.below(8);
        }
        // A write under way may be seen in part.
        for other in self.pending.iter().filter(|p| p.kind == Kind::Write && p.overlaps(page, 1)) {
            let Some(bytes) = &other.buf else { continue };
            let bytes = &bytes[(page - other.first) * PAGE..][..PAGE];
            for at in (0..PAGE).step_by(512).filter(|_| self.rng.percent(50)) {
                out[at..at + 512].copy_from_slice(&bytes[at..at + 512]);
            }
        }
    }

    fn write(&mut self, request: &mut Pending) -> Result<(), DiskError> {
        let Some(buf) = &request.buf else { return Err(DiskError::Io) };
        if self.rng.chance(self.faults.no_space) {
            return Err(DiskError::NoSpace);
        }
        if let Some(limit) = self.faults.host_pages {
            let fresh = (0..request.pages).filter(|i| !self.medium.holds(request.first + i)).count();
            if fresh > 0 && self.medium.held() + fresh > limit {
                return Err(DiskError::NoSpace);
            }
        }
        let failed = self.rng.chance(self.faults.write_error);
        for (i, bytes) in buf.chunks_exact(PAGE).enumerate() {
            let page = request.first + i;
            if (failed && self.rng.percent(50)) || self.silently(self.faults.lost_write, page) {
                continue;
            }
            let stray = self.silently(self.faults.stray_write, page);
            let to = if stray { elsewhere(&self.faults, &mut self.rng, page) } else { page };
            self.medium.write(to, page_of(bytes), self.now);
        }
        if failed { Err(DiskError::Io) } else { Ok(()) }
    }

    /// A hint: each page is given back or left alone.
    fn discard(&mut self, request: &Pending) {
        for page in request.first..request.first + request.pages {
            if self.faults.host_pages.is_some() || self.rng.percent(50) {
                self.medium.forget(page);
            }
        }
    }
}

fn page_of(bytes: &[u8]) -> medium::Page {
    Rc::new(bytes.try_into().expect("chunks of one page are one page"))
}

/// Another page that silent faults may strike, or the same one when there is no other.
fn elsewhere(faults: &Faults, rng: &mut Rng, page: usize) -> usize {
    let range = rng.pick(&faults.silent).clone();
    if range.is_empty() { page } else { range.start + rng.below(range.len()) }
}

impl Disk for SimDisk {
    fn size(&self) -> u64 {
        (self.0.borrow().medium.pages() * PAGE) as u64
    }

    async fn read(&self, offset: u64, buf: Buf) -> (Result<(), DiskError>, Buf) {
        let len = buf.len() as u64;
        let (result, buf) = self.request(Kind::Read, offset, len, Some(buf)).await;
        (result, buf.expect("a read brings its buffer home"))
    }

    async fn write(&self, offset: u64, buf: Buf) -> (Result<(), DiskError>, Buf) {
        let len = buf.len() as u64;
        let (result, buf) = self.request(Kind::Write, offset, len, Some(buf)).await;
        (result, buf.expect("a write brings its buffer home"))
    }

    async fn flush(&self) -> Result<(), DiskError> {
        self.request(Kind::Flush, 0, 0, None).await.0
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        self.request(Kind::Discard, offset, len, None).await.0
    }
}
