//! The one mover of bytes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;

use parpen_base::{Boxed, Buf, MIB};

use crate::{IoError, Op, Remote};

/// Largest read and write, in bytes.
const CHUNK: u64 = MIB;
/// Pieces under way at a time.
const PARALLEL: usize = 8;
/// The target is flushed after each of these, so that a restart has little to repeat.
const WINDOW: u64 = 256 * MIB;
/// Zeros are looked for in pieces of this size.
const GRAIN: usize = 64 << 10;

/// Is told how far a copy is.
pub trait Progress: Send + Sync {
    /// Everything before `offset` is in the target, though a crash may still lose it.
    fn moved(&self, offset: u64);
    /// Everything before `offset` is in the target and durable: a restart may start there.
    fn durable(&self, offset: u64);
}

/// Copies all of `from` from byte `start` on to the same place in `to`, and flushes; the answer is the
/// number of bytes that were written, zeros not counted. Zeros of the source are zeros of the target
/// afterwards, whatever stood there, and take no room where neither device keeps any. A target that is
/// larger keeps its tail; a smaller one is [`IoError::Invalid`].
///
/// Dropping the future cancels it; a few writes may still land. It may be started again at any offset that
/// [`Progress::durable`] was told, or that lies before one.
pub async fn copy(from: &Remote, to: &Remote, start: u64, progress: &dyn Progress) -> Result<u64, IoError> {
    let size = from.geometry().size;
    if to.geometry().size < size || start > size {
        return Err(IoError::Invalid);
    }
    let (mut at, mut written) = (start, 0);
    while at < size {
        let end = (at + WINDOW).min(size);
        let pieces = plan(from, to, at, end).await?;
        let mut moved = at;
        let work = pieces.into_iter().map(|piece| -> Boxed<'_, _> { Box::pin(step(from, to, piece)) });
        in_order(work, |(len, bytes)| {
            moved += len;
            written += bytes;
            progress.moved(moved);
        })
        .await?;
        to.flush().await?;
        progress.durable(end);
        at = end;
    }
    if start == size {
        to.flush().await?;
    }
    Ok(written)
}

/// Copies ranges (offset, length) of `from` to the same places in `to`, and flushes.
pub async fn copy_ranges(from: &Remote, to: &Remote, ranges: &[(u64, u64)]) -> Result<(), IoError> {
    for &(start, len) in ranges {
        let (mut at, end) = (start, start + len);
        while at < end {
            let stop = (at + WINDOW).min(end);
            let pieces = plan(from, to, at, stop).await?;
            let work = pieces.into_iter().map(|piece| -> Boxed<'_, _> { Box::pin(step(from, to, piece)) });
            in_order(work, |_| ()).await?;
            at = stop;
        }
    }
    to.flush().await
}

/// A stretch to copy, and whether the source is known to be zero there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    offset: u64,
    len: u32,
    zero: bool,
}

/// What has to be moved between two offsets, at most [`WINDOW`] apart. Where the source can say what is
/// zero, that is not read.
async fn plan(from: &Remote, to: &Remote, start: u64, end: u64) -> Result<Vec<Piece>, IoError> {
    let limit = CHUNK.min(from.geometry().maximum.into()).min(to.geometry().maximum.into()).max(1);
    let mut pieces = Vec::new();
    let map = if from.capabilities().extents {
        from.extents(start, (end - start) as u32).await?
    } else {
        vec![crate::Extent { len: end - start, zero: false }]
    };
    let mut at = start;
    for extent in map {
        let stop = at + extent.len;
        while at < stop {
            let len = if extent.zero { stop - at } else { limit.min(stop - at) };
            pieces.push(Piece { offset: at, len: len as u32, zero: extent.zero });
            at += len;
        }
    }
    Ok(pieces)
}

/// Moves one piece: its length, and the bytes that were written.
async fn step(from: &Remote, to: &Remote, piece: Piece) -> Result<(u64, u64), IoError> {
    let Piece { offset, len, zero } = piece;
    if zero {
        to.clear(offset, len).await?;
        return Ok((len.into(), 0));
    }
    let read = from.run(Op::Read, offset, len, Some(Buf::zeroed(len as usize))).await;
    read.result?;
    let buf = read.buf.ok_or(IoError::Io)?;
    let runs = if read.all_zero { vec![(0, buf.len(), true)] } else { runs(&buf) };
    if let [(_, _, false)] = runs[..] {
        to.write(offset, buf, false).await?;
        return Ok((len.into(), len.into()));
    }
    let mut written = 0;
    for (at, n, zero) in runs {
        let offset = offset + at as u64;
        if zero {
            to.clear(offset, n as u32).await?;
        } else {
            to.write(offset, Buf::copy_of(&buf[at..at + n]), false).await?;
            written += n as u64;
        }
    }
    Ok((len.into(), written))
}

/// `(offset, length, zero)`, neighbours of one kind joined.
fn runs(bytes: &[u8]) -> Vec<(usize, usize, bool)> {
    let mut runs: Vec<(usize, usize, bool)> = Vec::new();
    for grain in bytes.chunks(GRAIN) {
        let zero = is_zero(grain);
        match runs.last_mut() {
            Some((_, n, kind)) if *kind == zero => *n += grain.len(),
            last => {
                let at = last.map_or(0, |(at, n, _)| *at + *n);
                runs.push((at, grain.len(), zero));
            }
        }
    }
    runs
}

fn is_zero(bytes: &[u8]) -> bool {
    // Sixteen bytes at a time and no early end within a block: the compiler makes wide compares of this.
    let (blocks, tail) = bytes.as_chunks::<256>();
    blocks.iter().all(|b| b.as_chunks::<16>().0.iter().fold(0, |n, w| n | u128::from_ne_bytes(*w)) == 0)
        && tail.iter().all(|b| *b == 0)
}

/// Runs futures, a few at a time, and hands their results on in the order of the futures. The first error
/// ends it.
async fn in_order<'a, T>(
    mut work: impl Iterator<Item = Boxed<'a, Result<T, IoError>>>,
    mut each: impl FnMut(T),
) -> Result<(), IoError> {
    enum Slot<'a, T> {
        Running(Boxed<'a, Result<T, IoError>>),
        Done(T),
    }
    let mut slots: VecDeque<Slot<'a, T>> = VecDeque::with_capacity(PARALLEL);
    poll_fn(|cx| {
        loop {
            while slots.len() < PARALLEL
                && let Some(f) = work.next()
            {
                slots.push_back(Slot::Running(f));
            }
            for slot in &mut slots {
                if let Slot::Running(f) = slot
                    && let Poll::Ready(result) = f.as_mut().poll(cx)
                {
                    match result {
                        Ok(value) => *slot = Slot::Done(value),
                        Err(why) => return Poll::Ready(Err(why)),
                    }
                }
            }
            if !matches!(slots.front(), Some(Slot::Done(_))) {
                return if slots.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            while let Some(Slot::Done(_)) = slots.front() {
                if let Some(Slot::Done(value)) = slots.pop_front() {
                    each(value);
                }
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::testing::*;
    use crate::{
        AccessTable, Admits, BlockDevice, Capabilities, Gate, Geometry, Home, Memory, Queue, Refusal, Rights,
        Wake,
    };

    /// A device that cannot say where it is empty, and that takes small requests only.
    struct Plain(Memory);

    impl BlockDevice for Plain {
        fn geometry(&self) -> Geometry {
            Geometry { maximum: 100_000, ..self.0.geometry() }
        }
        fn capabilities(&self) -> Capabilities {
            Capabilities { extents: false, ..self.0.capabilities() }
        }
        fn home(&self) -> Option<Arc<dyn Home>> {
            None
        }
        fn open(&self, depth: u16, wake: Wake) -> Result<Box<dyn Queue>, Refusal> {
            self.0.open(depth, wake)
        }
    }

    #[derive(Default)]
    struct Log(Mutex<Vec<(bool, u64)>>);

    impl Progress for Log {
        fn moved(&self, offset: u64) {
            self.0.lock().unwrap().push((false, offset));
        }
        fn durable(&self, offset: u64) {
            self.0.lock().unwrap().push((true, offset));
        }
    }

    fn remote(home: &Arc<ThreadHome>, device: impl BlockDevice + 'static) -> Remote {
        let g = Gate::new();
        g.publish(export(1), AccessTable { rights: Rights::ReadWrite, admits: Admits::Everyone }, 1);
        let s = g.admit(export(1), None, peer(), Arc::new(device)).unwrap();
        block_on(Remote::open(s, 4, home.clone())).unwrap()
    }

    const SIZE: u64 = 2 * WINDOW + 512;

    /// Islands of data in two windows and at the very end.
    fn islands(r: &Remote) -> u64 {
        let places = [(0, 700), (CHUNK - 3, 6), (WINDOW - 512, 1024), (SIZE - 512, 512)];
        for (i, (at, n)) in places.into_iter().enumerate() {
            block_on(r.write(at, Buf::copy_of(&vec![i as u8 + 1; n]), false)).unwrap();
        }
        places.len() as u64
    }

    fn same(a: &Remote, b: &Remote, from: u64) {
        for at in (from..SIZE).step_by(4 << 20) {
            let len = (SIZE - at).min(4 << 20);
            let read = |r: &Remote| {
                let step = 65536;
                (at..at + len)
                    .step_by(step)
                    .map(|o| block_on(r.read(o, (at + len - o).min(step as u64) as u32)).unwrap().to_vec())
                    .collect::<Vec<_>>()
            };
            assert!(read(a) == read(b), "different near {at}");
        }
    }

    #[test]
    fn copies_islands_and_clears_what_stood_between() {
        let home = ThreadHome::start();
        for plain in [false, true] {
            let (source, target) = (Memory::new(SIZE), Memory::new(SIZE + 512));
            let a = remote(&home, source.clone());
            let b = if plain { remote(&home, Plain(target.clone())) } else { remote(&home, target.clone()) };
            islands(&a);
            block_on(b.write(CHUNK * 9, Buf::copy_of(&[9; 9000]), false)).unwrap();
            block_on(b.write(SIZE, Buf::copy_of(&[8; 512]), false)).unwrap();
            let log = Log::default();
            let written = block_on(copy(&a, &b, 0, &log)).unwrap();
            assert!((2242..2 << 20).contains(&written), "{written}");
            same(&a, &b, 0);
            assert_eq!(block_on(b.read(SIZE, 512)).unwrap().to_vec(), [8; 512], "the tail is not touched");
            // The target has no page that the source has not, but for grains that are partly data.
            assert!(target.stored() <= source.stored() + 8 * GRAIN as u64, "{}", target.stored());
            let log = log.0.into_inner().unwrap();
            assert!(log.windows(2).all(|w| w[0].1 <= w[1].1), "progress runs forward");
            let durable: Vec<u64> = log.iter().filter(|l| l.0).map(|l| l.1).collect();
            assert_eq!(durable, [WINDOW, 2 * WINDOW, SIZE]);
        }
        home.stop();
    }

    #[test]
    fn goes_on_where_it_was_and_refuses_what_does_not_fit() {
        let home = ThreadHome::start();
        let (a, b) = (remote(&home, Memory::new(SIZE)), remote(&home, Memory::new(SIZE)));
        islands(&a);
        let log = Log::default();
        assert!(block_on(copy(&a, &b, WINDOW, &log)).unwrap() < 2 << 20);
        same(&a, &b, WINDOW);
        assert_eq!(block_on(b.read(0, 700)).unwrap().to_vec(), [0; 700]);
        assert_eq!(block_on(copy(&a, &b, SIZE, &log)), Ok(0));
        let small = remote(&home, Memory::new(SIZE - 512));
        assert_eq!(block_on(copy(&a, &small, 0, &log)), Err(IoError::Invalid));
        assert_eq!(block_on(copy(&a, &b, SIZE + 1, &log)), Err(IoError::Invalid));
        home.stop();
    }

    #[test]
    fn order_is_kept_and_the_first_error_ends_it() {
        let mut got = Vec::new();
        let work = (0..100u64).map(|i| -> Boxed<'_, _> {
            Box::pin(async move {
                let mut polls = 7 - i % 7;
                poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    polls -= 1;
                    if polls == 0 { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                if i == 90 { Err(IoError::NoSpace) } else { Ok(i) }
            })
        });
        assert_eq!(block_on(in_order(work, |i| got.push(i))), Err(IoError::NoSpace));
        assert!(got.len() >= 83 && got.len() <= 90, "{}", got.len());
        assert!(got.iter().enumerate().all(|(i, n)| i as u64 == *n));
    }

    #[test]
    fn finds_zeros_by_looking() {
        let mut bytes = vec![0u8; 3 * GRAIN + 100];
        assert_eq!(runs(&bytes), [(0, bytes.len(), true)]);
        bytes[GRAIN + 77] = 1;
        let tail = 2 * GRAIN;
        assert_eq!(runs(&bytes), [(0, GRAIN, true), (GRAIN, GRAIN, false), (tail, GRAIN + 100, true)]);
        *bytes.last_mut().unwrap() = 1;
        assert_eq!(runs(&bytes).last(), Some(&(3 * GRAIN, 100, false)));
    }
}
