//! One request's way through the cipher, step by step; one of its steps at a time is at the device.

use std::collections::VecDeque;

use parpen_base::{Buf, SECTOR};

use super::changes;
use super::turns::Turn;
use crate::{Completion, IoError, Op, Request, SectorCipher};

/// What the device does next.
enum Step {
    /// The request itself.
    Pass,
    /// Reads sectors of a read that has edges.
    Read { at: u64, len: u64 },
    /// Reads the sector at an edge of a write.
    Edge { at: u64 },
    /// Puts the user's bytes over the edges and encrypts all; nothing for the device.
    Seal,
    /// Stores sealed sectors.
    Store { at: u64, len: u64 },
    /// Reads a sector of which `from..to` is to be zeros.
    Cut { at: u64, from: usize, to: usize },
    /// Stores the sector that was cut.
    StoreCut { at: u64, bytes: Vec<u8> },
    /// Zeroes whole sectors.
    Clear { at: u64, len: u64 },
}

/// A request on its way.
pub(super) struct Job {
    request: Request,
    steps: VecDeque<Step>,
    /// The step that the device works on.
    now: Option<Step>,
    /// The sectors of a write, from the one that it begins in.
    work: Option<Buf>,
    all_zero: bool,
}

fn down(n: u64) -> u64 {
    n / SECTOR * SECTOR
}

fn up(n: u64) -> u64 {
    n.div_ceil(SECTOR) * SECTOR
}

fn fua(op: Op) -> bool {
    matches!(op, Op::Write { fua: true } | Op::Zero { fua: true, .. })
}

impl Job {
    pub(super) fn new(request: Request) -> Job {
        let (start, end) = (request.offset, request.offset + u64::from(request.len));
        let whole = down(start) == start && up(end) == end;
        let mut steps = VecDeque::new();
        match request.op {
            Op::Read if !whole => steps.push_back(Step::Read { at: down(start), len: up(end) - down(start) }),
            Op::Write { .. } => {
                if down(start) != start {
                    steps.push_back(Step::Edge { at: down(start) });
                }
                if up(end) != end && (down(end) != down(start) || down(start) == start) {
                    steps.push_back(Step::Edge { at: down(end) });
                }
                steps.push_back(Step::Seal);
                steps.push_back(Step::Store { at: down(start), len: up(end) - down(start) });
            }
            Op::Zero { .. } if !whole => zero(&mut steps, start, end),
            Op::Discard if !whole => {
                // Only whole sectors can be given back; the rest keeps what it has, as it may.
                if up(start) < down(end) {
                    steps.push_back(Step::Clear { at: up(start), len: down(end) - up(start) });
                }
            }
            Op::Read | Op::Zero { .. } | Op::Discard | Op::Flush | Op::Extents | Op::Prefetch => {
                steps.push_back(Step::Pass);
            }
        }
        Job { request, steps, now: None, work: None, all_zero: false }
    }

    pub(super) fn turn(&self) -> Turn {
        let edges = |s: &Step| matches!(s, Step::Edge { .. } | Step::Cut { .. } | Step::StoreCut { .. });
        let (start, end) = (self.request.offset, self.request.offset + u64::from(self.request.len));
        let whole = down(start) == start && up(end) == end;
        match changes(self.request.op) {
            false => Turn::Free,
            true if whole || self.request.op == Op::Discard => {
                debug_assert!(!self.steps.iter().any(edges), "whole sectors have no edges");
                Turn::Shared
            }
            true => Turn::Alone,
        }
    }

    fn work(&mut self) -> &mut Buf {
        let (start, end) = (self.request.offset, self.request.offset + u64::from(self.request.len));
        self.work.get_or_insert_with(|| Buf::zeroed((up(end) - down(start)) as usize))
    }

    /// The next request for the device; `None`: all is done.
    pub(super) fn next(&mut self, cipher: &dyn SectorCipher, maximum: u64) -> Option<Request> {
        loop {
            let step = self.steps.pop_front()?;
            if matches!(step, Step::Seal) {
                self.seal(cipher);
                continue;
            }
            let request = self.request_of(&step, maximum);
            // A stretch longer than the device takes at once goes in several.
            let left = match step {
                Step::Read { at, len } if len > maximum => {
                    Some(Step::Read { at: at + maximum, len: len - maximum })
                }
                Step::Store { at, len } if len > maximum => {
                    Some(Step::Store { at: at + maximum, len: len - maximum })
                }
                _ => None,
            };
            if let Some(left) = left {
                self.steps.push_front(left);
            }
            self.now = Some(step);
            return Some(request);
        }
    }

