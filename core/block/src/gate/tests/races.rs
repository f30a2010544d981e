//! Takeovers under load, with real threads: a device whose writes land late, on another thread, and which
//! knows who may write at the moment of landing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Condvar, Mutex, mpsc};

use super::super::Inner;
use super::super::session::{Enter, Live};
use super::*;

/// Lands writes on its own thread. The first eight bytes of a write name the term of its writer.
struct Late {
    work: Mutex<mpsc::Sender<(Request, Arc<Mailbox>)>>,
    home: Arc<ThreadHome>,
}

/// A queue's mailbox.
struct Mailbox {
    done: Mutex<VecDeque<Completion>>,
    wake: Wake,
}

/// Who may write now, and what went wrong.
#[derive(Default)]
struct Law {
    term: AtomicU64,
    landed: AtomicU64,
    broken: AtomicU64,
}

impl Late {
    fn start(law: &Arc<Law>, home: &Arc<ThreadHome>) -> Late {
        let (tx, rx) = mpsc::channel::<(Request, Arc<Mailbox>)>();
        let law = Arc::clone(law);
        std::thread::spawn(move || {
            for (n, (r, mailbox)) in rx.into_iter().enumerate() {
                if n % 7 == 0 {
                    std::thread::yield_now();
                }
                let term = u64::from_le_bytes(r.buf.as_ref().unwrap()[..8].try_into().unwrap());
                if term != law.term.load(SeqCst) {
                    law.broken.fetch_add(1, SeqCst);
                }
                law.landed.fetch_add(1, SeqCst);
                let c = Completion { tag: r.tag, result: Ok(r.len), buf: r.buf, all_zero: false };
                mailbox.done.lock().unwrap().push_back(c);
                mailbox.wake.wake();
            }
        });
        Late { work: Mutex::new(tx), home: Arc::clone(home) }
    }
}

