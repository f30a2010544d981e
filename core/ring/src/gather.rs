//! A list of byte pieces that one send writes in order.

use parpen_base::Buf;

/// Where one piece lies.
#[derive(Debug)]
enum Piece {
    /// In the arena of small pieces.
    Small { start: usize, end: usize },
    /// In a buffer of its own.
    Whole { buf: Buf, start: usize },
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Piece::Small { start, end } => end - start,
            Piece::Whole { buf, start } => buf.len() - start,
        }
    }
}

/// Byte pieces for one send: small ones are copied, whole [`Buf`]s are lent. Reused, it allocates nothing.
#[derive(Debug)]
pub struct Gather {
    arena: Buf,
    /// Bytes of the arena that are in use.
    used: usize,
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
        Gather { arena: Buf::zeroed(0), used: 0, pieces: Vec::new(), sent: 0, left: 0 }
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
            Some(Piece::Small { end: last, .. }) => *last = end,
            _ => self.pieces.push(Piece::Small { start, end }),
        }
    }

    /// Appends all bytes of `buf`, without a copy.
    pub fn push(&mut self, buf: Buf) {
        self.left += buf.len();
        self.pieces.push(Piece::Whole { buf, start: 0 });
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
    pub fn clear(&mut self, mut recycle: impl FnMut(Buf)) {
        for piece in self.pieces.drain(..) {
            if let Piece::Whole { buf, .. } = piece {
                recycle(buf);
            }
        }
        (self.used, self.sent, self.left) = (0, 0, 0);
    }

    /// The pieces that are still to be sent.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces[self.sent..].iter().map(|piece| match piece {
            Piece::Small { start, end } => &self.arena[*start..*end],
            Piece::Whole { buf, start } => &buf[*start..],
        })
    }

    /// The next `n` bytes were sent.
    pub(crate) fn advance(&mut self, mut n: usize) {
        assert!(n <= self.left, "more was sent than there was");
        self.left -= n;
        while let Some(piece) = self.pieces.get_mut(self.sent) {
            let len = piece.len();
            if n < len {
                match piece {
                    Piece::Small { start, .. } | Piece::Whole { start, .. } => *start += n,
                }
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
        g.parts().flatten().copied().collect()
    }

    #[test]
    fn keeps_order_merges_small_pieces_and_gives_buffers_back() {
        let mut g = Gather::new();
        g.copy(b"ab");
        g.copy(b"cd");
        g.push(Buf::copy_of(b"efg"));
        g.copy(b"h");
        assert_eq!((all(&g), g.parts().count(), g.len()), (b"abcdefgh".to_vec(), 3, 8));
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
        assert_eq!((back, g.len(), g.parts().count()), (3, 0, 0));
    }
}
