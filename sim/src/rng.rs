//! The one source of choices of a history (SplitMix64).

/// A reproducible stream of choices. Cheap to copy state from; never for secrets.
#[derive(Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream that `seed` names.
    pub fn new(seed: u64) -> Rng {
        let mut rng = Rng(seed ^ 0x5eed_0f57_0ee5);
        rng.next();
        rng
    }

    /// The next 64 bits.
    #[allow(clippy::should_implement_trait)] // it never ends and is no iterator
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is at least 1. The bias of the plain remainder is of no matter here.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True in `millionths` of 1 000 000 cases. Draws nothing when the answer is fixed, so that a fault
    /// that is switched off does not move the other choices.
    pub fn chance(&mut self, millionths: u32) -> bool {
        millionths != 0 && self.next() % 1_000_000 < u64::from(millionths)
    }

    /// True in `percent` of 100 cases.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.chance(percent * 10_000)
    }

    /// One of `items`, which is not empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// A stream of its own, so that two users do not disturb each other's choices.
    pub fn fork(&mut self) -> Rng {
        Rng::new(self.next())
    }
}
