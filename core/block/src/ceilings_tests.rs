use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;
use crate::testing::{HandTime, WRITE, request};
use crate::{Memory, Queue, Wake};

const ID: Uuid = Uuid::from_u128(7);

fn at(ops: u64) -> Limits {
    Limits { bytes: None, ops: Some(ops) }
}

fn house() -> (Arc<HandTime>, Ceilings) {
    let time = Arc::new(HandTime::default());
    (time.clone(), Ceilings::new(time.clone(), time))
}

fn open(c: &Ceilings, class: Class, row: (Limits, i64)) -> Box<dyn Queue> {
    let device = c.around(ID, class, row, Arc::new(Memory::new(1 << 20)));
    device.open(8, Wake::new(|| ())).unwrap()
}

/// How many pass at once.
fn burst(q: &mut dyn Queue) -> usize {
    let mut n = 0;
    while n < 100 && q.submit(request(0, WRITE, 0, 512)).is_ok() {
        q.reap().unwrap();
        n += 1;
    }
    n
}

#[test]
fn all_who_open_a_volume_share_its_bucket_and_the_classes_do_not() {
    let (_time, c) = house();
    let mut first = open(&c, Class::Foreground, (at(100), 1));
    let mut second = open(&c, Class::Foreground, (at(100), 1));
    let mut copy = open(&c, Class::Background, (at(100), 1));
    assert_eq!(burst(&mut *first), 11, "a tenth of a second, and one that owes");
    assert_eq!(burst(&mut *second), 0);
    assert_eq!(burst(&mut *copy), 11);
}

#[test]
fn a_change_reaches_those_who_are_there_and_an_older_row_does_not() {
    let (_time, c) = house();
    let woken = Arc::new(AtomicUsize::new(0));
    let seen = woken.clone();
    let device = c.around(ID, Class::Foreground, (at(0), 3), Arc::new(Memory::new(1 << 20)));
    let wake = Wake::new(move || {
        seen.fetch_add(1, SeqCst);
    });
    let mut q = device.open(8, wake).unwrap();
    assert_eq!(burst(&mut *q), 0);
    c.set(ID, (Limits::default(), 2));
    assert_eq!((burst(&mut *q), woken.load(SeqCst)), (0, 0), "an older row says nothing");
    c.set(ID, (Limits::default(), 4));
    assert_eq!((burst(&mut *q), woken.load(SeqCst)), (100, 1));
    let mut late = open(&c, Class::Foreground, (at(0), 3));
    assert_eq!(burst(&mut *late), 100, "a row that was read before the change");
    let mut next = open(&c, Class::Foreground, (at(0), 5));
    assert_eq!((burst(&mut *next), burst(&mut *q)), (0, 0));
}

#[test]
fn what_nobody_has_open_is_forgotten() {
    let (_time, c) = house();
    for n in 0..1000u128 {
        let memory = Arc::new(Memory::new(1 << 20));
        drop(c.around(Uuid::from_u128(n), Class::Foreground, (at(5), 1), memory));
    }
    assert!(c.lock().all.len() <= 200);
}
