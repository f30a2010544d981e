//! The io_uring backend: one ring for one thread, one `enter` a turn for everything started in it.
//!
//! All `unsafe` of the house that concerns io_uring is here. The argument is always the same: the kernel gets
//! pointers into memory that the operation [`Table`] owns (or that this struct owns, for the bell and message
//! headers), and the table frees it only after the completion was seen, or, at the end, after [`Uring::drain`].

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use parpen_base::Buf;
use rustix::io::Errno;

use crate::driver::Wait;
use crate::shared::Shared;
use crate::table::{Key, Op, Payload, Place, Slot, Table};

/// Places in the submission ring; a turn that starts more enters the kernel in between.
const SUBMISSIONS: u32 = 256;
/// Places in the completion ring; the kernel keeps what does not fit.
const COMPLETIONS: u32 = 4096;
/// The most pieces that one message takes.
const MAX_PIECES: usize = 1024;

/// `user_data` of the read on the bell, and of cancellations. No [`Key`] has these: its index would be 2^32 - 1.
const BELL: u64 = u64::MAX;
const CANCEL: u64 = (1 << 32) - 1;

/// What sendmsg and recvmsg want to find in memory until they have ended.
struct Message {
    header: libc::msghdr,
    pieces: Vec<libc::iovec>,
}

/// What [`Uring::take_memory`] hands out: kept, never looked at.
pub(crate) struct Memory {
    _bell: Buf,
    _messages: Messages,
}

/// By slot of the table; the kernel holds the addresses of what is boxed while the vector grows.
type Messages = Vec<Option<Box<Message>>>;

pub(crate) struct Uring {
    ring: IoUring,
    shared: Arc<Shared>,
    /// Where the kernel writes the bell's count; 8 bytes.
    bell: Buf,
    bell_armed: bool,
    /// Made at the first message of a slot and reused.
    messages: Messages,
    /// Entries whose completion was not yet seen, the bell and cancellations included.
    in_flight: usize,
}

