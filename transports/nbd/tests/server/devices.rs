//! Devices that are late, fail, live elsewhere or have a bug.

use std::sync::{Arc, Mutex};

use parpen_block::filter::{Delay, Fault, Kind, Rule};
use parpen_block::{
    BlockDevice, Capabilities, Completion, Geometry, Home, IoError, Memory, Op, Queue, Refusal, Request, Wake,
};
use parpen_nbd::Limits;
use parpen_ring::{Backend, Handle, Reactor, current};

use crate::client::{Client, FLUSH, FUA, READ, TRIM, WRITE, ZERO, request};
use crate::house::House;
use crate::over_both;

/// A memory device that lives on a reactor, notes what it is asked for, and panics at a read of 666 bytes.
#[derive(Clone)]
struct Odd {
    memory: Memory,
    home: Option<Handle>,
    asked: Arc<Mutex<Vec<Op>>>,
}

impl Odd {
    fn new(home: Option<Handle>) -> Odd {
        Odd { memory: Memory::new(1 << 20), home, asked: Arc::default() }
    }
}

impl BlockDevice for Odd {
    fn geometry(&self) -> Geometry {
        self.memory.geometry()
    }

    fn capabilities(&self) -> Capabilities {
        self.memory.capabilities()
    }

    fn home(&self) -> Option<Arc<dyn Home>> {
        self.home.clone().map(|home| Arc::new(home) as Arc<dyn Home>)
    }

    fn open(&self, depth: u16, wake: Wake) -> Result<Box<dyn Queue>, Refusal> {
        if let Some(home) = &self.home {
            assert_eq!(current().map(|here| here.id()), Some(home.id()), "opened away from home");
        }
        Ok(Box::new(OddQueue { inner: self.memory.open(depth, wake)?, odd: self.clone() }))
    }
}

struct OddQueue {
    inner: Box<dyn Queue>,
    odd: Odd,
}

impl Queue for OddQueue {
    fn submit(&mut self, r: Request) -> Result<(), Request> {
        assert!(r.len != 666, "a bug, on purpose");
        self.odd.asked.lock().unwrap().push(r.op);
        self.inner.submit(r)
    }

    fn kick(&mut self) {
        self.inner.kick();
    }

    fn reap(&mut self) -> Option<Completion> {
        self.inner.reap()
    }
}

#[test]
fn late_answers_come_in_their_own_order_and_carry_the_right_bytes() {
    over_both(|house| {
        let timer = Arc::new(house.reactors[0].clone());
        house.add("late", Delay::new(Arc::new(house.memory.clone()), timer, 7, 8));
        let mut c = Client::open(house, "disk");
        for n in 0..200u64 {
            assert_eq!(c.write(0, n * 512, &[n as u8; 512]), 0);
        }
        let mut late = Client::open(house, "late");
        late.say(&(0..200).flat_map(|n| request(0, READ, n, n * 512, 512)).collect::<Vec<u8>>());
        let mut order = Vec::new();
        for _ in 0..200 {
            let (errno, cookie) = late.reply();
            assert_eq!(errno, 0);
            assert_eq!(late.bytes(512), [cookie as u8; 512]);
            order.push(cookie);
        }
        assert!(!order.is_sorted(), "nothing was late");
        order.sort_unstable();
        assert!(order.into_iter().eq(0..200));
    });
}

#[test]
fn errors_of_the_device_become_those_of_the_protocol() {
    over_both(|house| {
        let fault = Fault::new(Arc::new(house.memory.clone()), 1);
        let faults = fault.faults();
        house.add("faulty", fault);
        let mut c = Client::open(house, "faulty");
        for (error, errno) in [
            (IoError::NoSpace, 28),
            (IoError::Invalid, 22),
            (IoError::ReadOnly, 1),
            (IoError::NotSupported, 95),
            (IoError::DataLost, 5),
            (IoError::Io, 5),
            (IoError::Fenced, 108),
        ] {
            for (kind, command) in
                [(Kind::Read, READ), (Kind::Flush, FLUSH), (Kind::Zero, ZERO), (Kind::Discard, TRIM)]
            {
                faults.add(Rule::next(kind, error));
                let len = if command == FLUSH { 0 } else { 512 };
                assert_eq!(c.ask(0, command, 0, len), errno, "{error:?} {kind:?}");
            }
            faults.add(Rule::next(Kind::Write, error));
            assert_eq!(c.write(0, 0, &[1; 512]), errno);
        }
        assert_eq!(c.read(0, 512), [0; 512]);
        // the flush behind a durable trim
        faults.add(Rule::next(Kind::Flush, IoError::Io));
        assert_eq!(c.ask(FUA, TRIM, 0, 512), 5);
        assert_eq!(c.ask(FUA, TRIM, 0, 512), 0);
    });
}

