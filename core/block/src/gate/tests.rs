#![allow(clippy::disallowed_methods)] // the races need threads

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use crate::testing::*;
use crate::*;

mod model;
mod races;

const E: u128 = 1;

fn poll<F: Future + Unpin>(f: &mut F) -> Option<F::Output> {
    match std::pin::Pin::new(f).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(out) => Some(out),
        Poll::Pending => None,
    }
}

fn only(n: u128) -> AccessTable {
    table(Rights::ReadWrite, Admits::Only(host(n)))
}

fn everyone() -> AccessTable {
    table(Rights::ReadWrite, Admits::Everyone)
}

fn let_in(g: &Gate, n: u128, d: &HandDevice) -> Result<Session, Refusal> {
    g.admit(export(E), Some(host(n)), peer(), Arc::new(d.clone()))
}

fn counter() -> (Arc<AtomicUsize>, Wake) {
    let n = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&n);
    (
        n,
        Wake::new(move || {
            seen.fetch_add(1, SeqCst);
        }),
    )
}

#[test]
fn lets_in_by_the_newest_rules_only() {
    let (g, d) = (Gate::new(), HandDevice::default());
    assert_eq!(let_in(&g, 1, &d).unwrap_err(), Refusal::Unknown);
    g.publish(export(E), only(1), 5);
    g.publish(export(E), only(2), 4);
    let s = let_in(&g, 1, &d).unwrap();
    assert!(matches!(let_in(&g, 2, &d), Err(Refusal::Forbidden(_))));
    assert_eq!(g.close(export(E), Whom::Host(host(1)), 4), [s.info().clone()]);
    assert!(let_in(&g, 1, &d).is_ok(), "an old close closes nothing");
    g.close(export(E), Whom::Host(host(1)), 6);
    g.publish(export(E), only(1), 5);
    assert!(let_in(&g, 1, &d).is_err(), "closed until rules of that epoch come");
    g.publish(export(E), only(1), 6);
    assert!(let_in(&g, 1, &d).is_ok());
    g.forget(export(E));
    assert_eq!(let_in(&g, 1, &d).unwrap_err(), Refusal::Unknown);
    assert_eq!(g.all_sessions().len(), 1);
    drop(s);
    assert!(g.0.lock().exports.is_empty());
}

#[test]
fn a_cut_waits_for_the_device_and_fences_what_comes_later() {
    let (g, d) = (Gate::new(), HandDevice::default());
    g.publish(export(E), everyone(), 1);
    let (one, two) = (let_in(&g, 1, &d).unwrap(), let_in(&g, 2, &d).unwrap());
    let (hooks, hook) = counter();
    let hook2 = hook.clone();
    one.on_cut(Box::new(move || hook.wake()));
    let (wakes, wake) = counter();
    let mut q1 = one.open(4, wake).unwrap();
    let mut q2 = two.open(4, Wake::new(|| ())).unwrap();
    q1.submit(request(1, WRITE, 0, 512)).unwrap();
    q2.submit(request(1, WRITE, 512, 512)).unwrap();

    let mut cut = pin!(g.cut(export(E), Whom::Host(host(1))));
    assert!(poll(&mut cut).is_none());
    assert_eq!((hooks.load(SeqCst), wakes.load(SeqCst)), (1, 1));
    one.on_cut(Box::new(move || hook2.wake()));
    assert_eq!(hooks.load(SeqCst), 2, "a late hook is called at once");
    q1.submit(request(2, WRITE, 0, 512)).unwrap();
    let late = q1.reap().unwrap();
    assert_eq!((late.tag, late.result), (2, Err(IoError::Fenced)));
    assert_eq!(late.buf.unwrap().len(), 512, "the buffer comes home");
    assert_eq!(d.has(), 2, "the device saw only what was there before");
    d.finish(1);
    assert!(poll(&mut cut).is_none(), "not done until the queue has taken the completion");
    assert_eq!(q1.reap().unwrap().result, Ok(512));
    let proof = poll(&mut cut).unwrap();
    assert_eq!((proof.export(), proof.whom(), proof.epoch()), (export(E), Whom::Host(host(1)), 1));
    assert!(let_in(&g, 1, &d).is_err(), "a cut closes");
    assert!(one.open(1, Wake::new(|| ())).is_err());
    q2.submit(request(2, WRITE, 0, 512)).unwrap();
    d.finish(2);
    assert!(q2.reap().unwrap().result.is_ok() && !two.is_cut());
}

#[test]
fn a_dropped_queue_is_finished_on_its_home_before_the_cut_ends() {
    let home = ThreadHome::start();
    let (g, d) = (Gate::new(), HandDevice::at(&home));
    g.publish(export(E), everyone(), 1);
    let s = let_in(&g, 1, &d).unwrap();
    home.ask(move || {
        let mut q = s.open(4, Wake::new(|| ())).unwrap();
        q.submit(request(1, WRITE, 0, 512)).unwrap();
        q.submit(request(2, WRITE, 0, 512)).unwrap();
    });
    assert_eq!(g.sessions(export(E)).len(), 1, "its writes can still land");
    let mut cut = pin!(g.cut(export(E), Whom::Everyone));
    assert!(poll(&mut cut).is_none());
    d.finish(1);
    home.ask(|| ());
    assert!(poll(&mut cut).is_none());
    d.finish(1);
    home.ask(|| ());
    assert!(poll(&mut cut).is_some() && d.landed() == 2);
    assert_eq!(g.sessions(export(E)), []);
    home.stop();
}

