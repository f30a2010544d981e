//! What a device must do, one case at a time.

use std::sync::Arc;

use parpen_base::Buf;

use crate::{BlockDevice, IoError, Op, Rights};

use super::SIZE;
use super::rig::{Rig, request};

type Case = fn(&Arc<dyn BlockDevice>);

pub(super) const ALL: &[(&str, Case)] = &[
    ("says what it is", says_what_it_is),
    ("is zero at first", is_zero_at_first),
    ("reads what was written", reads_what_was_written),
    ("later writes win, byte by byte", later_writes_win),
    ("zeroes exactly the range", zeroes_exactly_the_range),
    ("discards no more than the range", discards_no_more_than_the_range),
    ("flushes and writes through", flushes_and_writes_through),
    ("answers each request once", answers_each_request_once),
    ("is never fuller than its depth", is_never_fuller_than_its_depth),
    ("refuses what is wrong", refuses_what_is_wrong),
    ("is read-only for readers", is_read_only_for_readers),
    ("maps what it holds", maps_what_it_holds),
    ("shows every queue the same bytes", shows_every_queue_the_same_bytes),
    ("finishes what is left behind", finishes_what_is_left_behind),
];

const WRITE: Op = Op::Write { fua: false };

/// Bytes that tell where they belong and by whom they were written.
fn pattern(salt: u8, offset: u64, len: usize) -> Vec<u8> {
    (offset..offset + len as u64).map(|i| (i % 251) as u8 ^ (i >> 9) as u8 ^ salt | 1).collect()
}

/// Places where blocks, sectors and the end are crossed.
const PLACES: [(u64, usize); 9] = [
    (0, 1),
    (1, 511),
    (511, 2),
    (4095, 2),
    (4096, 4096),
    (8191, 70_000),
    (131_072, 65_536),
    (SIZE - 513, 513),
    (SIZE - 1, 1),
];

fn says_what_it_is(d: &Arc<dyn BlockDevice>) {
    let g = d.geometry();
    assert_eq!(g.size, SIZE, "the size is the one asked for");
    assert!(g.block.is_power_of_two() && g.preferred >= g.block && g.maximum >= g.preferred, "{g:?}");
    assert!(!d.capabilities().read_only);
    Rig::open(d, 1).ok(request(Op::Flush, 0, 0, None));
}

fn is_zero_at_first(d: &Arc<dyn BlockDevice>) {
    let rig = Rig::open(d, 4);
    for at in (0..SIZE).step_by(65_536) {
        let len = (SIZE - at).min(65_536) as usize;
        assert!(rig.read(at, len).iter().all(|b| *b == 0), "not zero near {at}");
    }
}

fn reads_what_was_written(d: &Arc<dyn BlockDevice>) {
    let rig = Rig::open(d, 4);
    for (salt, (at, len)) in PLACES.into_iter().enumerate() {
        let bytes = pattern(salt as u8, at, len);
        rig.write(at, &bytes);
        assert!(rig.read(at, len) == bytes, "{len} bytes at {at} read differently");
        // Its neighbours are what they were: the first place has none before it, the last none behind.
        assert_eq!(rig.read(at, 1), bytes[..1]);
        assert_eq!(rig.read(at + len as u64 - 1, 1), bytes[len - 1..]);
    }
    let c = rig.one(request(Op::Read, 0, 4096, Some(Buf::zeroed(4096))));
    assert!(!c.all_zero, "a read that found bytes said that all is zero");
}

fn later_writes_win(d: &Arc<dyn BlockDevice>) {
    let rig = Rig::open(d, 4);
    let mut oracle = vec![0; 200_000];
    let writes =
        [(0, 100_000), (50_000, 100_000), (49_999, 3), (4096, 8192), (4000, 200), (149_999, 50_001), (1, 1)];
    for (salt, (at, len)) in writes.into_iter().enumerate() {
        let bytes = pattern(salt as u8, at as u64, len);
        rig.write(at as u64, &bytes);
        oracle[at..at + len].copy_from_slice(&bytes);
        assert!(rig.read(0, oracle.len()) == oracle, "after write {salt}, {len} bytes at {at}");
    }
}

fn zeroes_exactly_the_range(d: &Arc<dyn BlockDevice>) {
    let rig = Rig::open(d, 4);
    let whole = SIZE as usize;
    let bytes = pattern(7, 0, whole);
    let fill = |at: usize, len: usize| {
        for from in (at..at + len).step_by(65_536) {
            rig.write(from as u64, &bytes[from..(from + 65_536).min(at + len)]);
        }
    };
    fill(0, whole);
    for flags in 0..8u8 {
        let op = Op::Zero { fua: flags & 1 != 0, unmap: flags & 2 != 0, fast: flags & 4 != 0 };
        for (at, len) in PLACES {
            let c = rig.one(request(op, at, len, None));
            if flags & 4 != 0 && c.result == Err(IoError::NotSupported) {
                continue;
            }
            assert_eq!(c.result, Ok(len as u32), "{op:?} of {len} at {at}");
            assert!(c.buf.is_none());
            assert!(rig.read(at, len).iter().all(|b| *b == 0), "{op:?} of {len} bytes at {at}");
            let at = at as usize;
            fill(at, len);
            let (from, to) = (at.saturating_sub(5000), (at + len + 5000).min(whole));
            assert!(rig.read(from as u64, to - from) == bytes[from..to], "{op:?} at {at} went too far");
        }
    }
    rig.ok(request(Op::Zero { fua: false, unmap: true, fast: false }, 0, whole, None));
    assert!(rig.read(0, 65_536).iter().all(|b| *b == 0));
}

