//! Any bytes as a client's side of an NBD handshake, in pieces that the first byte of each measures.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parpen_nbd::fuzz::handshake(bytes));
