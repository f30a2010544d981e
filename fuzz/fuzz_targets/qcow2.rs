//! Any bytes as an image: read to the end or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    parpen_image::qcow2::survives(bytes);
});
