//! The device suite over an encrypted device, what is stored below, and writers that share sectors.

use super::*;
use crate::Memory;
use crate::conformance::{TestDevice, run};
use parpen_base::Buf;

/// A cipher for tests: a stream of noise by the sector's number.
struct Noise;

fn noise(first: u64, sectors: &mut [u8]) {
    for (i, sector) in sectors.chunks_mut(SECTOR as usize).enumerate() {
        let mut n = (first + i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for b in sector {
            n = n.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            *b ^= (n >> 56) as u8;
        }
    }
}

impl SectorCipher for Noise {
    fn encrypt(&self, first: u64, sectors: &mut [u8]) {
        noise(first, sectors);
    }
    fn decrypt(&self, first: u64, sectors: &mut [u8]) {
        for (i, sector) in sectors.chunks_mut(SECTOR as usize).enumerate() {
            if sector.iter().any(|b| *b != 0) {
                noise(first + i as u64, sector);
            }
        }
    }
}

fn crypt(memory: &Memory, turns: &Turns) -> Crypt {
    Crypt::new(Arc::new(memory.clone()), Arc::new(Noise), turns.clone())
}

#[test]
fn an_encrypted_device_is_a_device() {
    run(|size| TestDevice::new(Arc::new(crypt(&Memory::new(size), &Turns::default()))));
}

/// Runs requests on a queue to their end.
fn all(queue: &mut dyn Queue, requests: Vec<Request>) -> Vec<Completion> {
    let (count, mut done) = (requests.len(), Vec::new());
    for mut r in requests {
        while let Err(back) = queue.submit(r) {
            r = back;
            queue.kick();
            done.extend(queue.reap());
        }
    }
    queue.kick();
    while done.len() < count {
        done.extend(queue.reap());
    }
    done
}

fn write(tag: u32, offset: u64, bytes: &[u8]) -> Request {
    let buf = Some(Buf::copy_of(bytes));
    Request { tag, op: Op::Write { fua: false }, offset, len: bytes.len() as u32, buf }
}

fn read(offset: u64, len: u32) -> Request {
    Request { tag: 0, op: Op::Read, offset, len, buf: Some(Buf::zeroed(len as usize)) }
}

fn bytes(queue: &mut dyn Queue, offset: u64, len: u32) -> Vec<u8> {
    all(queue, vec![read(offset, len)]).remove(0).buf.unwrap().to_vec()
}

#[test]
fn what_is_stored_is_not_what_was_written_and_holes_stay_holes() {
    let memory = Memory::new(1 << 20);
    let device = crypt(&memory, &Turns::default());
    let mut queue = device.open(4, Wake::new(|| ())).unwrap();
    let text = b"nobody may read this".repeat(100);
    all(&mut *queue, vec![write(1, 5000, &text)]);
    assert_eq!(bytes(&mut *queue, 5000, 2000), text);
    let mut below = memory.open(1, Wake::new(|| ())).unwrap();
    let stored = bytes(&mut *below, 0, 65536);
    assert!(!stored.windows(10).any(|w| w == b"nobody may"));
    let clear = Op::Zero { fua: false, unmap: true, fast: false };
    all(&mut *queue, vec![Request { tag: 1, op: clear, offset: 0, len: 65536, buf: None }]);
    assert!(bytes(&mut *below, 0, 65536).iter().all(|b| *b == 0), "holes reach the device");
    assert!(bytes(&mut *queue, 0, 65536).iter().all(|b| *b == 0));
}

// Two connections that each write other bytes of the same sectors: none may bring back what the other replaced.
#[test]
fn writers_of_one_sector_do_not_undo_each_other() {
    let (memory, turns) = (Memory::new(1 << 20), Turns::default());
    let device = crypt(&memory, &turns);
    let again = Crypt::new(Arc::new(memory.clone()), Arc::new(Noise), turns);
    let mut one = device.open(8, Wake::new(|| ())).unwrap();
    let mut two = again.open(8, Wake::new(|| ())).unwrap();
    for round in 0..200u32 {
        let value = round as u8;
        let (mut ended, at) = (0, u64::from(round % 7) * 512);
        one.submit(write(1, at + 10, &[value; 100])).unwrap();
        two.submit(write(1, at + 200, &[value; 100])).unwrap();
        one.submit(write(2, at + 490, &[value; 600])).unwrap();
        two.submit(write(2, at + 1100, &[value; 20])).unwrap();
        while ended < 4 {
            for queue in [&mut one, &mut two] {
                queue.kick();
                while let Some(c) = queue.reap() {
                    assert_eq!(c.result.map(|n| n as usize), Ok(c.buf.unwrap().len()));
                    ended += 1;
                }
            }
        }
        let got = bytes(&mut *one, at, 1536);
        for (from, to) in [(10, 110), (200, 300), (490, 1090), (1100, 1120)] {
            assert!(got[from..to].iter().all(|b| *b == value), "round {round}, {from}..{to}");
        }
    }
}

// A connection that ends while it waits to be alone must not keep the others waiting.
#[test]
fn a_queue_that_goes_takes_its_wish_along() {
    let (memory, turns) = (Memory::new(1 << 20), Turns::default());
    let device = crypt(&memory, &turns);
    let seat = turns.join(Wake::new(|| ()));
    assert!(seat.enter(super::turns::Turn::Shared));
    let mut waiting = device.open(2, Wake::new(|| ())).unwrap();
    waiting.submit(write(1, 3, b"x")).unwrap();
    assert!(waiting.reap().is_none());
    let mut other = device.open(2, Wake::new(|| ())).unwrap();
    other.submit(write(1, 0, &[1; 512])).unwrap();
    assert!(other.reap().is_none(), "who wants to be alone goes first");
    drop(waiting);
    other.kick();
    assert!(other.reap().is_some());
    seat.leave(super::turns::Turn::Shared);
}
