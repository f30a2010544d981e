//! What a client has sent and nobody has understood yet, and the payloads that follow requests.

use std::io;

use parpen_base::Buf;
use parpen_ring::Socket;

use crate::transmission::Fault;

/// Bytes that are received at once where requests are small; payloads are copied out of them.
const INPUT: usize = 64 << 10;
/// Payloads from this size on are received in place, together with so much of what follows as to find the next request.
pub(crate) const LARGE: u32 = 32 << 10;
const AHEAD: usize = 4096;
/// Memory for a payload that a client gets for the asking; more comes as its bytes do.
pub(crate) const TRUST: usize = 2 << 20;

/// The stream ended where it must not.
pub(crate) const CUT_SHORT: Fault = Fault::Protocol("the stream ended within a request");

/// Bytes received and not yet understood.
pub(crate) struct Input {
    buf: Buf,
    start: usize,
    end: usize,
}

impl Input {
    /// `rest` came with the handshake.
    pub(crate) fn new(rest: &[u8]) -> Input {
        let mut buf = Buf::zeroed(INPUT.max(rest.len()));
        buf[..rest.len()].copy_from_slice(rest);
        Input { buf, start: 0, end: rest.len() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// Takes up to `n` bytes that are there.
    pub(crate) fn take(&mut self, n: usize) -> &[u8] {
        let start = self.start;
        self.start = self.end.min(start + n);
        &self.buf[start..self.start]
    }

    /// Waits for more; 0 bytes at the end of the stream.
    pub(crate) async fn fill(&mut self, socket: &Socket) -> io::Result<usize> {
        self.buf.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let buf = std::mem::replace(&mut self.buf, Buf::zeroed(0));
        let until = buf.len();
        let (n, buf) = socket.recv(buf, self.end..until).await;
        self.buf = buf;
        let n = n?;
        self.end += n;
        Ok(n)
    }

    /// The payload of `len` bytes that follows, in `buf`, which grows as it arrives. `moved` is called for each piece.
    pub(crate) async fn receive(
        &mut self,
        mut buf: Buf,
        len: usize,
        socket: &Socket,
        moved: impl Fn(),
    ) -> Result<Buf, Fault> {
        let there = self.take(buf.len());
        let mut at = there.len();
        buf[..at].copy_from_slice(there);
        while at < len {
            if at == buf.len() {
                buf.resize(len.min(2 * at));
            }
            let end = buf.len();
            // all that was received is used up; behind the payload there may be more
            (self.start, self.end) = (0, 0);
            let ahead = if end < len {
                0
            } else if len >= LARGE as usize {
                AHEAD
            } else {
                INPUT
            };
            let mut rest = std::mem::replace(&mut self.buf, Buf::zeroed(0));
            let whole = rest.len();
            rest.resize(ahead.min(whole));
            let (n, back, mut rest) = socket.recv_two(buf, at..end, rest, 0).await;
            rest.resize(whole);
            (buf, self.buf) = (back, rest);
            match n? {
                0 => return Err(CUT_SHORT),
                n => {
                    self.end = n.saturating_sub(end - at);
                    at = end.min(at + n);
                }
            }
            moved();
        }
        Ok(buf)
    }

    /// Throws away a payload that nobody wants, in bounded memory.
    pub(crate) async fn skip(&mut self, mut left: u32, socket: &Socket) -> Result<(), Fault> {
        loop {
            left -= self.take(left as usize).len() as u32;
            if left == 0 {
                return Ok(());
            }
            if self.fill(socket).await? == 0 {
                return Err(CUT_SHORT);
            }
        }
    }
}