#[test]
fn fua_reaches_the_device_and_a_durable_trim_is_followed_by_a_flush() {
    over_both(|house| {
        let odd = Odd::new(None);
        house.add("odd", odd.clone());
        let mut c = Client::open(house, "odd");
        c.write(0, 0, b"a");
        c.write(FUA, 0, b"a");
        c.ask(FUA, ZERO, 0, 1);
        c.ask(2 | 16, ZERO, 0, 1);
        c.ask(0, TRIM, 0, 1);
        c.ask(FUA, TRIM, 0, 1);
        c.ask(FUA, READ, 0, 1);
        assert_eq!(
            *odd.asked.lock().unwrap(),
            [
                Op::Write { fua: false },
                Op::Write { fua: true },
                Op::Zero { fua: true, unmap: true, fast: false },
                Op::Zero { fua: false, unmap: false, fast: true },
                Op::Discard,
                Op::Discard,
                Op::Flush,
                Op::Read,
            ]
        );
    });
}

#[test]
fn a_connection_moves_to_where_its_device_lives() {
    over_both(|house| {
        let away = Reactor::start("away", house.reactors[0].backend()).unwrap();
        house.add("away", Odd::new(Some(away.clone())));
        let mut c = Client::open(house, "away");
        assert_eq!(c.write(0, 0, b"far"), 0);
        assert_eq!(c.read(0, 3), b"far");
        // requests that came along with the handshake move, too
        let mut eager = Client::greet(house);
        let go =
            [&b"IHAVEOPT\0\0\0\x07\0\0\0\x0a\0\0\0\x04away\0\0"[..], &request(0, READ, 5, 0, 3)].concat();
        eager.say(&go);
        assert_eq!((eager.option_reply().1, eager.option_reply().1, eager.reply()), (3, 1, (0, 5)));
        assert_eq!(eager.bytes(3), b"far");
        away.shutdown();
        away.join().unwrap();
        assert!(c.is_hung_up());
        let mut lost = Client::greet(house);
        lost.say(&go);
        assert!(lost.is_hung_up(), "the device's reactor has ended");
    });
}

#[test]
fn with_several_reactors_connections_stay_on_them_and_share_a_device() {
    let house = House::open_on(3, Backend::Auto, Limits::default());
    let away = Reactor::start("away", Backend::Auto).unwrap();
    house.add("away", Odd::new(Some(away.clone())));
    house.add("third", Odd::new(Some(house.reactors[2].clone())));
    for name in ["away", "third"] {
        let mut clients: Vec<_> = (0..6).map(|_| Client::open(&house, name)).collect();
        for round in 0..50u64 {
            for (n, c) in clients.iter_mut().enumerate() {
                assert_eq!(c.write(FUA, (n as u64) * 4096 + round, &[n as u8; 700]), 0);
            }
            for (n, c) in clients.iter_mut().enumerate() {
                let of = (n + 1) % 6;
                assert_eq!(c.read((of as u64) * 4096 + round, 700), vec![of as u8; 700]);
            }
        }
    }
    let mut left = Client::open(&house, "away");
    assert_eq!(left.write(0, 0, b"here"), 0);
    away.shutdown();
    away.join().unwrap();
    assert_eq!(left.write(0, 0, b"gone"), 5, "EIO: the device's thread has ended, the connection's has not");
}

#[test]
fn a_panic_costs_one_connection() {
    over_both(|house| {
        house.add("buggy", Odd::new(None));
        let (mut c, mut other) = (Client::open(house, "buggy"), Client::open(house, "buggy"));
        c.request(0, WRITE, 1, 0, 666);
        c.say(&[0; 666]);
        assert!(c.is_hung_up());
        assert_eq!(other.write(0, 0, b"fine"), 0);
        assert_eq!(other.read(0, 4), b"fine");
    });
}