impl Uring {
    /// A ring for the calling thread. Refused where the kernel or a sandbox has no io_uring, or one too old to bound
    /// a wait (before 5.11).
    pub(crate) fn new(shared: Arc<Shared>) -> io::Result<Uring> {
        let ring = build(|b| b.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag())
            .or_else(|_| build(|b| b.setup_coop_taskrun().setup_taskrun_flag()))
            .or_else(|_| build(|b| b))?;
        if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "io_uring of this kernel is too old"));
        }
        let bell = Buf::zeroed(8);
        let mut uring = Uring { ring, shared, bell, bell_armed: false, messages: Vec::new(), in_flight: 0 };
        uring.arm_bell(&mut Table::default())?;
        Ok(uring)
    }

    /// Queues an operation for the next turn.
    pub(crate) fn start(&mut self, table: &mut Table, key: Key) {
        let slot = table.flying(key).expect("an operation is in flight when it starts");
        if let (Op::Parts { write }, Payload::Parts(parts)) = (slot.op, &mut slot.payload) {
            parts.left = parts.places.len();
            let fd = slot.fd.clone().expect("a flying operation has its descriptor");
            return self.start_parts(table, key, write, fd);
        }
        let entry = self.entry(slot, key.index as usize);
        let queued = entry.and_then(|entry| self.push(table, entry.user_data(key.to_u64())));
        if let Err(error) = queued {
            table.complete(key, Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)));
        }
    }

    /// Queues each place as an operation of its own. The memory stays with the whole, which ends after all of them.
    fn start_parts(&mut self, table: &mut Table, whole: Key, write: bool, fd: Arc<OwnedFd>) {
        let mut n = 0;
        loop {
            let slot = table.flying(whole).expect("the whole flies as long as one of its parts");
            let Payload::Parts(parts) = &mut slot.payload else { unreachable!("only parts have places") };
            let Some(&Place { start, len, offset, .. }) = parts.places.get(n) else { return };
            let last = n + 1 == parts.places.len();
            let at = bytes(&mut parts.buf, start, len).as_mut_ptr();
            let op = if write { Op::Write { offset, start, len } } else { Op::Read { offset, start, len } };
            let key = table.insert_part(op, fd.clone(), whole, n);
            let fd = types::Fd(fd.as_raw_fd());
            let entry = if write {
                opcode::Write::new(fd, at, len).offset(offset).build()
            } else {
                opcode::Read::new(fd, at, len).offset(offset).build()
            };
            if let Err(error) = self.push(table, entry.user_data(key.to_u64())) {
                table.complete(key, Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)));
            }
            if last {
                return;
            }
            n += 1;
        }
    }

    /// Asks the kernel to end an operation that may wait for ever. It still ends with a completion.
    pub(crate) fn cancel(&mut self, table: &mut Table, key: Key) {
        if !table.flying(key).is_some_and(|slot| slot.op.is_socket()) {
            return;
        }
        let entry = opcode::AsyncCancel::new(key.to_u64()).build().user_data(CANCEL);
        if let Err(error) = self.push(table, entry) {
            // not lost: the operation ends with its socket, and the next turn meets the same error
            tracing::error!(%error, "a cancellation could not be queued");
        }
    }

    pub(crate) fn turn(&mut self, table: &mut Table, wait: Wait) -> io::Result<()> {
        self.arm_bell(table)?;
        let submitter = self.ring.submitter();
        let entered = match wait {
            Wait::No => submitter.submit(),
            Wait::Forever => submitter.submit_and_wait(1),
            Wait::AtMost(time) => {
                let time = types::Timespec::from(time);
                submitter.submit_with_args(1, &types::SubmitArgs::new().timespec(&time))
            }
        };
        harmless(entered)?;
        self.reap(table);
        Ok(())
    }

    /// Hands out what the kernel may still use besides the table's memory; only [`drain`](Uring::drain) may follow.
    pub(crate) fn take_memory(&mut self) -> Memory {
        let bell = std::mem::replace(&mut self.bell, Buf::zeroed(0));
        Memory { _bell: bell, _messages: std::mem::take(&mut self.messages) }
    }

    /// Cancels everything and waits until the kernel has let go of all memory.
    pub(crate) fn drain(&mut self, table: &mut Table) -> io::Result<()> {
        if self.bell_armed {
            let entry = opcode::AsyncCancel::new(BELL).build().user_data(CANCEL);
            self.push(table, entry)?;
        }
        for key in table.all_flying() {
            self.cancel(table, key);
        }
        self.reap(table);
        while self.in_flight > 0 {
            harmless(self.ring.submitter().submit_and_wait(1))?;
            self.reap(table);
        }
        Ok(())
    }

    fn arm_bell(&mut self, table: &mut Table) -> io::Result<()> {
        if self.bell_armed {
            return Ok(());
        }
        let fd = types::Fd(self.shared.bell().as_raw_fd());
        let entry = opcode::Read::new(fd, self.bell.as_mut_ptr(), 8).build().user_data(BELL);
        self.push(table, entry)?;
        self.bell_armed = true;
        Ok(())
    }

    fn push(&mut self, table: &mut Table, entry: squeue::Entry) -> io::Result<()> {
        while self.ring.submission().is_full() {
            harmless(self.ring.submitter().submit())?;
            self.reap(table);
        }
        // SAFETY: every pointer of the entry leads into memory that the table or this struct keeps at its place
        // until the entry's completion was reaped (see the head of this file), and the entry's descriptor is kept
        // open by the slot or by `shared`.
        unsafe { self.ring.submission().push(&entry) }.expect("room was made");
        self.in_flight += 1;
        Ok(())
    }

    fn reap(&mut self, table: &mut Table) {
        for done in self.ring.completion() {
            self.in_flight -= 1;
            match done.user_data() {
                BELL => self.bell_armed = false,
                CANCEL => {}
                key => finish(table, Key::from_u64(key), &done),
            }
        }
    }

    fn entry(&mut self, slot: &mut Slot, index: usize) -> io::Result<squeue::Entry> {
        let file = slot.fd.as_ref().expect("a flying operation has its descriptor");
        let fd = types::Fd(file.as_raw_fd());
        Ok(match (slot.op, &mut slot.payload) {
            (Op::Read { offset, start, len }, Payload::Buf(buf)) => {
                opcode::Read::new(fd, bytes(buf, start, len).as_mut_ptr(), len).offset(offset).build()
            }
            (Op::Write { offset, start, len }, Payload::Buf(buf)) => {
                opcode::Write::new(fd, bytes(buf, start, len).as_ptr(), len).offset(offset).build()
            }
            (Op::Recv { start, len }, Payload::Buf(buf)) => {
                opcode::Recv::new(fd, bytes(buf, start, len).as_mut_ptr(), len).build()
            }
            (Op::Send { start, len }, Payload::Buf(buf)) => {
                let send = opcode::Send::new(fd, bytes(buf, start, len).as_ptr(), len);
                send.flags(libc::MSG_NOSIGNAL).build()
            }
            (Op::SendGather, Payload::Gather(gather)) => {
                let parts = gather.pieces().take(MAX_PIECES);
                let header = self.message(index, parts.map(|part| (part.as_ptr().cast_mut(), part.len())));
                // the kernel goes on by itself where the socket takes only a part
                let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
                opcode::SendMsg::new(fd, header).flags(flags as u32).build()
            }
            (Op::RecvTwo { start, end, ahead }, Payload::Two(first, second)) => {
                let parts = [&mut first[start..end], &mut second[ahead..]];
                let header =
                    self.message(index, parts.into_iter().map(|part| (part.as_mut_ptr(), part.len())));
                opcode::RecvMsg::new(fd, header).build()
            }
            (Op::Sync { data_only }, Payload::None) => {
                let flags = if data_only { types::FsyncFlags::DATASYNC } else { types::FsyncFlags::empty() };
                opcode::Fsync::new(fd).flags(flags).build()
            }
            (Op::Allocate { mode, offset, len }, Payload::None) => {
                opcode::Fallocate::new(fd, len).offset(offset).mode(mode.bits() as i32).build()
            }
            (Op::Accept, Payload::None) => {
                // a non-blocking listener would answer EAGAIN instead of waiting
                rustix::io::ioctl_fionbio(file, false)?;
                let (no_address, no_length) = (std::ptr::null_mut(), std::ptr::null_mut());
                opcode::Accept::new(fd, no_address, no_length).flags(libc::SOCK_CLOEXEC).build()
            }
            (op, payload) => unreachable!("{op:?} was started with {payload:?}"),
        })
    }

    /// Describes pieces of memory that the slot `index` owns, in memory that belongs to the slot, too.
    fn message(&mut self, index: usize, parts: impl Iterator<Item = (*mut u8, usize)>) -> *mut libc::msghdr {
        if self.messages.len() <= index {
            self.messages.resize_with(index + 1, || None);
        }
        let message = self.messages[index].get_or_insert_with(|| {
            // SAFETY: msghdr is plain numbers and pointers, for which zero is a valid value.
            let header = unsafe { std::mem::zeroed() };
            Box::new(Message { header, pieces: Vec::new() })
        });
        message.pieces.clear();
        message.pieces.extend(parts.map(|(at, len)| libc::iovec { iov_base: at.cast(), iov_len: len }));
        message.header.msg_iov = message.pieces.as_mut_ptr();
        message.header.msg_iovlen = message.pieces.len();
        &raw mut message.header
    }
}

