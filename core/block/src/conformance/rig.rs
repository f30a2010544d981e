//! Drives one queue from a test's thread, wherever the queue has to live.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parpen_base::Buf;
use uuid::Uuid;

use crate::pinned::{self, Poker};
use crate::{
    AccessTable, Address, Admits, BlockDevice, Completion, ExportId, Gate, Op, Peer, Queue, Request, Rights,
    Session, Wake, Whom,
};

/// A device that needs longer for a batch is taken for dead.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of a batch.
pub(super) struct Batch {
    /// In the order in which they came.
    pub(super) completions: Vec<Completion>,
    /// The most requests that the queue had at one time.
    pub(super) most: usize,
}

/// One queue of a session.
pub(super) struct Rig {
    gate: Gate,
    export: ExportId,
    commands: Arc<Mutex<Commands>>,
    drive: Drive,
    done: Receiver<Batch>,
}

enum Drive {
    Home(Arc<Poker>),
    Here { number: u64, bell: Receiver<()> },
}

#[derive(Default)]
struct Commands {
    batch: Option<Vec<Request>>,
    /// Drop the queue as it is.
    close: bool,
}

fn lock(commands: &Mutex<Commands>) -> MutexGuard<'_, Commands> {
    commands.lock().unwrap_or_else(PoisonError::into_inner)
}

fn admit(device: &Arc<dyn BlockDevice>, rights: Rights) -> (Gate, ExportId, Session) {
    let (gate, export) = (Gate::new(), ExportId(Uuid::nil()));
    gate.publish(export, AccessTable { rights, admits: Admits::Everyone }, 1);
    let peer = Peer { transport: "conformance", address: Address::Local, tls_name: None };
    let session = gate.admit(export, None, peer, Arc::clone(device)).expect("everybody is let in");
    (gate, export, session)
}

impl Rig {
    pub(super) fn open(device: &Arc<dyn BlockDevice>, depth: u16) -> Rig {
        Rig::open_as(device, depth, Rights::ReadWrite)
    }

    pub(super) fn open_as(device: &Arc<dyn BlockDevice>, depth: u16, rights: Rights) -> Rig {
        let (gate, export, session) = admit(device, rights);
        let commands = Arc::new(Mutex::new(Commands::default()));
        let (tx, done) = mpsc::channel();
        let number = pinned::number();
        let theirs = Arc::clone(&commands);
        let drive = match session.home() {
            Some(home) => {
                let poker = Poker::new(Arc::clone(&home), number, || ());
                let wake = poker.wake();
                let (opened, answer) = mpsc::channel();
                home.run(Box::new(move || {
                    start(session, depth, wake, number, theirs, tx);
                    // The test gives up when nobody listens any more.
                    opened.send(()).unwrap_or_default();
                }));
                answer.recv_timeout(PATIENCE).expect("the home opens a queue");
                Drive::Home(poker)
            }
            None => {
                let (ring, bell) = mpsc::channel();
                let ring = Mutex::new(ring);
                // Nobody listens once the rig is gone.
                let wake = Wake::new(move || {
                    ring.lock().unwrap_or_else(PoisonError::into_inner).send(()).unwrap_or_default();
                });
                start(session, depth, wake, number, theirs, tx);
                Drive::Here { number, bell }
            }
        };
        Rig { gate, export, commands, drive, done }
    }

    /// Starts a batch; [`Rig::finish`] waits for it.
    pub(super) fn start(&self, batch: Vec<Request>) {
        lock(&self.commands).batch = Some(batch);
        self.poke();
    }

    /// Waits until everything of the batch was answered.
    pub(super) fn finish(&self) -> Batch {
        match &self.drive {
            Drive::Home(_) => {
                self.done.recv_timeout(PATIENCE).expect("the device answers a batch in a minute")
            }
            Drive::Here { bell, .. } => loop {
                if let Ok(batch) = self.done.try_recv() {
                    return batch;
                }
                bell.recv_timeout(PATIENCE).expect("the device wakes its owner within a minute");
                self.poke();
            },
        }
    }

    /// Runs a batch; its completions by index of the requests. The tags are set here.
    pub(super) fn all(&self, mut batch: Vec<Request>) -> Vec<Completion> {
        for (tag, r) in batch.iter_mut().enumerate() {
            r.tag = tag as u32;
        }
        let n = batch.len();
        self.start(batch);
        let mut completions = self.finish().completions;
        completions.sort_by_key(|c| c.tag);
        let tags: Vec<u32> = completions.iter().map(|c| c.tag).collect();
        assert_eq!(tags, (0..n as u32).collect::<Vec<_>>(), "each tag comes back exactly once");
        completions
    }

    /// Runs one request.
    pub(super) fn one(&self, r: Request) -> Completion {
        self.all(vec![r]).pop().expect("one request has one completion")
    }