fn discards_no_more_than_the_range(d: &Arc<dyn BlockDevice>) {
    let rig = Rig::open(d, 4);
    let bytes = pattern(3, 0, 100_000);
    rig.write(0, &bytes);
    let c = rig.one(request(Op::Discard, 5_000, 50_000, None));
    if !d.capabilities().discard {
        assert_eq!(c.result, Err(IoError::NotSupported));
        return;
    }
    assert_eq!(c.result, Ok(50_000));
    let now = rig.read(0, bytes.len());
    assert!(now[..5_000] == bytes[..5_000] && now[55_000..] == bytes[55_000..], "discard went too far");
    let either = now[5_000..55_000].iter().zip(&bytes[5_000..]).all(|(n, b)| *n == 0 || n == b);
    assert!(either, "what was discarded reads as zeros or as before");
    assert!(rig.read(0, bytes.len()) == now, "and does not change afterwards");
}

fn flushes_and_writes_through(d: &Arc<dyn BlockDevice>) {
    let rig = Rig::open(d, 8);
    rig.ok(request(Op::Flush, 0, 0, None));
    for i in 0..8u64 {
        let bytes = pattern(i as u8, i * 4096, 4096);
        let op = Op::Write { fua: i % 2 == 0 };
        rig.ok(request(op, i * 4096, 4096, Some(Buf::copy_of(&bytes))));
        rig.ok(request(Op::Flush, 0, 0, None));
        assert!(rig.read(i * 4096, 4096) == bytes);
    }
    let mixed = (0..8).map(|i| match i % 2 {
        0 => request(Op::Flush, 0, 0, None),
        _ => request(WRITE, i * 4096, 512, Some(Buf::copy_of(&pattern(9, i * 4096, 512)))),
    });
    for c in rig.all(mixed.collect()) {
        assert!(c.result.is_ok(), "{c:?}");
    }
}

fn answers_each_request_once(d: &Arc<dyn BlockDevice>) {
    let rig = Rig::open(d, 32);
    for round in 0..10u64 {
        let batch = (0..32u64).map(|i| {
            let (at, len) = (i * 8192 + round * 13, 1000 + 100 * i as usize);
            match i % 4 {
                0 => request(Op::Read, at, len, Some(Buf::zeroed(len))),
                1 => request(Op::Zero { fua: false, unmap: false, fast: false }, at, len, None),
                _ => request(WRITE, at, len, Some(Buf::copy_of(&pattern(i as u8, at, len)))),
            }
        });
        for (i, c) in rig.all(batch.collect()).into_iter().enumerate() {
            let len = 1000 + 100 * i;
            assert_eq!(c.result, Ok(len as u32), "request {i}");
            let home = c.buf.map(|b| b.len());
            assert_eq!(home, (i % 4 != 1).then_some(len), "the buffer of request {i} comes home whole");
        }
    }
}

fn is_never_fuller_than_its_depth(d: &Arc<dyn BlockDevice>) {
    for depth in [1, 4] {
        let rig = Rig::open(d, depth);
        let batch = (0..100u32).map(|tag| {
            let mut r = request(Op::Write { fua: tag % 9 == 0 }, u64::from(tag) * 4096, 4096, None);
            r.buf = Some(Buf::copy_of(&pattern(1, u64::from(tag) * 4096, 4096)));
            r.tag = tag;
            r
        });
        rig.start(batch.collect());
        let batch = rig.finish();
        assert!(batch.most <= usize::from(depth), "{} requests in a queue of {depth}", batch.most);
        let mut tags: Vec<u32> = batch.completions.iter().map(|c| c.tag).collect();
        tags.sort_unstable();
        assert_eq!(tags, (0..100).collect::<Vec<_>>());
        assert!(batch.completions.iter().all(|c| c.result == Ok(4096)));
        assert!(rig.read(0, 409_600) == pattern(1, 0, 409_600));
    }
}

