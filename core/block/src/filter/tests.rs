#![allow(clippy::disallowed_methods)] // a thread that turns the time

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use super::*;
use crate::conformance::{self, TestDevice};
use crate::testing::*;
use crate::{BlockDevice, Capabilities, IoError, Memory, Queue, Request, Wake};

fn queue(device: &dyn BlockDevice, depth: u16) -> Box<dyn Queue> {
    device.open(depth, Wake::new(|| ())).unwrap()
}

/// Time that runs by itself while a device is tested.
struct Running(Arc<HandTime>, Arc<AtomicBool>, std::thread::JoinHandle<()>);

impl Running {
    fn start() -> Running {
        let (time, stop) = (Arc::new(HandTime::default()), Arc::new(AtomicBool::new(false)));
        let (turned, until) = (Arc::clone(&time), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !until.load(SeqCst) {
                turned.pass(1);
                std::thread::yield_now();
            }
        });
        Running(time, stop, thread)
    }

    fn end(self) {
        self.1.store(true, SeqCst);
        self.2.join().unwrap();
    }
}

#[test]
fn a_stack_of_filters_conforms() {
    conformance::run(|size| {
        let time = Running::start();
        let memory: Arc<dyn BlockDevice> = Arc::new(Memory::new(size));
        let late = Arc::new(Delay::new(memory, time.0.clone(), 7, 3));
        let counted = Arc::new(Stat::new(late, time.0.clone()));
        let counters = counted.counters();
        let limits = Limits { bytes: Some(400 << 20), ops: Some(100_000) };
        let slow = Arc::new(Throttle::new(time.0.clone(), time.0.clone(), limits).around(counted));
        let whole = Arc::new(Fault::new(slow, 1));
        TestDevice::new(whole).ending(move || {
            assert_eq!(counters.in_flight(), 0);
            time.end();
        })
    });
}

#[test]
fn counts_by_kind_and_time() {
    let time = Arc::new(HandTime::default());
    let d = HandDevice::default();
    let stat = Stat::new(Arc::new(d.clone()), time.clone());
    let (counters, mut q) = (stat.counters(), queue(&stat, 2));
    q.submit(request(70, WRITE, 0, 4096)).unwrap();
    time.pass(3);
    q.submit(request(9, crate::Op::Read, 0, 512)).unwrap();
    let back = q.submit(request(5, WRITE, 0, 1)).unwrap_err();
    assert_eq!((back.tag, counters.in_flight()), (5, 2));
    time.pass(1);
    d.finish(2);
    assert_eq!((q.reap().unwrap().tag, q.reap().unwrap().tag), (70, 9));
    let (w, r) = (counters.of(Kind::Write), counters.of(Kind::Read));
    assert_eq!((w.ops, w.bytes, w.errors, w.time), (1, 4096, 0, Duration::from_millis(4)));
    assert_eq!((r.ops, r.bytes, r.time), (1, 512, Duration::from_millis(1)));
    assert_eq!((w.latency[12], r.latency[10]), (1, 1), "4000 µs are below 2^12, 1000 below 2^10");

    let broken = Fault::new(Arc::new(Memory::new(4096)), 1);
    broken.faults().add(Rule::next(Kind::Flush, IoError::Io));
    let stat = Stat::new(Arc::new(broken), time);
    let mut q = queue(&stat, 2);
    q.submit(request(1, crate::Op::Flush, 0, 0)).unwrap();
    assert_eq!(q.reap().unwrap().result, Err(IoError::Io));
    assert_eq!(stat.counters().of(Kind::Flush).errors, 1);
    q.submit(request(2, WRITE, 0, 512)).unwrap();
    drop(q);
    assert_eq!(stat.counters().in_flight(), 0, "a dropped queue has nothing in flight");
}