impl BlockDevice for Late {
    fn geometry(&self) -> Geometry {
        HandDevice::default().geometry()
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
    fn home(&self) -> Option<Arc<dyn Home>> {
        Some(Arc::clone(&self.home) as Arc<dyn Home>)
    }
    fn open(&self, _: u16, wake: Wake) -> Result<Box<dyn Queue>, Refusal> {
        let work = self.work.lock().unwrap().clone();
        Ok(Box::new(LateQueue { work, mailbox: Arc::new(Mailbox { done: Mutex::default(), wake }) }))
    }
}

struct LateQueue {
    work: mpsc::Sender<(Request, Arc<Mailbox>)>,
    mailbox: Arc<Mailbox>,
}

impl Queue for LateQueue {
    fn submit(&mut self, r: Request) -> Result<(), Request> {
        self.work.send((r, Arc::clone(&self.mailbox))).map_err(|e| e.0.0)
    }
    fn kick(&mut self) {}
    fn reap(&mut self) -> Option<Completion> {
        self.mailbox.done.lock().unwrap().pop_front()
    }
}

/// Writes until it is cut, then drops its queue with whatever is in flight.
fn write_until_cut(session: &Session, term: u64) {
    let bell = Arc::new((Mutex::new(false), Condvar::new()));
    let rung = Arc::clone(&bell);
    let wake = Wake::new(move || {
        *rung.0.lock().unwrap() = true;
        rung.1.notify_one();
    });
    let Ok(mut q) = session.open(16, wake) else { return };
    let (mut tag, mut in_flight) = (0, 0);
    loop {
        while in_flight < 16 {
            let mut r = request(tag, WRITE, 0, 512);
            r.buf.as_mut().unwrap()[..8].copy_from_slice(&term.to_le_bytes());
            if q.submit(r).is_err() {
                break;
            }
            (tag, in_flight) = (tag + 1, in_flight + 1);
        }
        q.kick();
        let before = in_flight;
        while let Some(c) = q.reap() {
            in_flight -= 1;
            if c.result == Err(IoError::Fenced) {
                return;
            }
        }
        if session.is_cut() && term.is_multiple_of(3) {
            return;
        }
        if in_flight < before {
            continue;
        }
        let mut news = bell.0.lock().unwrap();
        while !*news {
            news = bell.1.wait(news).unwrap();
        }
        *news = false;
    }
}

#[test]
fn nothing_of_the_old_holder_lands_after_the_proof() {
    let (law, homes) = (Arc::new(Law::default()), [ThreadHome::start(), ThreadHome::start()]);
    let g = Gate::new();
    let devices: Vec<Arc<dyn BlockDevice>> =
        homes.iter().map(|h| Arc::new(Late::start(&law, h)) as Arc<dyn BlockDevice>).collect();
    let stop = Arc::new(AtomicBool::new(false));
    // Knocks all the time, as a holder that will not hear of its loss does.
    let (knocking, gate, term_now, device) =
        (Arc::clone(&stop), g.clone(), Arc::clone(&law), Arc::clone(&devices[0]));
    let knocker = std::thread::spawn(move || {
        let mut inside = 0u64;
        while !knocking.load(SeqCst) {
            if let Ok(s) = gate.admit(export(E), Some(host(7)), peer(), Arc::clone(&device)) {
                // Host 7 is let in during terms it does not write in: it only shows that admit and cut may
                // meet.
                inside += u64::from(term_now.term.load(SeqCst) > 0);
                drop(s);
            }
            std::thread::yield_now();
        }
        inside
    });
    for term in 1..=300u64 {
        law.term.store(term, SeqCst);
        let holder = u128::from(term % 2) + 1;
        g.publish(export(E), if term % 5 == 0 { everyone() } else { only(holder) }, 2 * term);
        let mut workers = Vec::new();
        for (home, device) in homes.iter().zip(&devices) {
            let s = g.admit(export(E), Some(host(holder)), peer(), Arc::clone(device)).unwrap();
            let (tx, rx) = mpsc::channel();
            home.run(Box::new(move || {
                write_until_cut(&s, term);
                tx.send(()).unwrap();
            }));
            workers.push(rx);
        }
        for _ in 0..term % 50 {
            std::thread::yield_now();
        }
        g.close(export(E), Whom::Everyone, 2 * term + 1);
        let landed = law.landed.load(SeqCst);
        let proof = block_on(g.cut(export(E), Whom::Everyone));
        assert_eq!(proof.epoch(), 2 * term + 1);
        law.term.store(u64::MAX, SeqCst);
        assert_eq!(law.broken.load(SeqCst), 0, "term {term}, {landed} landed before the cut");
        workers.iter().for_each(|w| w.recv().unwrap());
    }
    stop.store(true, SeqCst);
    knocker.join().unwrap();
    homes.iter().for_each(|h| h.stop());
    assert!(law.landed.load(SeqCst) > 300);
    assert_eq!(law.broken.load(SeqCst), 0);
    assert_eq!(g.all_sessions(), []);
}

#[test]
fn a_hold_is_an_instant_for_all_its_exports() {
    let (law, homes) = (Arc::new(Law::default()), [ThreadHome::start(), ThreadHome::start()]);
    let (g, time) = (Gate::new(), HandTime::default());
    law.term.store(1, SeqCst);
    let es = [export(1), export(2)];
    for (home, e) in homes.iter().zip(es) {
        g.publish(e, everyone(), 1);
        let s = g.admit(e, None, peer(), Arc::new(Late::start(&law, home))).unwrap();
        home.run(Box::new(move || write_until_cut(&s, 1)));
    }
    // The homes may get their first turn late on a busy machine.
    while law.landed.load(SeqCst) == 0 {
        std::thread::yield_now();
    }
    for _ in 0..300 {
        let held = block_on(g.hold(&es, 1000, &time)).unwrap();
        let landed = law.landed.load(SeqCst);
        for _ in 0..20 {
            std::thread::yield_now();
        }
        assert_eq!(law.landed.load(SeqCst), landed, "a write landed in a hold");
        held.release().unwrap();
    }
    for e in es {
        let _proof = block_on(g.cut(e, Whom::Everyone));
    }
    homes.iter().for_each(|h| h.stop());
    assert_eq!(law.broken.load(SeqCst), 0);
}

#[test]
fn a_request_enters_before_the_cut_or_not_at_all() {
    const ROUNDS: usize = 10_000;
    let info = || SessionInfo { export: export(E), host: None, peer: peer(), rights: Rights::ReadWrite };
    let lives: Arc<Vec<Live>> = Arc::new((0..ROUNDS).map(|_| Live::new(info(), false)).collect());
    let (proven, inside) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (seen, told, words) = (Arc::clone(&proven), Arc::clone(&inside), Arc::clone(&lives));
    let worker = std::thread::spawn(move || {
        let (gate, mut late) = (Inner::default(), 0);
        for (round, live) in words.iter().enumerate() {
            while live.enter(&gate) == Enter::Go {
                late += u64::from(seen.load(SeqCst) > round as u64);
                told.store(round as u64 + 1, SeqCst);
                live.leave(&gate);
            }
        }
        late
    });
    for (round, live) in lives.iter().enumerate() {
        while inside.load(SeqCst) <= round as u64 {
            std::thread::yield_now();
        }
        live.shut();
        while live.in_flight() > 0 {
            std::thread::yield_now();
        }
        proven.store(round as u64 + 1, SeqCst);
    }
    assert_eq!(worker.join().unwrap(), 0, "requests entered after the proof");
}
