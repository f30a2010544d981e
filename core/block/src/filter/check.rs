//! Argument checks, once for all devices. Every queue that the gate gives has this in front, so what
//! reaches a device is valid and a device does not check again.
//!
//! A device may rely on: the range lies within its size and is not empty; a read or a write carries a
//! buffer of exactly `len` bytes, at most `maximum`, and nothing else carries one; a flush has no range; a
//! queue that is read-only gets no write, zero or discard; extents, discard and prefetch come only where
//! the device says it can, and `fast` zeroing only where zeroing is. Offsets and lengths have no alignment.
//! Ranges without a payload may be as long as a `u32` says.

use std::sync::Arc;

use parpen_base::ByteRange;

use crate::{BlockDevice, Capabilities, Completion, IoError, Op, Queue, Request, Wake};

use super::Answers;

/// Ends what is malformed, out of range or not allowed, before the device sees it.
pub(crate) struct Check<Q> {
    inner: Q,
    device: Arc<dyn BlockDevice>,
    can: Capabilities,
    refused: Answers,
}

impl<Q: Queue> Check<Q> {
    /// Checks for a queue of `device`; `read_only` may be stricter than the device is.
    pub(crate) fn new(
        inner: Q,
        device: Arc<dyn BlockDevice>,
        read_only: bool,
        depth: u16,
        wake: Wake,
    ) -> Check<Q> {
        let mut can = device.capabilities();
        can.read_only |= read_only;
        Check { inner, device, can, refused: Answers::new(depth, wake) }
    }

    fn verdict(&self, r: &Request) -> Result<(), IoError> {
        let changes = matches!(r.op, Op::Write { .. } | Op::Zero { .. } | Op::Discard);
        if changes && self.can.read_only {
            return Err(IoError::ReadOnly);
        }
        let can = match r.op {
            Op::Read | Op::Write { .. } | Op::Flush => true,
            Op::Zero { fast, .. } => self.can.zero || !fast,
            Op::Discard => self.can.discard,
            Op::Extents => self.can.extents,
            Op::Prefetch => self.can.prefetch,
        };
        if !can {
            return Err(IoError::NotSupported);
        }
        if r.op == Op::Flush {
            let plain = r.offset == 0 && r.len == 0 && r.buf.is_none();
            return if plain { Ok(()) } else { Err(IoError::Invalid) };
        }
        // Asked anew each time: the size moves under an open session.
        let geometry = self.device.geometry();
        let payload = match r.op {
            Op::Read | Op::Write { .. } => {
                r.len <= geometry.maximum && r.buf.as_ref().is_some_and(|b| b.len() == r.len as usize)
            }
            _ => r.buf.is_none(),
        };
        let within = ByteRange::within(r.offset, u64::from(r.len), geometry.size).is_ok();
        if payload && within && r.len > 0 { Ok(()) } else { Err(IoError::Invalid) }
    }
}

impl<Q: Queue> Queue for Check<Q> {
    fn submit(&mut self, r: Request) -> Result<(), Request> {
        match self.verdict(&r) {
            Ok(()) => self.inner.submit(r),
            Err(why) => self.refused.fail(r, why),
        }
    }

    fn kick(&mut self) {
        self.inner.kick();
    }

    fn reap(&mut self) -> Option<Completion> {
        self.refused.next().or_else(|| self.inner.reap())
    }
}
