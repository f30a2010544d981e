//! Payload buffers of one connection, kept for its next requests. Never shared between connections, so that no
//! client can be shown another one's bytes by mistake.

use parpen_base::{Buf, PAGE};

/// Sizes are powers of two from one page; larger ones than the last class are not kept.
const CLASSES: usize = 10;
/// The most bytes that one connection keeps.
pub(crate) const KEPT: usize = 8 << 20;

#[derive(Default)]
pub(crate) struct Pool {
    classes: [Vec<Buf>; CLASSES],
    kept: usize,
}

/// The class whose buffers hold `len` bytes; it may be beyond the last.
fn class(len: usize) -> usize {
    len.div_ceil(PAGE).next_power_of_two().trailing_zeros() as usize
}

impl Pool {
    /// A buffer of `len` bytes with any content that this connection has seen before.
    pub(crate) fn get(&mut self, len: usize) -> Buf {
        let class = class(len);
        let Some(mut buf) = self.classes.get_mut(class).and_then(Vec::pop) else {
            let mut fresh = Buf::zeroed(if class < CLASSES { PAGE << class } else { len });
            fresh.resize(len);
            return fresh;
        };
        self.kept -= buf.capacity();
        buf.resize(len);
        buf
    }

    /// Keeps a buffer for later if no more than `most` bytes are kept then, or frees it.
    pub(crate) fn put(&mut self, buf: Buf, most: usize) {
        let capacity = buf.capacity();
        let class = class(capacity);
        // a buffer of a foreign size came from elsewhere
        if class < CLASSES && capacity == PAGE << class && self.kept + capacity <= most.min(KEPT) {
            self.kept += capacity;
            self.classes[class].push(buf);
        }
    }

    /// Frees the largest buffers until at most `most` bytes are kept.
    pub(crate) fn trim(&mut self, most: usize) {
        for class in self.classes.iter_mut().rev() {
            while self.kept > most
                && let Some(buf) = class.pop()
            {
                self.kept -= buf.capacity();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_length_asked_for_and_keeps_a_bounded_lot() {
        let mut pool = Pool::default();
        for len in [1, 4096, 4097, 2 << 20, (2 << 20) + 1, 32 << 20] {
            let buf = pool.get(len);
            assert_eq!(buf.len(), len);
            pool.put(buf, usize::MAX);
        }
        let kept: usize = pool.classes.iter().flatten().map(Buf::capacity).sum();
        assert_eq!((kept, pool.kept), (4096 + 8192 + (2 << 20), kept));
        let many: Vec<Buf> = (0..5).map(|_| pool.get(2 << 20)).collect();
        many.into_iter().for_each(|buf| pool.put(buf, usize::MAX));
        assert!(pool.kept <= KEPT && pool.classes[9].len() == 3);
        pool.trim(100_000);
        assert_eq!((pool.kept, pool.classes[9].len()), (4096 + 8192, 0));
        let buf = pool.get(1);
        pool.put(buf, 8192);
        assert_eq!(pool.kept, 8192, "a full pool frees what it is given");
    }
}