fn refuses_what_is_wrong(d: &Arc<dyn BlockDevice>) {
    let rig = Rig::open(d, 8);
    let buf = |n: usize| Some(Buf::zeroed(n));
    let zero = Op::Zero { fua: false, unmap: true, fast: false };
    let wrong = vec![
        request(Op::Read, SIZE, 1, buf(1)),
        request(Op::Read, SIZE - 1, 2, buf(2)),
        request(WRITE, SIZE - 511, 512, buf(512)),
        request(WRITE, u64::MAX, 512, buf(512)),
        request(zero, SIZE - 1, 2, None),
        request(zero, u64::MAX - 1, usize::MAX, None),
        request(Op::Read, 0, 512, None),
        request(Op::Read, 0, 512, buf(511)),
        request(WRITE, 0, 512, buf(513)),
        request(WRITE, 0, 0, buf(0)),
        request(zero, 0, 512, buf(512)),
        request(Op::Flush, 0, 512, None),
    ];
    let sizes: Vec<Option<usize>> = wrong.iter().map(|r| r.buf.as_ref().map(|b| b.len())).collect();
    for (i, (c, size)) in rig.all(wrong).into_iter().zip(sizes).enumerate() {
        assert_eq!(c.result, Err(IoError::Invalid), "request {i}");
        assert_eq!(c.buf.map(|b| b.len()), size, "the buffer of request {i} comes home");
    }
    rig.write(0, b"still alive");
    assert_eq!(rig.read(0, 11), b"still alive");
}

fn is_read_only_for_readers(d: &Arc<dyn BlockDevice>) {
    Rig::open(d, 1).write(100, b"stone");
    let rig = Rig::open_as(d, 4, Rights::ReadOnly);
    let zero = Op::Zero { fua: false, unmap: true, fast: false };
    for r in [request(WRITE, 100, 5, Some(Buf::zeroed(5))), request(zero, 100, 5, None)] {
        assert_eq!(rig.one(r).result, Err(IoError::ReadOnly));
    }
    assert_eq!(rig.one(request(Op::Discard, 100, 5, None)).result, Err(IoError::ReadOnly));
    rig.ok(request(Op::Flush, 0, 0, None));
    assert_eq!(rig.read(100, 5), b"stone");
}

fn maps_what_it_holds(d: &Arc<dyn BlockDevice>) {
    let rig = Rig::open(d, 4);
    let ask = |at: u64, len: usize| request(Op::Extents, at, len, None);
    if !d.capabilities().extents {
        assert_eq!(rig.one(ask(0, 512)).result, Err(IoError::NotSupported));
        return;
    }
    rig.write(10_000, &pattern(1, 10_000, 10_000));
    rig.write(SIZE - 1, &[1]);
    for (from, len) in [(0, SIZE as usize), (10_001, 1), (9_999, 20_000), (SIZE - 512, 512)] {
        let map = rig.ok(ask(from, len)).expect("the map is in the buffer");
        assert_eq!(map.len() % 16, 0);
        let mut at = from;
        for pair in map.chunks_exact(16) {
            let number = |i: usize| u64::from_le_bytes(std::array::from_fn(|k| pair[i + k]));
            let (n, zero) = (number(0), number(8));
            assert!(n > 0 && zero <= 1, "a stretch of {n} bytes, zero {zero}");
            if zero == 1 {
                let bytes = rig.read(at, n as usize);
                assert!(bytes.iter().all(|b| *b == 0), "{n} bytes at {at} are not zero");
            }
            at += n;
        }
        assert_eq!(at, from + len as u64, "the map covers exactly what was asked for");
    }
}

fn shows_every_queue_the_same_bytes(d: &Arc<dyn BlockDevice>) {
    let (one, two) = (Rig::open(d, 4), Rig::open(d, 4));
    for i in 0..20u8 {
        let (writer, reader) = if i % 2 == 0 { (&one, &two) } else { (&two, &one) };
        // Both queues change the same block, each its own part.
        let at = 4000 + u64::from(i) * 100;
        writer.write(at, &pattern(i, at, 100));
        assert!(reader.read(at, 100) == pattern(i, at, 100), "round {i}");
    }
    for i in 0..20u8 {
        let at = 4000 + u64::from(i) * 100;
        assert!(one.read(at, 100) == pattern(i, at, 100), "part {i} was lost");
    }
}

fn finishes_what_is_left_behind(d: &Arc<dyn BlockDevice>) {
    let rig = Rig::open(d, 1);
    let old = pattern(1, 0, 200_000);
    rig.write(0, &old);
    for round in 2..10u8 {
        let batch: Vec<_> = (0..16u32)
            .map(|i| {
                let at = u64::from(i) * 8192;
                let mut r = request(WRITE, at, 4096, Some(Buf::copy_of(&pattern(round, at, 4096))));
                r.tag = i;
                r
            })
            .collect();
        Rig::open(d, 16).abandon(batch);
        let then = rig.read(0, old.len());
        for (i, b) in then.iter().enumerate() {
            let mine = i < 16 * 8192 && i % 8192 < 4096;
            let written = |salt: u8| *b == pattern(salt, i as u64, 1)[0];
            assert!(written(1) || mine && (2..=round).any(written), "byte {i} is from nowhere");
        }
        assert!(rig.read(0, old.len()) == then, "a write landed after the queue had ended");
    }
}