#[test]
fn rules_fail_whom_they_name_before_or_after_the_deed() {
    let memory = Memory::new(1 << 16);
    let fault = Fault::new(Arc::new(memory.clone()), 3);
    let faults = fault.faults();
    let mut q = queue(&fault, 4);
    let mut run = |op, byte: u8| {
        let mut r = request(4, op, 0, 1);
        r.buf.iter_mut().for_each(|b| b[0] = byte);
        q.submit(r).unwrap();
        q.reap().unwrap()
    };
    faults.add(Rule { skip: 1, ..Rule::next(Kind::Write, IoError::NoSpace) });
    assert!(run(WRITE, 1).result.is_ok());
    let failed = run(WRITE, 2);
    assert_eq!((failed.result, failed.buf.map(|b| b.len())), (Err(IoError::NoSpace), Some(1)));
    assert_eq!(run(crate::Op::Read, 0).buf.unwrap()[0], 1, "the device did not see it");
    faults.add(Rule { done: true, ..Rule::next(Kind::Write, IoError::Io) });
    assert_eq!(run(WRITE, 3).result, Err(IoError::Io));
    assert_eq!(run(crate::Op::Read, 0).buf.unwrap()[0], 3, "the device did it");
    faults.add(Rule { kind: None, odds: 4, times: u64::MAX, ..Rule::next(Kind::Read, IoError::DataLost) });
    let lost = (0..400).filter(|_| run(crate::Op::Read, 0).result.is_err()).count();
    assert!((60..140).contains(&lost), "one in four: {lost}");
    faults.clear();
    assert!((0..40).all(|_| run(crate::Op::Read, 0).result.is_ok()));

    let mut narrow = queue(&fault, 1);
    narrow.submit(request(1, WRITE, 0, 1)).unwrap();
    faults.add(Rule { done: true, ..Rule::next(Kind::Write, IoError::Io) });
    assert!(narrow.submit(request(2, WRITE, 0, 1)).is_err());
    assert!(narrow.reap().unwrap().result.is_ok());
    narrow.submit(request(2, WRITE, 0, 1)).unwrap();
    assert_eq!(narrow.reap().unwrap().result, Err(IoError::Io), "a full queue uses no rule up");
}

#[test]
fn delays_until_its_time_has_come() {
    let time = Arc::new(HandTime::default());
    let delay = Delay::new(Arc::new(Memory::new(1 << 20)), time.clone(), 5, 50);
    let mut q = queue(&delay, 16);
    for tag in 0..16 {
        q.submit(request(tag, WRITE, u64::from(tag) * 512, 512)).unwrap();
    }
    assert!(q.submit(request(16, WRITE, 0, 512)).is_err(), "what is late is still in flight");
    let mut order: Vec<u32> = std::iter::from_fn(|| q.reap()).map(|c| c.tag).collect();
    for _ in 0..50 {
        time.pass(1);
        order.extend(std::iter::from_fn(|| q.reap()).map(|c| c.tag));
    }
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..16).collect::<Vec<_>>());
    assert_ne!(sorted, order);
}

fn qos(limits: Limits) -> (Arc<HandTime>, Throttle, Box<dyn Queue>, Arc<AtomicUsize>) {
    let time = Arc::new(HandTime::default());
    let qos = Throttle::new(time.clone(), time.clone(), limits);
    let device = qos.around(Arc::new(Memory::new(1 << 24)));
    let wakes = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&wakes);
    let wake = Wake::new(move || {
        seen.fetch_add(1, SeqCst);
    });
    let q = device.open(64, wake).unwrap();
    (time, qos, q, wakes)
}

/// Submits as fast as it may for `ms` milliseconds; how many passed.
fn press(time: &HandTime, q: &mut dyn Queue, wakes: &AtomicUsize, ms: u64, len: u32) -> u64 {
    let mut passed = 0;
    let mut woken = true;
    for _ in 0..ms {
        while woken && q.submit(request(0, WRITE, 0, len)).is_ok() {
            passed += 1;
            q.reap().unwrap();
        }
        let before = wakes.load(SeqCst);
        time.pass(1);
        // Only the wake says when to try again: a missing one shows as a low rate.
        woken = wakes.load(SeqCst) > before;
    }
    passed
}

