//! Any bytes as one record of the log with its operations; once as they are, once with the checksum made
//! right.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    parpen_engine::parse::record(bytes, false);
    parpen_engine::parse::record(bytes, true);
});
