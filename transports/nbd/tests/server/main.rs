//! The running server: over memory devices behind a real gate, with a raw client and with those that people use.
#![allow(clippy::unwrap_used)] // helpers of tests, which the lint does not know as such

mod client;
mod devices;
mod hostile;
mod house;
mod limits;
mod requests;
mod tools;

use house::House;
use parpen_ring::{Backend, Reactor};

/// Runs `test` over each backend that this machine has.
fn over_both(test: impl Fn(&House)) {
    match Reactor::start("probe", Backend::Uring) {
        Ok(probe) => {
            probe.shutdown();
            probe.join().unwrap();
            test(&House::open(Backend::Uring));
        }
        Err(refused) => eprintln!("skipped over io_uring, which is refused here: {refused}"),
    }
    test(&House::open(Backend::Threads));
}