/// The part of a buffer that an operation works on; a wrong range is a bug of the caller and panics here.
fn bytes(buf: &mut Buf, start: usize, len: u32) -> &mut [u8] {
    &mut buf[start..start + len as usize]
}

fn build(shape: impl Fn(&mut io_uring::Builder) -> &mut io_uring::Builder) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_clamp().setup_submit_all().setup_cqsize(COMPLETIONS);
    shape(&mut builder).build(SUBMISSIONS)
}

/// Errors of `enter` after which the next turn simply tries again: time is up, a signal came, or the completions that
/// wait have to be taken first.
fn harmless(entered: io::Result<usize>) -> io::Result<()> {
    match entered {
        Ok(_) => Ok(()),
        Err(e) => match e.raw_os_error() {
            Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
            _ => Err(e),
        },
    }
}

fn finish(table: &mut Table, key: Key, done: &cqueue::Entry) {
    let outcome = match u32::try_from(done.result()) {
        Ok(n) => Ok(n),
        Err(_) => Err(Errno::from_raw_os_error(-done.result())),
    };
    let slot = table.flying(key).expect("each operation has one completion");
    if let (Op::Accept, Ok(fd)) = (slot.op, outcome) {
        // SAFETY: the kernel has just made this descriptor for us; this is the only place that takes it.
        slot.payload = Payload::Socket(unsafe { OwnedFd::from_raw_fd(fd as i32) });
    }
    table.complete(key, outcome);
}
