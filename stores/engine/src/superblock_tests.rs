use super::*;
use proptest::prelude::*;
use uuid::Uuid;

fn sb(sequence: u64) -> Superblock {
    Superblock {
        id: Identity { store: Uuid::from_u128(7), disk: Uuid::from_u128(8) },
        sequence,
        incompat: features::INCOMPAT,
        ro_compat: features::RO_COMPAT,
        disk_bytes: MIB,
        layout: Layout::tiny(),
        boot_epoch: sequence / 2,
        root: BlobRef { block: 77, indirect: false, len: 64, crc: 5 },
        wal_first_seq: 3,
        wal_first_pos: 4096,
        chain: 99,
    }
}

/// One letter per copy: `o` old (sequence 10), `n` new (11), `m` another new one (11, other root), `x`
/// damaged, `w` intact but standing in another copy's place.
fn copies(text: &str) -> [Copy4; COPIES] {
    let letters: Vec<char> = text.chars().collect();
    std::array::from_fn(|i| {
        let mut other = sb(11);
        other.root.block = 78;
        match letters[i] {
            'o' => decode(&sb(10).encode(i), i),
            'n' => decode(&sb(11).encode(i), i),
            'm' => decode(&other.encode(i), i),
            'w' => decode(&sb(11).encode((i + 1) % COPIES), i),
            _ => decode(&[0xa5; 4096], i),
        }
    })
}

#[test]
fn two_equal_copies_decide_and_the_newest_pair_wins() {
    let table = [
        ("oooo", Ok(10)), // at rest
        ("nooo", Ok(10)), // the first copy of a switch arrived
        ("nxox", Err(2)), // ... and two others rotted: no two agree
        ("nono", Ok(11)), // first half of a switch is durable
        ("xono", Ok(10)), // ... with one copy of it lost: the old pair still stands
        ("nnno", Ok(11)),
        ("nnnn", Ok(11)),
        ("nxxn", Ok(11)),
        ("xxnn", Ok(11)),
        ("nxxx", Err(1)),
        ("nmoo", Ok(10)), // two aborted switches of the same number do not add up
        ("nmnm", Ok(11)),
        ("wwww", Err(0)), // misdirected writes count as damage
        ("wwnn", Ok(11)),
        ("xxxx", Err(0)),
        ("onxx", Err(2)),
    ];
    for (text, want) in table {
        let got = quorum(&copies(text));
        match want {
            Ok(sequence) => assert_eq!(got.map(|v| v.chosen.sequence), Ok(sequence), "{text}"),
            Err(0) => assert_eq!(got, Err(OpenError::NotOurs), "{text}"),
            Err(valid) => assert_eq!(got, Err(OpenError::NoQuorum { valid }), "{text}"),
        }
    }
    assert_eq!(quorum(&copies("nono")).unwrap().stale, [false, true, false, true]);
    assert_eq!(quorum(&copies("nooo")).unwrap().max_sequence, 11, "an aborted switch uses its number up");
}

#[test]
fn newer_formats_and_features_are_named() {
    let patch = |at: usize, value: u8| {
        let mut block = sb(1).encode(0).to_vec();
        block[at] = value;
        block[12..16].fill(0);
        let crc = parpen_base::crc32c_seeded(0, &block);
        block[12..16].copy_from_slice(&crc.to_le_bytes());
        quorum(&[decode(&block, 0), Copy4::Bad, Copy4::Bad, Copy4::Bad])
    };
    assert_eq!(patch(HEADER, 2), Err(OpenError::NewerFormat { found: 2, known: 1 }));
    assert_eq!(patch(HEADER + 24, 4), Err(OpenError::UnknownFeatures { bits: 4 }));
    assert_eq!(patch(HEADER + 16, 4), Err(OpenError::UnknownFeatures { bits: 4 }));
    assert_eq!(
        patch(HEADER + 8, 1),
        Err(OpenError::NoQuorum { valid: 1 }),
        "compatible features are no hurdle"
    );
}

#[test]
fn the_copies_of_any_disk_lie_apart_and_outside_the_log() {
    for bytes in [MIB, 15 * MIB, 16 * MIB, 8 << 30, (16 << 40) + 4095] {
        let at = offsets(bytes);
        let wal = wal_start(bytes)..wal_start(bytes) + Layout::tiny().wal_bytes;
        for (i, a) in at.iter().enumerate() {
            assert!(a.is_multiple_of(BLOCK) && a + BLOCK <= bytes && !wal.contains(a));
            assert!(at[i + 1..].iter().all(|b| b != a));
        }
    }
}

proptest! {
    #[test]
    fn any_block_is_survived(seed in any::<u64>(), flips in proptest::collection::vec((0usize..4096, any::<u8>()), 0..6)) {
        let mut block = sb(seed % 1000).encode(0).to_vec();
        let whole = block.clone();
        for (at, value) in flips {
            block[at] = value;
        }
        if block == whole {
            prop_assert!(matches!(decode(&block, 0), Copy4::Good(_)));
        } else {
            prop_assert_eq!(decode(&block, 0), Copy4::Bad);
        }
    }

    #[test]
    fn any_fields_behind_a_right_checksum_are_survived(body in proptest::collection::vec(any::<u8>(), 200)) {
        let mut w = begin(Type::Superblock, sb(0).id);
        w.u16(FORMAT_MAJOR);
        w.bytes(&body);
        w.out.resize(4096, 0);
        decode(&seal(w), 0);
    }
}
