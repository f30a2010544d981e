use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// An allocator whose bits come and go as with checkpoints.
struct Paged {
    a: Alloc,
    disk: BTreeMap<usize, Vec<u64>>,
}

impl Paged {
    fn bring(&mut self, g: usize) {
        let page = self.disk.get(&g).cloned();
        assert_eq!(page.is_some(), !self.a.leaf(g).is_none());
        self.a.install(g, page);
    }

    fn take(&mut self, near: u64, n: u64) -> Option<Runs> {
        while self.a.reachable() < n {
            let g = self.a.best_away()?;
            self.bring(g);
        }
        self.a.take(near, n)
    }

    fn checkpoint(&mut self, keep: usize) {
        self.a.unsettled().into_iter().for_each(|g| self.bring(g));
        let record = self.a.capture();
        for g in &record.dirty {
            let words = record.bits[g].to_vec();
            let count = words.iter().map(|w| w.count_ones()).sum();
            let leaf = BlobRef { block: u64::from(count > 0), ..BlobRef::default() };
            if count > 0 {
                self.disk.insert(*g, words)
            } else {
                self.disk.remove(g)
            };
            self.a.moved(*g, leaf, count);
        }
        self.a.written();
        self.a.evict(keep);
    }
}

proptest! {
    #[test]
    fn agrees_with_a_set(
        blocks in 1u64..3000,
        ops in proptest::collection::vec((any::<u64>(), 0u64..700), 1..60),
    ) {
        let mut paged = Paged { a: Alloc::new(blocks, 640), disk: BTreeMap::new() };
        let mut held: Vec<Run> = Vec::new();
        let mut used = BTreeSet::new();
        for (x, n) in ops {
            if x % 3 == 0 && !held.is_empty() {
                let run = held.swap_remove((x / 3) as usize % held.len());
                paged.a.forget(run);
                paged.a.release(run);
                (run.phys..run.phys + run.len).for_each(|p| { used.remove(&p); });
            } else if x % 7 == 0 {
                paged.checkpoint(x as usize % 3);
            } else {
                match paged.take(x % (blocks + 100), n) {
                    None => prop_assert!(n > blocks - used.len() as u64),
                    Some(runs) => {
                        prop_assert_eq!(runs.iter().map(|r| r.len).sum::<u64>(), n);
                        for r in runs {
                            (r.phys..r.phys + r.len).for_each(|p| assert!(p < blocks && used.insert(p)));
                            paged.a.record(r);
                            held.push(r);
                        }
                    }
                }
            }
            prop_assert_eq!(paged.a.free(), blocks - used.len() as u64);
            prop_assert_eq!(paged.a.broken(), 0);
            let known = |p: &u64| paged.a.is_here(paged.a.group_of(*p));
            prop_assert!((0..blocks).filter(known).all(|p| paged.a.is_used(p) == used.contains(&p)));
        }
        (0..paged.a.groups()).for_each(|g| paged.bring(g));
        prop_assert!((0..blocks).all(|p| paged.a.is_used(p) == used.contains(&p)));
        prop_assert!((0..blocks).all(|p| paged.a.is_recorded(p) == used.contains(&p)));
    }
}

#[test]
fn overwriting_stays_within_the_space_that_was_used() {
    let mut a = Alloc::new(1000 * CHUNK, u32::MAX);
    let mut held: Vec<u64> =
        a.take(0, 4 * CHUNK).unwrap().iter().flat_map(|r| r.phys..r.phys + r.len).collect();
    let mut seed = 1u64;
    let mut near = 0;
    for _ in 0..50_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = (seed >> 33) as usize % held.len();
        let new = a.take(near, 1).unwrap()[0].phys;
        near = new + 1;
        a.release(Run { phys: std::mem::replace(&mut held[at], new), len: 1 });
    }
    let chunks = a.groups.iter().filter_map(|g| g.bits.as_ref()).flat_map(|b| b.chunks.iter());
    let touched = chunks.filter(|c| c.fill > 0).count();
    assert!(touched <= 8, "{touched} chunks for 4 chunks of data");
    for phys in held.drain(..) {
        a.release(Run { phys, len: 1 });
    }
    for chunk in 0..1000 {
        if let Some(run) = a.take_chunk(chunk * CHUNK) {
            assert_eq!(a.chunks_of(run), [chunk * CHUNK]);
            a.release_virgin(run);
        }
    }
    assert_eq!((a.free, a.roomy, a.empty), (1000 * CHUNK, 0, 0));
    let large = a.take(0, 100).unwrap();
    assert!(large.len() <= 2, "large writes get whole chunks: {large:?}");
}

#[test]
fn streams_written_side_by_side_stay_contiguous() {
    let mut a = Alloc::new(64 * CHUNK, u32::MAX);
    let (mut x, mut y) = (u64::MAX, u64::MAX);
    for _ in 0..100 {
        for stream in [&mut x, &mut y] {
            let runs = a.take(*stream, 4).unwrap();
            assert_eq!(runs.len(), 1);
            *stream = runs[0].phys + 4;
        }
    }
    assert!(x.abs_diff(y) >= CHUNK / 2);
    assert_eq!(Alloc::new(0, 64).take(0, 1), None);
    assert_eq!(Alloc::new(5, 64).take(99, 0), Some(Runs::new()));
}
