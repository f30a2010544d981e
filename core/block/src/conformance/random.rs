//! Seeded random requests on two queues at once, against a plain vector of bytes.

use parpen_base::{Buf, Entropy, SeededEntropy};

use crate::{Capabilities, Completion, Op, Request};

use super::rig::{Rig, request};
use super::{SIZE, TestDevice};

/// Runs `rounds` rounds of the stream that `seed` names. Requests in flight together never overlap, but
/// they share blocks, so a device that reads, changes and writes back a block has to keep them apart.
pub fn random(make: &impl Fn(u64) -> TestDevice, seed: u64, rounds: u32) {
    let (device, dice) = (make(SIZE), SeededEntropy::new(seed));
    let mut oracle = Oracle { bytes: vec![0; SIZE as usize], loose: vec![false; SIZE as usize] };
    {
        let rigs = [Rig::open(&device.device, 8), Rig::open(&device.device, 8)];
        let can = device.device.capabilities();
        for round in 0..rounds {
            let mut batches: [Vec<(Op, Request)>; 2] = [Vec::new(), Vec::new()];
            for (at, len) in places(&dice) {
                let r = roll(&dice, &can, at, len);
                batches[(dice.u64() % 2) as usize].push((r.op, r));
            }
            let sent = batches.map(|batch| {
                let mut batch: Vec<Request> = batch.into_iter().map(|(_, r)| r).collect();
                batch.iter_mut().enumerate().for_each(|(tag, r)| r.tag = tag as u32);
                batch
            });
            let kept: Vec<Vec<Sent>> =
                sent.iter().map(|batch| batch.iter().map(Sent::of).collect()).collect();
            for (rig, batch) in rigs.iter().zip(sent) {
                rig.start(batch);
            }
            for (rig, sent) in rigs.iter().zip(&kept) {
                let done = rig.finish().completions;
                assert_eq!(done.len(), sent.len(), "seed {seed}, round {round}");
                for c in done {
                    oracle.take(&sent[c.tag as usize], c, &format!("seed {seed}, round {round}"));
                }
            }
        }
        for at in (0..SIZE).step_by(65_536) {
            let len = (SIZE - at).min(65_536) as usize;
            oracle.compare(at, &rigs[0].read(at, len), &format!("seed {seed}, in the end"));
        }
    }
    device.finish();
}

/// What has to be known of a request when its completion comes.
struct Sent {
    op: Op,
    offset: u64,
    len: u32,
    bytes: Vec<u8>,
}

impl Sent {
    fn of(r: &Request) -> Sent {
        let bytes = r.buf.as_ref().map(|b| b.to_vec()).unwrap_or_default();
        Sent { op: r.op, offset: r.offset, len: r.len, bytes }
    }
}

/// Up to sixteen stretches that do not overlap, often in one neighbourhood, often of no round size.
fn places(dice: &SeededEntropy) -> Vec<(u64, usize)> {
    let span = if dice.u64().is_multiple_of(3) { SIZE } else { 40_000 };
    let base = dice.u64() % (SIZE - span + 1);
    let grain = [1, 1, 512, 4096][(dice.u64() % 4) as usize];
    let mut cuts: Vec<u64> = (0..17).map(|_| base + dice.u64() % span / grain * grain).collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts.windows(2).map(|w| (w[0], (w[1] - w[0]) as usize)).collect()
}

fn roll(dice: &SeededEntropy, can: &Capabilities, at: u64, len: usize) -> Request {
    let fua = dice.u64().is_multiple_of(8);
    match dice.u64() % 10 {
        0 | 1 => request(Op::Zero { fua, unmap: dice.u64().is_multiple_of(2), fast: false }, at, len, None),
        2 if can.discard => request(Op::Discard, at, len, None),
        3 => request(Op::Flush, 0, 0, None),
        4..=6 => request(Op::Read, at, len, Some(Buf::zeroed(len))),
        _ => {
            let mut buf = Buf::zeroed(len);
            dice.fill(&mut buf);
            request(Op::Write { fua }, at, len, Some(buf))
        }
    }
}

struct Oracle {
    bytes: Vec<u8>,
    /// Was discarded: may read as zero instead.
    loose: Vec<bool>,
}

impl Oracle {
    fn take(&mut self, sent: &Sent, c: Completion, when: &str) {
        assert_eq!(c.result, Ok(sent.len), "{when}: {:?} of {} at {}", sent.op, sent.len, sent.offset);
        let range = sent.offset as usize..sent.offset as usize + sent.len as usize;
        match sent.op {
            Op::Read => {
                let got = c.buf.expect("the buffer of a read comes home");
                assert!(!c.all_zero || got.iter().all(|b| *b == 0), "{when}: all_zero was said of bytes");
                self.compare(sent.offset, &got, when);
            }
            Op::Write { .. } => {
                self.bytes[range.clone()].copy_from_slice(&sent.bytes);
                self.loose[range].fill(false);
            }
            Op::Zero { .. } => {
                self.bytes[range.clone()].fill(0);
                self.loose[range].fill(false);
            }
            Op::Discard => self.loose[range].fill(true),
            Op::Flush | Op::Extents | Op::Prefetch => {}
        }
    }

    fn compare(&self, at: u64, got: &[u8], when: &str) {
        for (i, b) in got.iter().enumerate() {
            let at = at as usize + i;
            let fine = *b == self.bytes[at] || self.loose[at] && *b == 0;
            assert!(fine, "{when}: byte {at} is {b}, not {}", self.bytes[at]);
        }
    }
}
