//! The table of operations in flight. It owns each operation's memory and descriptor until the backend has ended
//! the operation: a dropped future leaves an orphan here, so nothing ever writes into freed memory.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Waker;

use parpen_base::Buf;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::Gather;

/// What the kernel is asked for. `start` and `len` select bytes of the payload's buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Read {
        offset: u64,
        start: usize,
        len: u32,
    },
    Write {
        offset: u64,
        start: usize,
        len: u32,
    },
    /// All places of the payload, together.
    Parts {
        write: bool,
    },
    Sync {
        data_only: bool,
    },
    Allocate {
        mode: FallocateFlags,
        offset: u64,
        len: u64,
    },
    Accept,
    Recv {
        start: usize,
        len: u32,
    },
    /// Fills the end of the first buffer from `start` on, then the second from `ahead` on.
    RecvTwo {
        start: usize,
        end: usize,
        ahead: usize,
    },
    Send {
        start: usize,
        len: u32,
    },
    SendGather,
}

impl Op {
    /// Operations on sockets may wait for ever and are cancelled when nobody waits for them; those on files end soon.
    pub(crate) fn is_socket(&self) -> bool {
        match self {
            Op::Accept | Op::Recv { .. } | Op::RecvTwo { .. } | Op::Send { .. } | Op::SendGather => true,
            Op::Read { .. } | Op::Write { .. } | Op::Parts { .. } | Op::Sync { .. } | Op::Allocate { .. } => {
                false
            }
        }
    }
}

/// Memory that belongs to an operation, and what an accept brings.
#[derive(Debug)]
pub(crate) enum Payload {
    None,
    Buf(Buf),
    Two(Buf, Buf),
    Parts(Parts),
    Gather(Gather),
    Socket(OwnedFd),
}

/// A buffer and where its parts lie in a file.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) buf: Buf,
    pub(crate) places: Vec<Place>,
    /// Places that are still in flight.
    pub(crate) left: usize,
}

/// One part: where it lies, and what became of it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) start: usize,
    pub(crate) len: u32,
    pub(crate) offset: u64,
    pub(crate) outcome: Outcome,
}

/// Bytes done, as the kernel counts them, or its error.
pub(crate) type Outcome = Result<u32, Errno>;

/// Names an operation in flight; a name is never used twice (within 2^32 uses of a slot).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) index: u32,
    generation: u32,
}

impl Key {
    pub(crate) fn to_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(crate) fn from_u64(n: u64) -> Key {
        Key { index: n as u32, generation: (n >> 32) as u32 }
    }
}

#[derive(Debug)]
enum State {
    Free,
    Flying,
    /// Flying, and nobody waits for it.
    Orphan,
    Done(Outcome),
}

#[derive(Debug)]
pub(crate) struct Slot {
    generation: u32,
    state: State,
    pub(crate) op: Op,
    /// Keeps the descriptor's number from being closed and given to another file before the kernel looks at it.
    pub(crate) fd: Option<Arc<OwnedFd>>,
    pub(crate) payload: Payload,
    /// It is one place of this operation on parts, which owns the memory.
    part_of: Option<(Key, usize)>,
    waker: Option<Waker>,
}

/// All operations of one reactor.
#[derive(Default)]
pub(crate) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Wakers of what has ended; called when nothing of the reactor is borrowed.
    pub(crate) woken: Vec<Waker>,
}

impl Table {
    pub(crate) fn insert(&mut self, op: Op, fd: Arc<OwnedFd>, payload: Payload) -> Key {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index =
                    u32::try_from(self.slots.len()).expect("memory ends before four billion operations");
                let state = State::Free;
                let (fd, payload, part_of, waker) = (None, Payload::None, None, None);
                self.slots.push(Slot { generation: 0, state, op, fd, payload, part_of, waker });
                index
            }
        };
        let slot = &mut self.slots[index as usize];
        (slot.state, slot.op, slot.fd, slot.payload) = (State::Flying, op, Some(fd), payload);
        Key { index, generation: slot.generation }
    }

    /// Takes one place of an operation on parts as an operation of its own. When all have ended, so has the whole.
    pub(crate) fn insert_part(&mut self, op: Op, fd: Arc<OwnedFd>, whole: Key, place: usize) -> Key {
        let key = self.insert(op, fd, Payload::None);
        let slot = &mut self.slots[key.index as usize];
        slot.part_of = Some((whole, place));
        slot.state = State::Orphan; // nobody waits for it alone
        key
    }

    /// The slot of an operation in flight, or none if it has ended.
    pub(crate) fn flying(&mut self, key: Key) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key.index as usize)?;
        let flies = matches!(slot.state, State::Flying | State::Orphan) && slot.generation == key.generation;
        flies.then_some(slot)
    }

    /// The names of everything in flight.
    pub(crate) fn all_flying(&self) -> Vec<Key> {
        let flies = |slot: &Slot| matches!(slot.state, State::Flying | State::Orphan);
        let key = |(index, slot): (usize, &Slot)| Key { index: index as u32, generation: slot.generation };
        self.slots.iter().enumerate().filter(|(_, slot)| flies(slot)).map(key).collect()
    }

    /// The backend has ended an operation and holds none of its memory any more.
    pub(crate) fn complete(&mut self, key: Key, outcome: Outcome) {
        let slot = self.flying(key).expect("the backend ends each operation once");
        if matches!(slot.state, State::Orphan) {
            let part_of = slot.part_of;
            self.release(key);
            if let Some((whole, place)) = part_of {
                self.complete_part(whole, place, outcome);
            }
            return;
        }
        slot.state = State::Done(outcome);
        let waker = slot.waker.take();
        self.woken.extend(waker);
    }

    fn complete_part(&mut self, whole: Key, place: usize, outcome: Outcome) {
        let slot = self.flying(whole).expect("the whole flies as long as one of its parts");
        let Payload::Parts(parts) = &mut slot.payload else { unreachable!("only parts have places") };
        parts.places[place].outcome = outcome;
        parts.left -= 1;
        if parts.left == 0 {
            self.complete(whole, Ok(0));
        }
    }

    /// The result if the operation has ended; otherwise `waker` is called then. A replaced waker is handed out, to
    /// be dropped when nothing is borrowed.
    pub(crate) fn poll(&mut self, key: Key, waker: &Waker) -> Result<(Outcome, Payload), Option<Waker>> {
        let slot = &mut self.slots[key.index as usize];
        assert_eq!(slot.generation, key.generation, "a future outlived its operation");
        match slot.state {
            State::Done(outcome) => {
                let payload = self.release(key);
                Ok((outcome, payload))
            }
            _ => match &slot.waker {
                Some(old) if old.will_wake(waker) => Err(None),
                _ => Err(slot.waker.replace(waker.clone())),
            },
        }
    }

    /// Nobody waits for the operation any more. True if it is still in flight.
    pub(crate) fn disown(&mut self, key: Key) -> bool {
        let slot = &mut self.slots[key.index as usize];
        assert_eq!(slot.generation, key.generation, "a future outlived its operation");
        if matches!(slot.state, State::Done(_)) {
            self.release(key);
            return false;
        }
        slot.state = State::Orphan;
        true
    }

    fn release(&mut self, key: Key) -> Payload {
        let slot = &mut self.slots[key.index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        (slot.state, slot.fd, slot.waker, slot.part_of) = (State::Free, None, None, None);
        self.free.push(key.index);
        std::mem::replace(&mut slot.payload, Payload::None)
    }
}