    /// Runs one request that must succeed; its buffer.
    pub(super) fn ok(&self, r: Request) -> Option<Buf> {
        let what = format!("{r:?}");
        let len = r.len;
        let c = self.one(r);
        assert_eq!(c.result, Ok(len), "{what}");
        c.buf
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8]) {
        self.ok(request(Op::Write { fua: false }, offset, bytes.len(), Some(Buf::copy_of(bytes))));
    }

    pub(super) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        // A buffer that is not zero: a device that fills nothing is found out.
        let mut dirty = Buf::zeroed(len);
        dirty.fill(0xa5);
        let buf = self.ok(request(Op::Read, offset, len, Some(dirty)));
        buf.expect("the buffer of a read comes home").to_vec()
    }

    /// Starts a batch and drops the queue without waiting; returns when the gate has seen the end of it.
    pub(super) fn abandon(self, batch: Vec<Request>) {
        {
            let mut commands = lock(&self.commands);
            commands.batch = Some(batch);
            commands.close = true;
        }
        self.poke();
        let _proof = wait(self.gate.cut(self.export, Whom::Everyone));
    }

    fn poke(&self) {
        match &self.drive {
            Drive::Home(poker) => poker.poke(),
            Drive::Here { number, .. } => pinned::poke(*number),
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        lock(&self.commands).close = true;
        self.poke();
        if std::thread::panicking() {
            return;
        }
        // So that nothing of this case is left in the device when its `end` is called.
        let (_never, silence) = mpsc::channel::<()>();
        for _ in 0..PATIENCE.as_millis() {
            if self.gate.all_sessions().is_empty() {
                return;
            }
            silence.recv_timeout(Duration::from_millis(1)).unwrap_or_default();
        }
        panic!("the device does not end what it has in a minute");
    }
}

/// A request whose tag is set later.
pub(super) fn request(op: Op, offset: u64, len: usize, buf: Option<Buf>) -> Request {
    Request { tag: 0, op, offset, len: len as u32, buf }
}

fn start(
    session: Session,
    depth: u16,
    wake: Wake,
    number: u64,
    commands: Arc<Mutex<Commands>>,
    done: Sender<Batch>,
) {
    let queue = session.open(depth, wake).expect("a device that is free opens a queue");
    let mut driver =
        Driver { queue, commands, done, waiting: VecDeque::new(), in_flight: 0, most: 0, got: Vec::new() };
    pinned::keep(number, Box::new(move || driver.run()));
}

/// The part on the queue's thread. It judges nothing: a panic belongs on the test's thread.
struct Driver {
    queue: Box<dyn Queue>,
    commands: Arc<Mutex<Commands>>,
    done: Sender<Batch>,
    waiting: VecDeque<Request>,
    in_flight: usize,
    most: usize,
    got: Vec<Completion>,
}

impl Driver {
    fn run(&mut self) -> bool {
        let (batch, close) = {
            let mut commands = lock(&self.commands);
            (commands.batch.take(), commands.close)
        };
        let started = batch.is_some();
        self.waiting.extend(batch.into_iter().flatten());
        loop {
            while let Some(r) = self.waiting.pop_front() {
                if let Err(back) = self.queue.submit(r) {
                    self.waiting.push_front(back);
                    break;
                }
                self.in_flight += 1;
                self.most = self.most.max(self.in_flight);
            }
            self.queue.kick();
            if close {
                return true;
            }
            let before = self.in_flight;
            while let Some(c) = self.queue.reap() {
                // A completion too many shows in the tags.
                self.in_flight = self.in_flight.saturating_sub(1);
                self.got.push(c);
            }
            if self.in_flight == before {
                break;
            }
        }
        let news = started || !self.got.is_empty();
        if news && self.in_flight == 0 && self.waiting.is_empty() {
            let batch =
                Batch { completions: std::mem::take(&mut self.got), most: std::mem::take(&mut self.most) };
            // Nobody listens when the test has given up.
            self.done.send(batch).unwrap_or_default();
        }
        false
    }
}

struct Bell(Mutex<Sender<()>>);

impl std::task::Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).send(()).unwrap_or_default();
    }
}

/// Waits for a future that the device must bring to its end.
fn wait<T>(f: impl Future<Output = T>) -> T {
    let (ring, bell) = mpsc::channel();
    let waker = Arc::new(Bell(Mutex::new(ring))).into();
    let mut f = std::pin::pin!(f);
    loop {
        let mut cx = std::task::Context::from_waker(&waker);
        if let std::task::Poll::Ready(out) = f.as_mut().poll(&mut cx) {
            return out;
        }
        bell.recv_timeout(PATIENCE).expect("the device ends what it has in a minute");
    }
}