#[test]
fn ceilings_hold_over_time_and_change_live() {
    let (time, qos, mut q, wakes) = qos(Limits { bytes: Some(1_000_000), ops: None });
    let passed = press(&time, &mut *q, &wakes, 10_000, 4096);
    assert!((2441..=2441 + 30).contains(&passed), "{passed} of 4 KiB in 10 s at 1 MB/s");
    let big = press(&time, &mut *q, &wakes, 20_000, 4 << 20);
    assert!((4..=6).contains(&big), "a request larger than a second's worth passes: {big}");
    qos.set(Limits { bytes: Some(1 << 40), ops: Some(50) });
    press(&time, &mut *q, &wakes, 1000, 512);
    let passed = press(&time, &mut *q, &wakes, 10_000, 512);
    assert!((499..=506).contains(&passed), "{passed} in 10 s at 50 a second");
    qos.set(Limits { bytes: None, ops: Some(1) });
    press(&time, &mut *q, &wakes, 2000, 512);
    let passed = press(&time, &mut *q, &wakes, 10_000, 512);
    assert!((9..=11).contains(&passed), "the smallest ceiling is exact: {passed}");
}

/// Queues of one bucket that all press; how much of each passed.
fn compete(limits: Limits, queues: usize, ms: u64, len: impl Fn(usize) -> u32) -> Vec<u64> {
    let time = Arc::new(HandTime::default());
    let throttle = Throttle::new(time.clone(), time.clone(), limits);
    let woken: Vec<Arc<AtomicBool>> = (0..queues).map(|_| Arc::new(AtomicBool::new(true))).collect();
    let open = |flag: &Arc<AtomicBool>| {
        let flag = flag.clone();
        let device = throttle.around(Arc::new(Memory::new(1 << 24)));
        device.open(64, Wake::new(move || flag.store(true, SeqCst))).unwrap()
    };
    let mut all: Vec<Box<dyn Queue>> = woken.iter().map(open).collect();
    let mut passed = vec![0; queues];
    for _ in 0..ms {
        while woken.iter().any(|w| w.load(SeqCst)) {
            for (n, q) in all.iter_mut().enumerate() {
                while woken[n].load(SeqCst) {
                    match q.submit(request(0, WRITE, 0, len(n))) {
                        Ok(()) => {
                            passed[n] += u64::from(len(n));
                            q.reap().unwrap();
                        }
                        Err(_) => woken[n].store(false, SeqCst),
                    }
                }
            }
        }
        time.pass(1);
    }
    passed
}

#[test]
fn connections_of_one_volume_pass_in_turn() {
    let passed = compete(Limits { bytes: None, ops: Some(300) }, 3, 20_000, |_| 512);
    assert!(passed.iter().all(|p| (1980..=2040).contains(&(p / 512))), "{passed:?}");
    let one_hog =
        compete(Limits { bytes: None, ops: Some(7) }, 2, 100_000, |n| if n == 0 { 1 << 20 } else { 512 });
    assert!((345..=360).contains(&(one_hog[1] / 512)), "{one_hog:?}");
}

#[test]
fn a_queue_that_waited_and_left_holds_nobody_up() {
    let time = Arc::new(HandTime::default());
    let throttle = Throttle::new(time.clone(), time.clone(), Limits { bytes: None, ops: Some(10) });
    let device = throttle.around(Arc::new(Memory::new(1 << 20)));
    let woken = Arc::new(AtomicBool::new(false));
    let flag = woken.clone();
    let (mut gone, mut stays) =
        (queue(&device, 4), device.open(4, Wake::new(move || flag.store(true, SeqCst))).unwrap());
    while gone.submit(request(1, WRITE, 0, 512)).is_ok() {
        gone.reap().unwrap();
    }
    assert!(stays.submit(request(1, WRITE, 0, 512)).is_err(), "another one is before it");
    time.pass(100);
    assert!(stays.submit(request(1, WRITE, 0, 512)).is_err(), "the first one was called and has its turn");
    time.pass(10);
    assert!(woken.load(SeqCst), "the first one did not come");
    stays.submit(request(1, WRITE, 0, 512)).unwrap();
    assert!(gone.submit(request(2, WRITE, 0, 512)).is_err());
    woken.store(false, SeqCst);
    assert!(stays.submit(request(2, WRITE, 0, 512)).is_err());
    drop(gone);
    time.pass(100);
    assert!(woken.load(SeqCst));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 24, ..Default::default() })]

    #[test]
    fn never_more_than_the_rate_and_never_much_less(
        bytes in 1u64..50_000_000, ops in 1u64..20_000, queues in 1usize..4, len in 1u32..200_000,
    ) {
        let seconds = 8;
        let passed = compete(Limits { bytes: Some(bytes), ops: Some(ops) }, queues, seconds * 1000, |_| len);
        let (moved, n) = (passed.iter().sum::<u64>(), passed.iter().sum::<u64>() / u64::from(len));
        // A tenth of a second is saved up, and the last request may owe its price.
        proptest::prop_assert!(moved <= bytes * seconds + bytes / 10 + u64::from(len), "{moved} bytes at {bytes}/s");
        proptest::prop_assert!(n <= ops * seconds + ops / 10 + 1, "{n} operations at {ops}/s");
        let full = bytes * seconds / u64::from(len);
        proptest::prop_assert!(n + 2 >= full.min(ops * seconds) * 95 / 100, "{n} of {full} or {ops}/s");
    }
}

