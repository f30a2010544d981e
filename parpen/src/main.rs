//! The parpen binary.
#![forbid(unsafe_code)]
fn main() {}