#[test]
fn without_a_home_the_drop_waits() {
    let (g, d) = (Gate::new(), HandDevice::default());
    g.publish(export(E), everyone(), 1);
    let s = let_in(&g, 1, &d).unwrap();
    let mut q = s.open(4, Wake::new(|| ())).unwrap();
    q.submit(request(1, WRITE, 0, 512)).unwrap();
    drop(s);
    let other = d.clone();
    let finisher = std::thread::spawn(move || other.finish(1));
    drop(q);
    assert_eq!((d.landed(), g.all_sessions().len()), (1, 0));
    finisher.join().unwrap();
}

#[test]
fn a_home_that_ends_first_leaves_no_proof_behind() {
    let home = ThreadHome::start();
    let (g, d) = (Gate::new(), HandDevice::at(&home));
    g.publish(export(E), everyone(), 1);
    let s = let_in(&g, 1, &d).unwrap();
    home.ask(move || {
        let mut q = s.open(4, Wake::new(|| ())).unwrap();
        q.submit(request(1, WRITE, 0, 512)).unwrap();
    });
    home.stop();
    d.finish(1);
    assert!(poll(&mut pin!(g.cut(export(E), Whom::Everyone))).is_none());
}

#[test]
fn a_hold_gives_back_and_lets_go_on() {
    let (g, d, time) = (Gate::new(), HandDevice::default(), HandTime::default());
    g.publish(export(E), everyone(), 1);
    let s = let_in(&g, 1, &d).unwrap();
    let (wakes, wake) = counter();
    let mut q = s.open(4, wake).unwrap();
    q.submit(request(1, WRITE, 0, 512)).unwrap();
    let es = [export(E), export(E), export(2)];
    let mut hold = pin!(g.hold(&es, 100, &time));
    assert!(poll(&mut hold).is_none());
    let back = q.submit(request(2, WRITE, 0, 512)).unwrap_err();
    d.finish(1);
    assert!(q.reap().is_some());
    let held = poll(&mut hold).unwrap().unwrap();
    let late = let_in(&g, 2, &d).unwrap();
    let mut lq = late.open(1, Wake::new(|| ())).unwrap();
    assert!(lq.submit(request(1, WRITE, 0, 512)).is_err(), "who comes during a hold is held");
    let before = wakes.load(SeqCst);
    let second = poll(&mut pin!(g.hold(&es, 100, &time))).unwrap().unwrap();
    held.release().unwrap();
    assert!(q.submit(request(3, WRITE, 0, 512)).is_err(), "the other hold still holds");
    second.release().unwrap();
    assert_eq!(wakes.load(SeqCst), before + 1);
    q.submit(back).unwrap();
    lq.submit(request(1, WRITE, 0, 512)).unwrap();
    d.finish(2);
    assert_eq!(g.0.lock().exports.len(), 1, "an export that is only held leaves nothing");
}

#[test]
fn a_hold_ends_by_itself() {
    let (g, d, time) = (Gate::new(), HandDevice::default(), HandTime::default());
    g.publish(export(E), everyone(), 1);
    let s = let_in(&g, 1, &d).unwrap();
    let mut q = s.open(4, Wake::new(|| ())).unwrap();
    q.submit(request(1, WRITE, 0, 512)).unwrap();
    let es = [export(E)];
    let mut hold = pin!(g.hold(&es, 100, &time));
    assert!(poll(&mut hold).is_none());
    time.pass(100);
    assert!(matches!(poll(&mut hold), Some(Err(IoError::Io))));
    q.submit(request(2, WRITE, 0, 512)).unwrap();
    d.finish(2);
    while q.reap().is_some() {}
    let held = poll(&mut pin!(g.hold(&es, 100, &time))).unwrap().unwrap();
    time.pass(99);
    assert!(!held.is_broken());
    time.pass(1);
    q.submit(request(3, WRITE, 0, 512)).unwrap();
    assert_eq!(held.release(), Err(IoError::Io));
    d.finish(1);
}

#[test]
fn new_rules_cut_who_may_less_and_keep_the_next_one_out_until_drained() {
    let (g, d) = (Gate::new(), HandDevice::default());
    g.publish(export(E), everyone(), 1);
    let (one, two) = (let_in(&g, 1, &d).unwrap(), let_in(&g, 2, &d).unwrap());
    let mut q = one.open(4, Wake::new(|| ())).unwrap();
    q.submit(request(1, WRITE, 0, 512)).unwrap();
    g.publish(export(E), only(2), 2);
    assert!(one.is_cut() && !two.is_cut());
    assert!(matches!(let_in(&g, 2, &d), Err(Refusal::Unavailable(_))));
    d.finish(1);
    assert!(q.reap().is_some());
    assert!(let_in(&g, 2, &d).is_ok());
    g.publish(export(E), table(Rights::ReadOnly, Admits::Everyone), 3);
    assert!(two.is_cut(), "fewer rights are a cut");
    let three = let_in(&g, 3, &d).unwrap();
    assert!(three.capabilities().read_only);
    g.publish(export(E), everyone(), 4);
    assert!(!three.is_cut());
    let mut q = three.open(4, Wake::new(|| ())).unwrap();
    q.submit(request(1, WRITE, 0, 512)).unwrap();
    assert_eq!(q.reap().unwrap().result, Err(IoError::ReadOnly), "rights are those of the admission");
}
