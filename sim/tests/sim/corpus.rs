//! The seeds of the fuzz targets, through the same functions on a stable compiler.

use std::path::PathBuf;

use parpen_engine::parse;
use parpen_nbd::fuzz;

/// `(file, bytes)` of a target's seeds.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds")).join(target);
    let files = std::fs::read_dir(&folder)
        .expect("the seeds are committed")
        .map(|entry| entry.expect("it can be listed").path());
    let seeds: Vec<_> =
        files.map(|file| (file.clone(), std::fs::read(file).expect("a seed can be read"))).collect();
    assert!(seeds.len() >= 4, "{} has too few seeds", folder.display());
    seeds
}

/// Every seed is accepted as it is; no prefix of it and no flipped bit of it is, and none of them panics.
fn is_a_structure(target: &str, parse: fn(&[u8], bool) -> bool) {
    for (file, bytes) in seeds(target) {
        assert!(parse(&bytes, false), "{} is no {target}", file.display());
        for len in (0..bytes.len()).step_by(bytes.len().div_ceil(64)) {
            assert!(!parse(&bytes[..len], false), "{} cut to {len} bytes", file.display());
            parse(&bytes[..len], true);
        }
        let mut flipped = bytes.clone();
        for at in (0..bytes.len()).step_by(bytes.len().div_ceil(256)) {
            flipped[at] ^= 0x10;
            assert!(!parse(&flipped, false), "{} with byte {at} flipped", file.display());
            parse(&flipped, true);
            flipped[at] ^= 0x10;
        }
    }
}

#[test]
fn superblocks() {
    is_a_structure("superblock", parse::superblock);
}

#[test]
fn log_records() {
    is_a_structure("record", parse::record);
}

#[test]
fn checkpoints() {
    is_a_structure("checkpoint", parse::checkpoint);
}

#[test]
fn nbd_handshakes_and_requests() {
    for (target, parse) in [("handshake", fuzz::handshake as fn(&[u8])), ("requests", fuzz::requests)] {
        for (_, bytes) in seeds(target) {
            (0..=bytes.len()).step_by(bytes.len().div_ceil(512).max(1)).for_each(|len| parse(&bytes[..len]));
            parse(&bytes);
        }
    }
}

#[test]
fn the_seeds_are_what_a_disk_holds() {
    let made = parpen_sim::corpus::structures().unwrap();
    for target in ["superblock", "record", "checkpoint"] {
        assert!(made.iter().filter(|(t, _)| *t == target).count() >= 4, "{target}");
    }
    assert!(made.iter().all(|(target, bytes)| match *target {
        "superblock" => parse::superblock(bytes, false),
        "record" => parse::record(bytes, false),
        _ => parse::checkpoint(bytes, false),
    }));
}
