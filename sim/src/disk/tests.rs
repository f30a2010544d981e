//! The disk must be as bad as it claims, and no worse.

use super::*;
use crate::exec::Executor;

fn disk(seed: u64) -> SimDisk {
    SimDisk::new(64 * PAGE as u64, 512, Rng::new(seed), Trace::new(false))
}

fn run<T: 'static>(disk: &SimDisk, future: impl Future<Output = T> + 'static) -> T {
    let mut exec = Executor::new();
    let mut rng = Rng::new(0);
    let answer = exec.spawn(future);
    while exec.step(&mut rng) || disk.step() {}
    answer.take().expect("nothing is left to wait for")
}

fn filled(value: u8) -> Buf {
    let mut buf = Buf::zeroed(PAGE);
    buf.fill(value);
    buf
}

fn put(disk: &SimDisk, page: u64, value: u8) -> Result<(), DiskError> {
    let d = disk.clone();
    run(disk, async move { d.write(page * PAGE as u64, filled(value)).await.0 })
}

fn get(disk: &SimDisk, page: u64) -> Result<Vec<u8>, DiskError> {
    let d = disk.clone();
    run(disk, async move {
        let (result, buf) = d.read(page * PAGE as u64, Buf::zeroed(PAGE)).await;
        result.map(|()| buf.to_vec())
    })
}

fn flush(disk: &SimDisk) -> Result<(), DiskError> {
    let d = disk.clone();
    run(disk, async move { d.flush().await })
}

#[test]
fn a_flushed_write_survives_and_a_later_one_survives_in_part() {
    let mut seen = [0; 3]; // all old, all new, torn
    for seed in 0..200 {
        let d = disk(seed);
        put(&d, 3, 1).unwrap();
        flush(&d).unwrap();
        put(&d, 3, 2).unwrap();
        assert_eq!(get(&d, 3).unwrap(), [2; PAGE]);
        d.crash();
        let found = get(&d, 3).unwrap();
        assert!(found.chunks(512).all(|s| s == [1; 512] || s == [2; 512]), "seed {seed}");
        let new = found.chunks(512).filter(|s| s[0] == 2).count();
        seen[if new == 0 {
            0
        } else if new == 8 {
            1
        } else {
            2
        }] += 1;
    }
    assert!(seen.iter().all(|n| *n > 10), "{seen:?}");
}

#[test]
fn a_failed_flush_is_followed_by_one_that_lies() {
    let mut lost = 0;
    for seed in 0..50 {
        let d = disk(seed);
        d.set_faults(Faults { flush_error: 1_000_000, ..Faults::default() });
        put(&d, 1, 7).unwrap();
        assert_eq!(flush(&d), Err(DiskError::Io));
        d.set_faults(Faults::default());
        assert_eq!(flush(&d), Ok(()));
        assert_eq!(get(&d, 1).unwrap(), [7; PAGE]);
        d.crash();
        lost += usize::from(get(&d, 1).unwrap() != [7; PAGE]);
    }
    assert!(lost > 40);
}

#[test]
fn silent_faults_strike_only_where_they_may() {
    for (name, faults) in [
        ("lost", Faults { lost_write: 1_000_000, ..Faults::default() }),
        ("stray", Faults { stray_write: 1_000_000, ..Faults::default() }),
    ] {
        let d = disk(5);
        d.set_faults(Faults { silent: vec![10..20, 30..31], ..faults });
        put(&d, 4, 1).unwrap();
        put(&d, 12, 2).unwrap();
        assert_eq!(get(&d, 4).unwrap(), [1; PAGE], "{name}");
        assert_ne!(get(&d, 12).unwrap(), [2; PAGE], "{name}");
    }
    let d = disk(6);
    put(&d, 12, 2).unwrap();
    d.set_faults(Faults { silent: vec![10..20, 30..31], flipped_read: 1_000_000, ..Faults::default() });
    assert_ne!(get(&d, 12).unwrap(), [2; PAGE]);
    d.set_faults(Faults::default());
    assert_eq!(get(&d, 12).unwrap(), [2; PAGE]);
}

#[test]
fn a_full_host_refuses_new_pages_and_takes_old_ones() {
    let d = disk(1);
    put(&d, 1, 1).unwrap();
    d.set_faults(Faults { host_pages: Some(1), ..Faults::default() });
    assert_eq!(put(&d, 2, 1), Err(DiskError::NoSpace));
    put(&d, 1, 2).unwrap();
    let h = d.clone();
    run(&d, async move { h.discard(PAGE as u64, PAGE as u64).await }).unwrap();
    put(&d, 2, 1).unwrap();
}

#[test]
fn two_writes_of_one_page_at_once_are_a_breach() {
    let d = disk(1);
    let (a, b) = (d.clone(), d.clone());
    let mut exec = Executor::new();
    let first = exec.spawn(async move { a.write(0, filled(1)).await.0 });
    let second = exec.spawn(async move { b.write(0, filled(2)).await.0 });
    let mut rng = Rng::new(1);
    while exec.step(&mut rng) {}
    while d.step() {}
    while exec.step(&mut rng) {}
    assert!(d.violation().is_some());
    assert_eq!([first.take(), second.take()].iter().filter(|r| **r == Some(Ok(()))).count(), 1);
}
