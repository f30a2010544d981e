//! A list of byte pieces that one send writes in order.

use std::ops::Range;

use parpen_base::Buf;

/// Where one piece lies.
#[derive(Debug)]
struct Piece {
    /// A lent buffer; `None`: the arena of small pieces.
    lent: Option<usize>,
    start: usize,
    end: usize,
}

/// Byte pieces for one send: small ones are copied, whole [`Buf`]s or parts of them are lent. Reused, it allocates
/// nothing.
#[derive(Debug)]
pub struct Gather {
    arena: Buf,
    /// Bytes of the arena that are in use.
    used: usize,
    lent: Vec<Buf>,
    pieces: Vec<Piece>,
    /// Pieces that were sent.
    sent: usize,
    /// Bytes that are still to be sent.
    left: usize,
}

impl Default for Gather {
    fn default() -> Gather {
        Gather::new()
    }
}

impl Gather {
    /// An empty list.
    pub fn new() -> Gather {
        Gather { arena: Buf::zeroed(0), used: 0, lent: Vec::new(), pieces: Vec::new(), sent: 0, left: 0 }
    }

    /// Appends a copy of `bytes`.
    pub fn copy(&mut self, bytes: &[u8]) {
        let start = self.used;
        let end = start + bytes.len();
        if end > self.arena.len() {
            self.arena.resize(end.next_power_of_two());
        }
        self.arena[start..end].copy_from_slice(bytes);
        self.used = end;
        self.left += bytes.len();
        let unsent = &mut self.pieces[self.sent..];
        match unsent.last_mut() {
            Some(Piece { lent: None, end: last, .. }) => *last = end,
            _ => self.pieces.push(Piece { lent: None, start, end }),
        }
    }

    /// Appends all bytes of `buf`, without a copy.
    pub fn push(&mut self, buf: Buf) {
        let len = buf.len();
        let lent = self.lend(buf);
        self.part(lent, 0..len);
    }

    /// Takes a buffer of which [`Gather::part`] then appends parts; gives its number. It comes back with
    /// [`Gather::clear`].
    pub fn lend(&mut self, buf: Buf) -> usize {
        self.lent.push(buf);
        self.lent.len() - 1
    }

    /// Appends a part of a lent buffer, without a copy.
    ///
    /// # Panics
    /// If there is no such buffer or the range is not within it.
    pub fn part(&mut self, lent: usize, range: Range<usize>) {
        assert!(range.start <= range.end && range.end <= self.lent[lent].len(), "{range:?} is not within it");
        self.left += range.len();
        self.pieces.push(Piece { lent: Some(lent), start: range.start, end: range.end });
    }

    /// Bytes that are still to be sent.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether nothing is left to be sent.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Empties the list and hands the buffers back.
    pub fn clear(&mut self, recycle: impl FnMut(Buf)) {
        self.pieces.clear();
        self.lent.drain(..).for_each(recycle);
        (self.used, self.sent, self.left) = (0, 0, 0);
    }

    /// The pieces that are still to be sent.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces[self.sent..].iter().map(|piece| match piece.lent {
            None => &self.arena[piece.start..piece.end],
            Some(lent) => &self.lent[lent][piece.start..piece.end],
        })
    }

    /// The next `n` bytes were sent.
    pub(crate) fn advance(&mut self, mut n: usize) {
        assert!(n <= self.left, "more was sent than there was");
        self.left -= n;
        while let Some(piece) = self.pieces.get_mut(self.sent) {
            let len = piece.end - piece.start;
            if n < len {
                piece.start += n;
                return;
            }
            n -= len;
            self.sent += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(g: &Gather) -> Vec<u8> {
        g.pieces().flatten().copied().collect()
    }

    #[test]
    fn keeps_order_merges_small_pieces_and_gives_buffers_back() {
        let mut g = Gather::new();
        g.copy(b"ab");
        g.copy(b"cd");
        g.push(Buf::copy_of(b"efg"));
        g.copy(b"h");
        assert_eq!((all(&g), g.pieces().count(), g.len()), (b"abcdefgh".to_vec(), 3, 8));
        g.advance(5);
        assert_eq!(all(&g), b"fgh");
        g.copy(b"i");
        assert_eq!(all(&g), b"fghi");
        g.advance(4);
        assert!(g.is_empty());
        g.copy(b"j");
        assert_eq!(all(&g), b"j");
        let mut back = 0;
        g.clear(|buf| back += buf.len());
        assert_eq!((back, g.len(), g.pieces().count()), (3, 0, 0));
    }

    #[test]
    fn parts_of_a_buffer_are_sent_and_it_comes_back_once() {
        let mut g = Gather::new();
        let lent = g.lend(Buf::copy_of(b"0123456789"));
        g.copy(b"<");
        g.part(lent, 2..4);
        g.copy(b"|");
        g.part(lent, 8..10);
        assert_eq!((all(&g), g.len()), (b"<23|89".to_vec(), 6));
        let mut back = 0;
        g.clear(|buf| back += buf.len());
        assert_eq!(back, 10);
    }
}
