//! What lies on the medium, what only its cache holds, and what a power cut makes of both.

use std::ops::Range;
use std::rc::Rc;

use parpen_base::PAGE;

use crate::rng::Rng;

/// Bytes of one page, shared between the views that agree on it.
pub type Page = Rc<[u8; PAGE]>;

/// One page of one answered or still running write that no flush has covered.
struct Cached {
    page: usize,
    bytes: Page,
    /// When it was answered; a flush covers what was answered before it was submitted.
    answered: u64,
}

/// Two images that share pages: what reads see, and what surely survives a power cut.
pub struct Medium {
    view: Vec<Option<Page>>,
    durable: Vec<Option<Page>>,
    cached: Vec<Cached>,
    /// Bytes that the medium writes at once: 512, or 4096 for media that promise whole blocks.
    atomic: usize,
}

/// How a power cut chooses among the writes that no flush covered.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Nothing of the cache arrived.
    Nothing,
    /// All of it did.
    Everything,
    /// The first writes did, the later ones did not.
    Prefix(u64),
    /// Each page of each write by itself.
    Pages,
    /// Each atomic unit by itself, from any of its writes.
    Units,
}

impl Medium {
    /// An empty medium of `size` bytes.
    pub fn new(size: u64, atomic: usize) -> Medium {
        let pages = (size / PAGE as u64) as usize;
        Medium { view: vec![None; pages], durable: vec![None; pages], cached: Vec::new(), atomic }
    }

    /// Size in pages.
    pub fn pages(&self) -> usize {
        self.view.len()
    }

    /// Pages that hold anything: what a sparse file would cost its host.
    pub fn held(&self) -> usize {
        self.view.iter().flatten().count()
    }

    /// Whether a page holds anything.
    pub fn holds(&self, page: usize) -> bool {
        self.view[page].is_some()
    }

    /// What a read of the page finds now.
    pub fn read(&self, page: usize, out: &mut [u8]) {
        match &self.view[page] {
            Some(bytes) => out.copy_from_slice(&bytes[..]),
            None => out.fill(0),
        }
    }

    /// A write of one page that was answered at `answered`: readable at once, durable after a flush.
    pub fn write(&mut self, page: usize, bytes: Page, answered: u64) {
        self.view[page] = Some(bytes.clone());
        self.cached.push(Cached { page, bytes, answered });
    }

    /// A write that the power cut met before its answer: some of it may have arrived.
    pub fn write_unanswered(&mut self, page: usize, bytes: Page) {
        self.cached.push(Cached { page, bytes, answered: u64::MAX });
    }

    /// The page holds nothing any more.
    pub fn forget(&mut self, page: usize) {
        self.view[page] = None;
        self.durable[page] = None;
        self.cached.retain(|c| c.page != page);
    }

    /// Everything answered before `submitted` is durable.
    pub fn flush(&mut self, submitted: u64) {
        let durable = &mut self.durable;
        self.cached.retain(|c| {
            let covered = c.answered < submitted;
            if covered {
                durable[c.page] = Some(c.bytes.clone());
            }
            !covered
        });
    }

    /// A flush that failed: of what it should have covered any part arrived, and nothing will try again,
    /// though reads go on seeing it (what Linux does with pages whose write-back failed).
    pub fn flush_failed(&mut self, submitted: u64, rng: &mut Rng) {
        let (lost, kept) = std::mem::take(&mut self.cached).into_iter().partition(|c| c.answered < submitted);
        self.cached = lost;
        self.settle(Cut::Units, rng);
        self.cached = kept;
    }

    /// A power cut: what was not flushed arrived in part, and only what arrived is there afterwards.
    pub fn crash(&mut self, rng: &mut Rng) {
        let cut = match rng.below(8) {
            0 => Cut::Nothing,
            1 => Cut::Everything,
            2 => Cut::Prefix(rng.next()),
            3 | 4 => Cut::Pages,
            _ => Cut::Units,
        };
        self.settle(cut, rng);
        self.view.clone_from(&self.durable);
    }

    /// A power cut of which a test says which pages' last writes arrived.
    pub fn crash_keeping(&mut self, arrived: impl Fn(usize) -> bool) {
        for c in std::mem::take(&mut self.cached) {
            if arrived(c.page) {
                self.durable[c.page] = Some(c.bytes);
            }
        }
        self.view.clone_from(&self.durable);
    }

    /// Decides for every cached page which of its versions the medium keeps.
    fn settle(&mut self, cut: Cut, rng: &mut Rng) {
        let mut cached = std::mem::take(&mut self.cached);
        if let Cut::Prefix(n) = cut {
            cached.truncate(n as usize % (cached.len() + 1));
        }
        if matches!(cut, Cut::Nothing) {
            return;
        }
        // A stable sort: versions of one page stay in the order in which they were written.
        cached.sort_by_key(|c| c.page);
        for versions in cached.chunk_by(|a, b| a.page == b.page) {
            let page = versions[0].page;
            match cut {
                Cut::Units if self.atomic < PAGE => self.settle_units(page, versions, rng),
                Cut::Everything | Cut::Prefix(_) => {
                    self.durable[page] = versions.last().map(|c| c.bytes.clone());
                }
                _ => {
                    if let Some(i) = rng.below(versions.len() + 1).checked_sub(1) {
                        self.durable[page] = Some(versions[i].bytes.clone());
                    }
                }
            }
        }
    }

    fn settle_units(&mut self, page: usize, versions: &[Cached], rng: &mut Rng) {
        let mut mixed = match &self.durable[page] {
            Some(bytes) => **bytes,
            None => [0; PAGE],
        };
        for at in (0..PAGE).step_by(self.atomic) {
            let unit: Range<usize> = at..at + self.atomic;
            if let Some(i) = rng.below(versions.len() + 1).checked_sub(1) {
                mixed[unit.clone()].copy_from_slice(&versions[i].bytes[unit]);
            }
        }
        self.durable[page] = Some(Rc::new(mixed));
    }

    /// Changes stored bytes behind everybody's back, in every image: rot.
    pub fn rot(&mut self, page: usize, change: impl Fn(&mut [u8; PAGE])) {
        for image in [&mut self.view, &mut self.durable] {
            if let Some(bytes) = &mut image[page] {
                change(Rc::make_mut(bytes));
            }
        }
        for c in self.cached.iter_mut().filter(|c| c.page == page) {
            change(Rc::make_mut(&mut c.bytes));
        }
    }
}
