use proptest::prelude::*;

use super::*;
use crate::wire::Reader;

/// A chunk: flags, kind, and what it carries.
type Chunk = (u16, u16, Vec<u8>);

fn sent(gather: &Gather) -> Vec<u8> {
    gather.pieces().flatten().copied().collect()
}

fn parse(bytes: &[u8]) -> Vec<Chunk> {
    let mut r = Reader(bytes);
    let mut all = Vec::new();
    while let Some(magic) = r.u32() {
        assert_eq!(magic, 0x668e_33ef);
        let (flags, kind) = (r.u16().unwrap(), r.u16().unwrap());
        assert_eq!(r.u64(), Some(7), "the cookie");
        let len = r.u32().unwrap() as usize;
        all.push((flags, kind, r.bytes(len).unwrap().to_vec()));
    }
    let last = all.len() - 1;
    assert!(
        all.iter().enumerate().all(|(n, c)| (c.0 == 1) == (n == last)),
        "the last one and no other is marked"
    );
    all
}

fn read(offset: u64, whole: bool, all_zero: bool, bytes: &[u8]) -> Vec<Chunk> {
    let mut to = Gather::new();
    chunks(&mut to, 7, offset, whole, all_zero, Buf::copy_of(bytes));
    parse(&sent(&to))
}

/// What a client puts together from chunks; how many bytes of data were sent.
fn put_together(offset: u64, len: usize, chunks: &[Chunk]) -> (Vec<u8>, usize) {
    let (mut bytes, mut seen, mut data) = (vec![0xee; len], vec![false; len], 0);
    for (_, kind, body) in chunks {
        let mut r = Reader(body);
        let at = (r.u64().unwrap() - offset) as usize;
        let part = match kind {
            1 => r.0.to_vec(),
            2 => vec![0; r.u32().unwrap() as usize],
            other => panic!("a chunk of kind {other}"),
        };
        assert!(!part.is_empty());
        data += if *kind == 1 { part.len() } else { 0 };
        assert!(seen[at..at + part.len()].iter().all(|seen| !seen), "bytes came twice");
        seen[at..at + part.len()].fill(true);
        bytes[at..at + part.len()].copy_from_slice(&part);
    }
    assert!(seen.iter().all(|seen| *seen), "bytes are missing");
    (bytes, data)
}

#[test]
fn simple_replies_are_as_the_protocol_says() {
    assert_eq!(
        simple(Err(Errno::NoSpace), 0x0102_0304_0506_0708),
        *b"\x67\x44\x66\x98\0\0\0\x1c\x01\x02\x03\x04\x05\x06\x07\x08"
    );
    let mut to = Gather::new();
    assert!(simple_data(&mut to, 7, Buf::copy_of(b"few")).is_some(), "few bytes are copied");
    assert!(simple_data(&mut to, 7, Buf::copy_of(&[9; 513])).is_none(), "many are lent");
    assert_eq!(sent(&to).len(), 16 + 3 + 16 + 513);
}

#[test]
fn zeros_are_not_sent_unless_the_client_wants_one_piece() {
    let mut bytes = vec![5; 5 * PAGE];
    bytes[PAGE..3 * PAGE].fill(0);
    let (got, data) = put_together(PAGE as u64, bytes.len(), &read(PAGE as u64, false, false, &bytes));
    assert_eq!((got == bytes, data), (true, 3 * PAGE));
    let one = read(PAGE as u64, true, false, &bytes);
    assert_eq!((one.len(), one[0].1), (1, 1));
    let hole = read(0, true, true, &[0; 9000]);
    assert_eq!(hole, [(1, 2, b"\0\0\0\0\0\0\0\0\0\0\x23\x28".to_vec())]);
}

#[test]
fn errors_are_told_in_numbers_and_words() {
    let mut to = Gather::new();
    failure(&mut to, Shape::Chunks { whole: false }, IoError::DataLost, 7);
    assert_eq!(parse(&sent(&to)), [(1, 0x8001, b"\0\0\0\x05\0\x09data lost".to_vec())]);
    let mut to = Gather::new();
    failure(&mut to, Shape::Simple, IoError::NoSpace, 7);
    refusal(&mut to, Shape::SimpleData, Errno::Invalid, 7);
    assert_eq!(sent(&to), [simple(Err(Errno::NoSpace), 7), simple(Err(Errno::Invalid), 7)].concat());
}

fn told(one: bool, len: u32, pairs: &[(u64, u64)]) -> Vec<(u32, u32)> {
    let bytes: Vec<u8> = pairs.iter().flat_map(|(a, b)| [*a, *b]).flat_map(u64::to_le_bytes).collect();
    let mut to = Gather::new();
    map(&mut to, 7, one, len, &bytes);
    let chunks = parse(&sent(&to));
    assert_eq!((chunks.len(), chunks[0].1), (1, 5));
    let mut r = Reader(&chunks[0].2);
    assert_eq!(r.u32(), Some(ALLOCATION_ID));
    std::iter::from_fn(|| Some((r.u32()?, r.u32()?))).collect()
}

#[test]
fn maps_are_joined_bounded_and_never_empty() {
    assert_eq!(told(false, 100, &[(10, 0), (20, 1), (0, 0), (30, 1), (40, 0)]), [(10, 0), (50, 3), (40, 0)]);
    assert_eq!(told(true, 100, &[(10, 0), (90, 1)]), [(10, 0)]);
    assert_eq!(told(true, 100, &[(10, 1), (20, 1), (70, 0)]), [(30, 3)]);
    assert_eq!(told(false, 100, &[]), [(100, 0)]);
    assert_eq!(told(false, 100, &[(u64::MAX, 1)]), [(100, 3)], "no more than was asked for");
    let many: Vec<(u64, u64)> = (0..40_000).map(|n| (1, n % 2)).collect();
    assert_eq!(told(false, 40_000, &many).len(), MAX_STRETCHES);
}

proptest! {
    #[test]
    fn any_bytes_at_any_place_come_whole(offset in 0u64..20_000, blocks in proptest::collection::vec(any::<bool>(), 1..9), cut in 0usize..5000) {
        let bytes: Vec<u8> = blocks.iter().flat_map(|zero| vec![if *zero { 0 } else { 3 }; PAGE]).collect();
        let bytes = &bytes[cut.min(bytes.len() - 1)..];
        let (got, _) = put_together(offset, bytes.len(), &read(offset, false, false, bytes));
        prop_assert!(got == bytes);
    }
}
