//! Any bytes as one block as each copy of the superblock; once as they are, once with the checksum made
//! right.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    parpen_engine::parse::superblock(bytes, false);
    parpen_engine::parse::superblock(bytes, true);
});
