//! Streams of nonsense against the running server: whatever they are, a good client is served afterwards.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use parpen_ring::Backend;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::client::{Client, DISCONNECT, FLUSH, READ, WRITE, request};
use crate::house::House;

/// A whole valid visit.
fn visit() -> Vec<u8> {
    let option = |kind: u32, data: &[u8]| {
        [&b"IHAVEOPT"[..], &kind.to_be_bytes(), &(data.len() as u32).to_be_bytes(), data].concat()
    };
    [
        vec![0, 0, 0, 3],
        option(8, b""),
        option(3, b""),
        option(6, &[&[0, 0, 0, 4], &b"disk"[..], &[0, 1, 0, 3]].concat()),
        option(7, &[&[0, 0, 0, 4], &b"disk"[..], &[0, 0]].concat()),
        request(0, READ, 1, 0, 512),
        request(0, WRITE, 2, 100, 600),
        vec![9; 600],
        request(0, FLUSH, 3, 0, 0),
        request(0, DISCONNECT, 4, 0, 0),
    ]
    .concat()
}

/// Says all of it, takes what comes until nothing does, and hangs up.
fn throw(house: &House, bytes: &[u8]) {
    let mut stream = UnixStream::connect(&house.unix).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    // errors say that the server has hung up, which is its right
    let _ = stream.write_all(bytes);
    let mut sink = vec![0; 1 << 16];
    while matches!(stream.read(&mut sink), Ok(n) if n > 0) {}
}

fn is_well(house: &House) -> bool {
    let mut client = Client::open(house, "disk");
    client.write(0, 8192, b"well") == 0 && client.read(8192, 4) == b"well"
}

fn survives<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>, bytes: impl Fn(T) -> Vec<u8>) {
    let house = House::open(Backend::Auto);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(150));
    let run = runner.run(&strategy, |value| {
        throw(&house, &bytes(value));
        prop_assert!(is_well(&house));
        Ok(())
    });
    run.unwrap();
}

#[test]
fn random_bytes() {
    survives(proptest::collection::vec(any::<u8>(), 0..600), |bytes| bytes);
}

#[test]
fn mutated_visits() {
    let changes = proptest::collection::vec((any::<Index>(), any::<u8>()), 0..5);
    survives((changes, any::<Index>()), |(changes, cut)| {
        let mut bytes = visit();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        bytes
    });
}

#[test]
fn random_requests() {
    let request =
        (any::<u16>(), 0..9u16, any::<u64>(), prop_oneof![0..70_000_000u64, any::<u64>()], any::<u32>());
    let small = request.prop_map(|(flags, kind, cookie, offset, len)| {
        request_bytes(flags & 0x13, kind, cookie, offset, if kind == WRITE { len % 2000 } else { len })
    });
    survives(proptest::collection::vec(small, 0..30), |requests| {
        let head = visit();
        let start = head.windows(4).position(|w| w == 0x2560_9513u32.to_be_bytes()).unwrap();
        [&head[..start], &requests.concat()].concat()
    });
}

fn request_bytes(flags: u16, kind: u16, cookie: u64, offset: u64, len: u32) -> Vec<u8> {
    let payload = if kind == WRITE { vec![3; len as usize] } else { Vec::new() };
    [request(flags, kind, cookie, offset, len), payload].concat()
}

#[test]
fn half_open_handshakes_and_hung_up_writes_leave_nothing_behind() {
    let house = House::open(Backend::Auto);
    for _ in 0..200 {
        let mut c = Client::open(&house, "disk");
        c.say(&request(0, WRITE, 1, 0, 1 << 20));
        c.say(&[1; 1000]);
        drop(Client::greet(&house));
    }
    assert!(is_well(&house));
    let start = (0..1000).find(|_| {
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(5));
        house.server.connection_count() == 0
    });
    assert!(start.is_some(), "connections stay: {:?}", house.server.connections());
    assert!(house.names.gate.all_sessions().is_empty());
}
