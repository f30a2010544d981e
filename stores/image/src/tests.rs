//! Written and read again; hostile files.

use std::io::Cursor;

use parpen_model::Condition;
use proptest::prelude::*;

use crate::disk::Disk;
use crate::qcow2::{Qcow2, Writer, survives};

const CLUSTER: u64 = Writer::<Cursor<Vec<u8>>>::CLUSTER;

/// A qcow2 file of a disk that has these clusters.
fn written(size: u64, clusters: &[(u64, u8)]) -> Vec<u8> {
    let mut w = Writer::new(Cursor::new(Vec::new()), size).unwrap();
    for (number, value) in clusters {
        let len = (size - number * CLUSTER).min(CLUSTER);
        w.put(*number, &vec![*value; len as usize]).unwrap();
    }
    w.finish().unwrap().into_inner()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        sectors in 1u64..3_000_000,
        picks in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 0..6),
    ) {
        let size = sectors * 512;
        let count = size.div_ceil(CLUSTER) as usize;
        let mut clusters: Vec<(u64, u8)> = picks.iter().map(|(i, v)| (i.index(count) as u64, *v)).collect();
        clusters.sort_unstable();
        clusters.dedup_by_key(|c| c.0);
        let bytes = written(size, &clusters);
        let mut disk = Disk::Qcow2(Qcow2::open(bytes.as_slice()).unwrap());
        prop_assert_eq!(disk.size(), size);
        for number in clusters.iter().flat_map(|(n, _)| [n.saturating_sub(1), *n, n + 1]) {
            if number * CLUSTER >= size {
                continue;
            }
            let want = clusters.iter().find(|(n, _)| *n == number).map_or(0, |(_, v)| *v);
            let mut buf = vec![77; (size - number * CLUSTER).min(CLUSTER) as usize];
            disk.read(number * CLUSTER, &mut buf).unwrap();
            prop_assert!(buf.iter().all(|b| *b == want), "cluster {number}");
        }
    }

    /// Whatever is done to a good file, reading it ends in bytes or a refusal.
    #[test]
    fn hostile_files_end_in_a_refusal(at in 0usize..70_000, value: u8, cut in prop::option::of(0usize..200_000)) {
        let mut bytes = written(9 * CLUSTER, &[(0, 1), (3, 2), (8, 3)]);
        bytes[at] = value;
        bytes.truncate(cut.unwrap_or(usize::MAX));
        survives(&bytes);
    }

    #[test]
    fn any_header_ends_in_a_refusal(tail in prop::collection::vec(any::<u8>(), 0..4096)) {
        survives(&[&[0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3], tail.as_slice()].concat());
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_the_reason() {
    let good = written(CLUSTER, &[(0, 1)]);
    let with = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        match Qcow2::open(file.as_slice()) {
            Err(Condition::Invalid { why, .. }) => why,
            Err(other) => panic!("{other:?}"),
            Ok(_) => "read".to_string(),
        }
    };
    assert_eq!(with(0, b"Q"), "read");
    for (at, bytes, reason) in [
        (0, &b"R"[..], "is no qcow2 file"),
        (7, &[4], "versions 2 and 3"),
        (15, &[9], "backing file"),
        (23, &[31], "its clusters are of a size"),
        (24, &[255], "larger than any volume"),
        (35, &[1], "encrypted"),
        (36, &[0, 0, 0, 0], "first table"),
        (40, &[255; 8], "first table lies outside"),
        (79, &[2], "corrupt"),
        (79, &[4], "another file"),
        (79, &[16], "extended L2"),
        (79, &[32], "not known here"),
    ] {
        assert!(with(at, bytes).contains(reason), "{reason}: {}", with(at, bytes));
    }
}
