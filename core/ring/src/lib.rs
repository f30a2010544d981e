//! One reactor per thread: io_uring, its thread-pool twin.
#![forbid(unsafe_code)]
