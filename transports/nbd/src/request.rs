//! Requests as bytes, and what is done with one; no I/O here.

use parpen_base::ByteRange;
use parpen_block::{IoError, Op};

use crate::handshake::{Dialect, MAX_REQUEST, Offer};
use crate::wire::{REQUEST_MAGIC, Reader, command, flag};

/// Bytes of a request before its payload.
pub(crate) const REQUEST_LEN: usize = 28;

/// Error numbers as the protocol defines them, whatever the platform's own are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Errno {
    NotPermitted = 1,
    Io = 5,
    Invalid = 22,
    NoSpace = 28,
    NotSupported = 95,
    Shutdown = 108,
}

impl From<IoError> for Errno {
    fn from(e: IoError) -> Errno {
        match e {
            IoError::NoSpace => Errno::NoSpace,
            IoError::Invalid => Errno::Invalid,
            IoError::ReadOnly => Errno::NotPermitted,
            IoError::NotSupported => Errno::NotSupported,
            IoError::DataLost | IoError::Io => Errno::Io,
            IoError::Fenced => Errno::Shutdown,
        }
    }
}

/// A request as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    flags: u16,
    kind: u16,
    /// The client's name for it, given back in the reply.
    pub(crate) cookie: u64,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Ask the device for this; then, if `flush`, for a flush before the reply.
    Do {
        op: Op,
        flush: bool,
    },
    /// It was a hint that the device has no use for.
    Done,
    Refuse(Errno),
    /// Answer what is in flight, then hang up.
    Disconnect,
}

