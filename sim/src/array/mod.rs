//! Several disks as one store (`stores/array`): disks that go away, come back old or new, slow down, fill up, fail and
//! rot, with power cuts of all, while volumes are used and moved.
//!
//! The oracle knows how many copies each tree of volumes was promised and which disks are out. While fewer are out
//! than there are copies, nothing that was answered may be lost or refused; otherwise a request may say that it cannot
//! be served, but never show anything else than what a flush covered or a later write.

mod actions;
mod disks;
mod history;
mod judge;
mod requests;
mod world;

pub(crate) use history::run;
