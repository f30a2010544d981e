//! What the tests of this crate share: a home thread, hand-turned time, and a device that answers when told
//! to.
#![allow(clippy::disallowed_methods)] // tests make the threads that core/ring makes otherwise

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use parpen_base::Clock;
use uuid::Uuid;

use crate::*;

type Errand = Box<dyn FnOnce() + Send>;

/// A thread that runs what it is sent.
pub(crate) struct ThreadHome {
    errands: Mutex<Option<mpsc::Sender<Errand>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ThreadHome {
    pub(crate) fn start() -> Arc<ThreadHome> {
        let (tx, rx) = mpsc::channel::<Errand>();
        let thread = std::thread::spawn(move || rx.into_iter().for_each(|errand| errand()));
        Arc::new(ThreadHome { errands: Mutex::new(Some(tx)), thread: Mutex::new(Some(thread)) })
    }

    /// Ends the thread after what it was sent so far.
    pub(crate) fn stop(&self) {
        drop(self.errands.lock().unwrap().take());
        if let Some(thread) = self.thread.lock().unwrap().take() {
            thread.join().unwrap();
        }
    }

    /// Runs `f` there and waits for its answer.
    pub(crate) fn ask<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> T {
        let (tx, rx) = mpsc::channel();
        self.run(Box::new(move || tx.send(f()).unwrap()));
        rx.recv_timeout(Duration::from_secs(20)).expect("the home answers")
    }
}

impl Home for ThreadHome {
    fn id(&self) -> ReactorId {
        ReactorId(0)
    }
    fn run(&self, f: Errand) {
        // Without a receiver the errand is dropped unrun, as the trait says.
        if let Some(tx) = &*self.errands.lock().unwrap() {
            let _ = tx.send(f);
        }
    }
}

/// Time that stands still until it is moved; clock and timer in one.
#[derive(Default)]
pub(crate) struct HandTime {
    now: AtomicU64,
    waiting: Mutex<Vec<(u64, Errand)>>,
}

impl HandTime {
    /// Lets `ms` pass and calls what is due.
    pub(crate) fn pass(&self, ms: u64) {
        let now = self.now.fetch_add(ms, Ordering::SeqCst) + ms;
        let (due, later) =
            std::mem::take(&mut *self.waiting.lock().unwrap()).into_iter().partition(|(at, _)| *at <= now);
        self.waiting.lock().unwrap().extend::<Vec<_>>(later);
        let due: Vec<(u64, Errand)> = due;
        due.into_iter().for_each(|(_, f)| f());
    }
}

impl Timer for HandTime {
    fn after(&self, ms: u32, f: Errand) {
        let at = self.now.load(Ordering::SeqCst) + u64::from(ms);
        self.waiting.lock().unwrap().push((at, f));
    }
}

impl Clock for HandTime {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
    fn steady(&self) -> Duration {
        Duration::from_millis(self.now.load(Ordering::SeqCst))
    }
}

/// A device that keeps every request until it is told to finish it; a dropped queue's requests land all the
/// same.
#[derive(Clone, Default)]
pub(crate) struct HandDevice {
    hand: Arc<Mutex<Hand>>,
    home: Option<Arc<ThreadHome>>,
}

#[derive(Default)]
struct Hand {
    queues: u64,
    accepted: VecDeque<(u64, Request)>,
    done: HashMap<u64, VecDeque<Completion>>,
    wakes: HashMap<u64, Wake>,
    landed: usize,
}

impl HandDevice {
    pub(crate) fn at(home: &Arc<ThreadHome>) -> HandDevice {
        HandDevice { hand: Arc::default(), home: Some(Arc::clone(home)) }
    }

    /// Finishes the `n` oldest requests.
    pub(crate) fn finish(&self, n: usize) {
        for _ in 0..n {
            let wake = {
                let mut hand = self.hand.lock().unwrap();
                let (queue, r) = hand.accepted.pop_front().expect("a request to finish");
                hand.landed += 1;
                let c = Completion { tag: r.tag, result: Ok(r.len), buf: r.buf, all_zero: false };
                hand.done.entry(queue).or_default().push_back(c);
                hand.wakes.get(&queue).cloned()
            };
            wake.expect("an open queue").wake();
        }
    }

    pub(crate) fn has(&self) -> usize {
        self.hand.lock().unwrap().accepted.len()
    }

    pub(crate) fn landed(&self) -> usize {
        self.hand.lock().unwrap().landed
    }
}

impl BlockDevice for HandDevice {
    fn geometry(&self) -> Geometry {
        Geometry { size: 1 << 20, block: 4096, preferred: 4096, maximum: 1 << 16 }
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities { fua: true, ..Capabilities::default() }
    }
    fn home(&self) -> Option<Arc<dyn Home>> {
        self.home.clone().map(|h| h as Arc<dyn Home>)
    }
    fn open(&self, depth: u16, wake: Wake) -> Result<Box<dyn Queue>, Refusal> {
        let mut hand = self.hand.lock().unwrap();
        hand.queues += 1;
        let number = hand.queues;
        hand.wakes.insert(number, wake);
        Ok(Box::new(HandQueue { device: self.clone(), number, room: depth, taken: 0 }))
    }
}

struct HandQueue {
    device: HandDevice,
    number: u64,
    room: u16,
    taken: u16,
}

impl Queue for HandQueue {
    fn submit(&mut self, r: Request) -> Result<(), Request> {
        if self.taken == self.room {
            return Err(r);
        }
        self.taken += 1;
        self.device.hand.lock().unwrap().accepted.push_back((self.number, r));
        Ok(())
    }
    fn kick(&mut self) {}
    fn reap(&mut self) -> Option<Completion> {
        let c = self.device.hand.lock().unwrap().done.get_mut(&self.number)?.pop_front()?;
        self.taken -= 1;
        Some(c)
    }
}

struct Unpark(Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end on this thread.
pub(crate) fn block_on<T>(f: impl Future<Output = T>) -> T {
    let mut f = pin!(f);
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut cx = Context::from_waker(&waker);
    loop {
        match f.as_mut().poll(&mut cx) {
            Poll::Ready(out) => return out,
            Poll::Pending => std::thread::park_timeout(Duration::from_secs(20)),
        }
    }
}

pub(crate) fn peer() -> Peer {
    Peer { transport: "test", address: Address::Local, tls_name: None }
}

pub(crate) fn host(n: u128) -> HostId {
    HostId(Uuid::from_u128(n))
}

pub(crate) fn export(n: u128) -> ExportId {
    ExportId(Uuid::from_u128(n))
}

pub(crate) fn table(rights: Rights, admits: Admits) -> AccessTable {
    AccessTable { rights, admits }
}

pub(crate) fn request(tag: u32, op: Op, offset: u64, len: u32) -> Request {
    let buf = matches!(op, Op::Read | Op::Write { .. }).then(|| parpen_base::Buf::zeroed(len as usize));
    Request { tag, op, offset, len, buf }
}

pub(crate) const WRITE: Op = Op::Write { fua: false };
