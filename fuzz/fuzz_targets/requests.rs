//! Any bytes as a client's stream of NBD requests.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parpen_nbd::fuzz::requests(bytes));