#[test]
fn zero_lets_nothing_pass_until_it_is_changed() {
    let (time, qos, mut q, wakes) = qos(Limits { bytes: Some(0), ops: None });
    assert_eq!(press(&time, &mut *q, &wakes, 100_000, 1), 0);
    q.submit(request(1, crate::Op::Flush, 0, 0)).unwrap();
    assert!(q.reap().is_some(), "a flush costs nothing");
    assert!(q.submit(request(2, WRITE, 0, 512)).is_err());
    let before = wakes.load(SeqCst);
    qos.set(Limits::default());
    assert_eq!((wakes.load(SeqCst), qos.limits()), (before + 1, Limits::default()));
    assert_eq!(press(&time, &mut *q, &wakes, 0, 512), 0);
    for tag in 0..64 {
        q.submit(request(tag, WRITE, 0, 1 << 20)).unwrap();
    }
    let full = q.submit(request(64, WRITE, 0, 512)).unwrap_err();
    assert_eq!(full.tag, 64, "the device's own bound stands");
}

/// A device that can do little, to see what the checks keep from it.
struct Humble(HandDevice, bool);

impl BlockDevice for Humble {
    fn geometry(&self) -> crate::Geometry {
        self.0.geometry()
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities { read_only: self.1, ..Capabilities::default() }
    }
    fn home(&self) -> Option<Arc<dyn crate::Home>> {
        None
    }
    fn open(&self, depth: u16, wake: Wake) -> Result<Box<dyn Queue>, crate::Refusal> {
        self.0.open(depth, wake)
    }
}

#[test]
fn the_device_sees_valid_requests_only() {
    use crate::Op;
    let d = HandDevice::default();
    let humble = Arc::new(Humble(d.clone(), false));
    let wake = Wake::new(|| ());
    let mut q = Check::new(queue(&*humble, 8), humble, false, 4, wake.clone());
    let fast = Op::Zero { fua: false, unmap: false, fast: true };
    let mut answer = |r: Request| {
        q.submit(r).unwrap();
        q.reap().map(|c| c.result)
    };
    for op in [Op::Discard, Op::Extents, Op::Prefetch, fast] {
        assert_eq!(answer(request(1, op, 0, 512)), Some(Err(IoError::NotSupported)), "{op:?}");
    }
    let too_long = request(1, Op::Read, 0, (1 << 16) + 1);
    assert_eq!(answer(too_long), Some(Err(IoError::Invalid)));
    assert_eq!(d.has(), 0);
    let slow = Op::Zero { fua: false, unmap: false, fast: false };
    assert_eq!(answer(request(1, slow, 0, 1 << 20)), None, "a range without payload may be long");
    assert_eq!(answer(request(2, Op::Read, 3, 1 << 16)), None, "nothing has to be aligned");
    assert_eq!(d.has(), 2);
    for tag in 0..4 {
        q.submit(request(tag, Op::Discard, 0, 1)).unwrap();
    }
    assert!(q.submit(request(4, Op::Discard, 0, 1)).is_err(), "answers that nobody fetches are bounded");

    let sealed = Arc::new(Humble(d.clone(), true));
    let mut q = Check::new(queue(&*sealed, 8), sealed, false, 4, wake);
    q.submit(request(1, WRITE, 0, 512)).unwrap();
    assert_eq!(q.reap().unwrap().result, Err(IoError::ReadOnly));
}
