//! Any bytes as each structure of a checkpoint; once as they are, once with the checksum made right.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    parpen_engine::parse::checkpoint(bytes, false);
    parpen_engine::parse::checkpoint(bytes, true);
});
