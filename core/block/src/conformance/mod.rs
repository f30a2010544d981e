//! ONE suite that every block device must pass. A device's crate calls [`run`] from a test; each case gets
//! a fresh device, uses it through the gate as everybody does, and panics with the reason when the device
//! is wrong.
//!
//! A device without a home is driven on the calling thread; one with a home on its home, which must be
//! running on a thread of its own.

mod cases;
mod random;
mod rig;

use std::sync::Arc;

use crate::BlockDevice;

pub use random::random;

/// A fresh device, and how to end what stands behind it.
pub struct TestDevice {
    device: Arc<dyn BlockDevice>,
    end: Option<Box<dyn FnOnce()>>,
}

impl TestDevice {
    /// A device that needs nothing but to be dropped.
    pub fn new(device: Arc<dyn BlockDevice>) -> TestDevice {
        TestDevice { device, end: None }
    }

    /// Calls `end` after the case, when all its queues are gone: to stop a reactor, to check a store's
    /// invariants.
    pub fn ending(mut self, end: impl FnOnce() + 'static) -> TestDevice {
        self.end = Some(Box::new(end));
        self
    }

    fn finish(mut self) {
        let end = self.end.take();
        drop(self.device);
        if let Some(end) = end {
            end();
        }
    }
}

/// Size of the devices that the cases ask for: no multiple of anything but a sector.
const SIZE: u64 = (1 << 20) + 3 * 512;

/// Runs every case. `make(size)` gives a device of exactly `size` bytes that was never written.
pub fn run(make: impl Fn(u64) -> TestDevice) {
    for (name, case) in cases::ALL {
        tracing::info!(name, "conformance");
        let device = make(SIZE);
        case(&device.device);
        device.finish();
    }
    for seed in 1..=4 {
        random(&make, seed, 60);
    }
}

#[cfg(test)]
mod tests;
