//! What the engine's tests share: a one-task executor and a small disk.
#![allow(dead_code, clippy::unwrap_used)] // each test binary uses its part; a panic is how a test fails

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parpen_base::SeededEntropy;
use parpen_engine::{Engine, Format, Layout, OpenError, RamDisk, Sound};
use uuid::Uuid;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a future to its end on this thread; a future that waits for nothing is a bug.
pub fn block_on<F: Future>(f: F) -> F::Output {
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(flag.clone());
    let mut f = pin!(f);
    loop {
        if let Poll::Ready(v) = f.as_mut().poll(&mut Context::from_waker(&waker)) {
            return v;
        }
        assert!(flag.0.swap(false, Ordering::Relaxed), "the future waits for something that never comes");
    }
}

pub type Ram = Engine<RamDisk, Sound>;

pub fn formatted(bytes: u64, layout: Layout) -> RamDisk {
    let disk = RamDisk::new(bytes);
    let format = Format { store: Uuid::from_u128(0x57), disk: Uuid::from_u128(0xd1), layout };
    block_on(Ram::format(&disk, format)).unwrap();
    disk
}

pub fn try_open(disk: &RamDisk, seed: u64) -> Result<Rc<Ram>, OpenError> {
    block_on(Ram::open(disk.clone(), Arc::new(SeededEntropy::new(seed))))
}

pub fn open(disk: &RamDisk) -> Rc<Ram> {
    try_open(disk, disk.resident()).unwrap()
}

pub fn assert_sound(e: &Ram) {
    let violations = block_on(e.fsck(true)).unwrap();
    assert!(violations.is_empty(), "{violations:?}");
}