    fn request_of(&mut self, step: &Step, maximum: u64) -> Request {
        let make = |op, at, len: u64, buf| Request { tag: 0, op, offset: at, len: len as u32, buf };
        let write = Op::Write { fua: fua(self.request.op) };
        match step {
            Step::Pass => {
                let buf = self.request.buf.take();
                make(self.request.op, self.request.offset, self.request.len.into(), buf)
            }
            Step::Read { at, len } => {
                let len = (*len).min(maximum);
                make(Op::Read, *at, len, Some(Buf::zeroed(len as usize)))
            }
            Step::Edge { at } | Step::Cut { at, .. } => {
                make(Op::Read, *at, SECTOR, Some(Buf::zeroed(SECTOR as usize)))
            }
            Step::Store { at, len } => {
                let len = (*len).min(maximum);
                let from = (at - down(self.request.offset)) as usize;
                let whole = self.work.as_ref().is_some_and(|w| w.len() as u64 == len);
                let buf = match whole {
                    true => self.work.take().unwrap_or_else(|| Buf::zeroed(len as usize)),
                    false => Buf::copy_of(&self.work()[from..from + len as usize]),
                };
                make(write, *at, len, Some(buf))
            }
            Step::StoreCut { at, bytes } => make(write, *at, SECTOR, Some(Buf::copy_of(bytes))),
            Step::Clear { at, len } => make(self.request.op, *at, *len, None),
            // It never reaches the device.
            Step::Seal => make(Op::Flush, 0, 0, None),
        }
    }

    fn seal(&mut self, cipher: &dyn SectorCipher) {
        let user = self.request.buf.take();
        let from = (self.request.offset - down(self.request.offset)) as usize;
        let first = self.request.offset / SECTOR;
        let work = self.work();
        if let Some(user) = &user {
            work[from..from + user.len()].copy_from_slice(user);
        }
        cipher.encrypt(first, work);
        self.request.buf = user;
    }

    /// Takes what the device answered to the last step.
    pub(super) fn heard(&mut self, c: Completion, cipher: &dyn SectorCipher) -> Result<(), IoError> {
        let step = self.now.take();
        if matches!(step, Some(Step::Pass)) {
            self.request.buf = c.buf;
            c.result?;
            self.all_zero = c.all_zero;
            if let (Op::Read, false, Some(buf)) = (self.request.op, c.all_zero, &mut self.request.buf) {
                cipher.decrypt(self.request.offset / SECTOR, buf);
            }
            return Ok(());
        }
        c.result?;
        match step {
            Some(Step::Read { at, .. }) => {
                let mut buf = c.buf.ok_or(IoError::Io)?;
                cipher.decrypt(at / SECTOR, &mut buf);
                self.hand_out(at, &buf);
            }
            Some(Step::Edge { at }) => {
                let mut buf = c.buf.ok_or(IoError::Io)?;
                cipher.decrypt(at / SECTOR, &mut buf);
                let from = (at - down(self.request.offset)) as usize;
                self.work()[from..from + buf.len()].copy_from_slice(&buf);
            }
            Some(Step::Cut { at, from, to }) => {
                let mut bytes = c.buf.ok_or(IoError::Io)?.to_vec();
                cipher.decrypt(at / SECTOR, &mut bytes);
                bytes[from..to].fill(0);
                cipher.encrypt(at / SECTOR, &mut bytes);
                self.steps.push_front(Step::StoreCut { at, bytes });
            }
            Some(
                Step::Pass | Step::Seal | Step::Store { .. } | Step::StoreCut { .. } | Step::Clear { .. },
            )
            | None => {}
        }
        Ok(())
    }

    /// Copies the part of read sectors that was asked for into the user's buffer.
    fn hand_out(&mut self, at: u64, sectors: &[u8]) {
        let (start, end) = (self.request.offset, self.request.offset + u64::from(self.request.len));
        let (from, to) = (start.max(at), end.min(at + sectors.len() as u64));
        if let Some(user) = &mut self.request.buf {
            let part = &sectors[(from - at) as usize..(to - at) as usize];
            user[(from - start) as usize..(to - start) as usize].copy_from_slice(part);
        }
    }

    /// The end of it.
    pub(super) fn completion(self, result: Result<(), IoError>) -> Completion {
        let len = self.request.len;
        Completion {
            tag: self.request.tag,
            all_zero: self.all_zero && result.is_ok(),
            result: result.map(|()| len),
            buf: self.request.buf,
        }
    }
}

/// Zeroing that begins or ends within a sector: those are rewritten, what lies between is zeroed.
fn zero(steps: &mut VecDeque<Step>, start: u64, end: u64) {
    let cut = |sector: u64| {
        let (from, to) = (start.max(sector) - sector, end.min(sector + SECTOR) - sector);
        Step::Cut { at: sector, from: from as usize, to: to as usize }
    };
    if down(start) != start {
        steps.push_back(cut(down(start)));
    }
    if up(end) != end && (down(end) != down(start) || down(start) == start) {
        steps.push_back(cut(down(end)));
    }
    if up(start) < down(end) {
        steps.push_back(Step::Clear { at: up(start), len: down(end) - up(start) });
    }
}
