//! Any bytes as a stored segment of a backup: read to the end or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    parpen_archive::segment_survives(bytes);
});