impl Request {
    /// The request at the front of `bytes`, if it is there whole. An error if it is none: then nothing that follows
    /// can be understood either.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Request>, &'static str> {
        let mut r = Reader(bytes);
        let Some(magic) = r.u32() else { return Ok(None) };
        if magic != REQUEST_MAGIC {
            return Err("what came is no request");
        }
        let fields = (r.u16(), r.u16(), r.u64(), r.u64(), r.u32());
        let (Some(flags), Some(kind), Some(cookie), Some(offset), Some(len)) = fields else {
            return Ok(None);
        };
        Ok(Some(Request { flags, kind, cookie, offset, len }))
    }

    /// Bytes that follow the request, whatever becomes of it.
    pub(crate) fn payload(&self) -> u32 {
        if self.kind == command::WRITE { self.len } else { 0 }
    }

    /// The bytes of a read are to come in one piece.
    pub(crate) fn is_whole(&self) -> bool {
        self.flags & flag::DF != 0
    }

    /// A good answer carries bytes, so with structured replies also a bad one is a chunk.
    pub(crate) fn wants_bytes(&self) -> bool {
        matches!(self.kind, command::READ | command::BLOCK_STATUS)
    }

    /// The first stretch of the map is enough.
    pub(crate) fn wants_one(&self) -> bool {
        self.flags & flag::REQ_ONE != 0
    }

    /// What is to be done, for an export of this kind and size and for what was negotiated.
    pub(crate) fn judge(&self, offer: &Offer, dialect: Dialect) -> Verdict {
        // FUA is valid with every request, and means something with those that change bytes
        let fua = self.flags & flag::FUA != 0;
        let others = self.flags & !flag::FUA;
        let op = match self.kind {
            command::READ => Op::Read,
            command::WRITE => Op::Write { fua },
            command::DISCONNECT => return Verdict::Disconnect,
            command::FLUSH => Op::Flush,
            command::TRIM => Op::Discard,
            command::CACHE => Op::Prefetch,
            command::BLOCK_STATUS if dialect.allocation => Op::Extents,
            command::WRITE_ZEROES => {
                let (unmap, fast) = (others & flag::NO_HOLE == 0, others & flag::FAST_ZERO != 0);
                Op::Zero { fua, unmap, fast }
            }
            _ => return Verdict::Refuse(Errno::Invalid),
        };
        let meant = match self.kind {
            command::WRITE_ZEROES => flag::NO_HOLE | flag::FAST_ZERO,
            command::READ if dialect.structured => flag::DF,
            command::BLOCK_STATUS => flag::REQ_ONE,
            _ => 0,
        };
        if others & !meant != 0 {
            return Verdict::Refuse(Errno::Invalid);
        }
        match self.allowed(op, offer) {
            Ok(()) if op == Op::Prefetch && !offer.capabilities.prefetch => Verdict::Done,
            Ok(()) => Verdict::Do { op, flush: fua && op == Op::Discard },
            Err(errno) => Verdict::Refuse(errno),
        }
    }

    fn allowed(&self, op: Op, offer: &Offer) -> Result<(), Errno> {
        let can = offer.capabilities;
        let (changes, payload) = match op {
            Op::Write { .. } => (true, true),
            Op::Zero { .. } | Op::Discard => (true, false),
            Op::Read => (false, true),
            Op::Flush | Op::Extents | Op::Prefetch => (false, false),
        };
        if changes && can.read_only {
            return Err(Errno::NotPermitted);
        }
        if op == Op::Flush {
            return if self.offset == 0 && self.len == 0 { Ok(()) } else { Err(Errno::Invalid) };
        }
        if matches!(op, Op::Zero { fast: true, .. }) && !can.zero || op == Op::Discard && !can.discard {
            return Err(Errno::NotSupported);
        }
        if self.len == 0 || payload && self.len > offer.geometry.maximum.min(MAX_REQUEST) {
            return Err(Errno::Invalid);
        }
        let within = ByteRange::within(self.offset, u64::from(self.len), offer.geometry.size).is_ok();
        match op {
            _ if within => Ok(()),
            Op::Write { .. } | Op::Zero { .. } => Err(Errno::NoSpace),
            Op::Read | Op::Discard | Op::Flush | Op::Extents | Op::Prefetch => Err(Errno::Invalid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Req, offer};

    const ALL: Dialect = Dialect { structured: true, allocation: true };

    fn judge_in(dialect: Dialect, req: Req) -> Verdict {
        Request::parse(&req.bytes()).unwrap().unwrap().judge(&offer(1 << 30), dialect)
    }

    fn judge(req: Req) -> Verdict {
        judge_in(Dialect::default(), req)
    }

    #[test]
    fn reads_the_bytes_of_a_request() {
        let bytes =
            *b"\x25\x60\x95\x13\0\x01\0\x06\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\0\0\0\x10\0\0\0\x02\0";
        let r = Request::parse(&bytes).unwrap().unwrap();
        let expected = Request { flags: 1, kind: 6, cookie: 0x0102_0304_0506_0708, offset: 4096, len: 512 };
        assert_eq!(r, expected);
        for n in 0..REQUEST_LEN {
            assert_eq!(Request::parse(&bytes[..n]), Ok(None));
        }
        assert!(Request::parse(b"GET ").is_err());
    }

    #[test]
    fn knows_every_command_and_its_flags() {
        let done = |op| Verdict::Do { op, flush: false };
        let zero = |fua, unmap, fast| done(Op::Zero { fua, unmap, fast });
        let invalid = Verdict::Refuse(Errno::Invalid);
        for (kind, flags, verdict) in [
            (0, 0, done(Op::Read)),
            (0, 1, done(Op::Read)),
            (0, 4, invalid), // DF belongs to structured replies
            (1, 0, done(Op::Write { fua: false })),
            (1, 1, done(Op::Write { fua: true })),
            (1, 2, invalid),
            (2, 0, Verdict::Disconnect),
            (4, 0, done(Op::Discard)),
            (4, 1, Verdict::Do { op: Op::Discard, flush: true }),
            (5, 0, Verdict::Done),
            (5, 4, invalid),
            (6, 0, zero(false, true, false)),
            (6, 1, zero(true, true, false)),
            (6, 2, zero(false, false, false)),
            (6, 16, zero(false, true, true)),
            (6, 19, zero(true, false, true)),
            (6, 32, invalid),
            (7, 0, invalid), // block status has to be negotiated
            (65535, 0, invalid),
        ] {
            assert_eq!(judge(Req { kind, flags, len: 4096, ..Req::default() }), verdict, "{kind} {flags}");
        }
        for (kind, flags, verdict) in [
            (0, 4, done(Op::Read)),
            (0, 8, invalid),
            (1, 4, invalid),
            (7, 0, done(Op::Extents)),
            (7, 8, done(Op::Extents)),
            (7, 12, invalid),
        ] {
            let req = Req { kind, flags, len: 4096, ..Req::default() };
            assert_eq!(judge_in(ALL, req), verdict, "{kind} {flags} negotiated");
        }
        let flush = Req { kind: 3, ..Req::default() };
        assert_eq!(judge(flush), done(Op::Flush));
        assert_eq!(judge(Req { len: 1, ..flush }), invalid);
    }

    #[test]
    fn bounds_are_kept_to_the_byte() {
        let size = 1 << 30;
        let refused = |errno| Some(errno);
        for (kind, offset, len, errno) in [
            (0, size - 1, 1, None),
            (0, size, 1, refused(Errno::Invalid)),
            (0, u64::MAX, 1, refused(Errno::Invalid)),
            (0, 0, 0, refused(Errno::Invalid)),
            (0, 0, 32 << 20, None),
            (0, 0, (32 << 20) + 1, refused(Errno::Invalid)),
            (1, size - 1, 2, refused(Errno::NoSpace)),
            (1, 0, u32::MAX, refused(Errno::Invalid)),
            (4, 0, 1 << 30, None),
            (4, 1, 1 << 30, refused(Errno::Invalid)),
            (6, 0, 1 << 30, None),
            (6, 1, 1 << 30, refused(Errno::NoSpace)),
            (5, 0, 1 << 30, None),
            (5, 1, 1 << 30, refused(Errno::Invalid)),
            (7, 0, 1 << 30, None),
            (7, size, 1, refused(Errno::Invalid)),
            (7, 0, 0, refused(Errno::Invalid)),
        ] {
            let verdict = judge_in(ALL, Req { kind, offset, len, ..Req::default() });
            match errno {
                None => {
                    assert!(matches!(verdict, Verdict::Do { .. } | Verdict::Done), "{kind} {offset} {len}")
                }
                Some(errno) => assert_eq!(verdict, Verdict::Refuse(errno), "{kind} {offset} {len}"),
            }
        }
    }

    #[test]
    fn a_read_only_export_takes_reads_and_flushes() {
        let mut offer = offer(1 << 30);
        offer.capabilities.read_only = true;
        for (kind, len) in [(0, 1), (3, 0)] {
            let r = Request::parse(&Req { kind, len, ..Req::default() }.bytes()).unwrap().unwrap();
            assert!(matches!(r.judge(&offer, ALL), Verdict::Do { .. }));
        }
        for kind in [1, 4, 6] {
            let r = Request::parse(&Req { kind, len: 1, ..Req::default() }.bytes()).unwrap().unwrap();
            assert_eq!(r.judge(&offer, ALL), Verdict::Refuse(Errno::NotPermitted));
        }
    }
}
