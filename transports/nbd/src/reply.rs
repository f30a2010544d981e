//! Replies as bytes; no I/O here.
//!
//! A client that has not asked for structured replies gets simple ones. One that has gets reads and maps in chunks, as
//! the protocol demands, and simple replies to the rest, which are shorter.

use std::ops::Range;

use parpen_base::{Buf, PAGE};
use parpen_block::IoError;
use parpen_ring::Gather;

use crate::handshake::ALLOCATION_ID;
use crate::request::Errno;
use crate::wire::{CHUNK_MAGIC, SIMPLE_REPLY_MAGIC, chunk, extent};

/// Read data up to this size is copied beside its header rather than sent as a piece of its own.
const SMALL: usize = 512;
/// The most stretches of a map that one reply tells of; the client asks again for the rest.
const MAX_STRETCHES: usize = 16 << 10;

/// How the reply to a request looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Simple,
    /// A simple reply with the bytes of a read.
    SimpleData,
    /// The bytes of a read in chunks; `whole`: in one.
    Chunks {
        whole: bool,
    },
    /// The map; `one`: its first stretch.
    Map {
        one: bool,
    },
}

/// A simple reply; after a good one to a read come the bytes.
pub(crate) fn simple(result: Result<(), Errno>, cookie: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&SIMPLE_REPLY_MAGIC.to_be_bytes());
    bytes[4..8].copy_from_slice(&result.err().map_or(0, |errno| errno as u32).to_be_bytes());
    bytes[8..].copy_from_slice(&cookie.to_be_bytes());
    bytes
}

/// The head of a chunk with `len` bytes.
fn head(flags: u16, kind: u16, cookie: u64, len: usize) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&CHUNK_MAGIC.to_be_bytes());
    bytes[4..6].copy_from_slice(&flags.to_be_bytes());
    bytes[6..8].copy_from_slice(&kind.to_be_bytes());
    bytes[8..16].copy_from_slice(&cookie.to_be_bytes());
    bytes[16..].copy_from_slice(&(len as u32).to_be_bytes());
    bytes
}

/// The one chunk of a request that failed, with the reason in words.
pub(crate) fn error(to: &mut Gather, errno: Errno, why: &str, cookie: u64) {
    to.copy(&head(chunk::DONE, chunk::ERROR, cookie, 6 + why.len()));
    to.copy(&(errno as u32).to_be_bytes());
    to.copy(&(why.len() as u16).to_be_bytes());
    to.copy(why.as_bytes());
}

/// What a refused request is told.
pub(crate) fn refusal(to: &mut Gather, shape: Shape, errno: Errno, cookie: u64) {
    match shape {
        Shape::Simple | Shape::SimpleData => to.copy(&simple(Err(errno), cookie)),
        Shape::Chunks { .. } | Shape::Map { .. } => error(to, errno, "the request is refused", cookie),
    }
}

/// What a request is told that the device could not carry out.
pub(crate) fn failure(to: &mut Gather, shape: Shape, e: IoError, cookie: u64) {
    match shape {
        Shape::Simple | Shape::SimpleData => to.copy(&simple(Err(e.into()), cookie)),
        Shape::Chunks { .. } | Shape::Map { .. } => error(to, e.into(), &e.to_string(), cookie),
    }
}

/// Sends bytes after what stands in the list; gives the buffer back if they were copied.
fn data(to: &mut Gather, buf: Buf) -> Option<Buf> {
    if buf.len() <= SMALL {
        to.copy(&buf);
        return Some(buf);
    }
    to.push(buf);
    None
}

/// A simple reply with the bytes of a read.
pub(crate) fn simple_data(to: &mut Gather, cookie: u64, buf: Buf) -> Option<Buf> {
    to.copy(&simple(Ok(()), cookie));
    data(to, buf)
}

/// The bytes of a read from `offset`, without the zeros unless they have to come `whole`. `all_zero`: there is nothing
/// else. Gives the buffer back if it is not needed.
pub(crate) fn chunks(
    to: &mut Gather,
    cookie: u64,
    offset: u64,
    whole: bool,
    all_zero: bool,
    buf: Buf,
) -> Option<Buf> {
    if all_zero {
        hole(to, chunk::DONE, cookie, offset, buf.len());
        return Some(buf);
    }
    if whole || buf.len() <= PAGE {
        data_head(to, chunk::DONE, cookie, offset, buf.len());
        return data(to, buf);
    }
    let stretches = stretches(&buf, offset);
    let lent = to.lend(buf);
    for (n, (zero, range)) in stretches.iter().enumerate() {
        let flags = if n + 1 == stretches.len() { chunk::DONE } else { 0 };
        let at = offset + range.start as u64;
        if *zero {
            hole(to, flags, cookie, at, range.len());
        } else {
            data_head(to, flags, cookie, at, range.len());
            to.part(lent, range.clone());
        }
    }
    None
}

fn data_head(to: &mut Gather, flags: u16, cookie: u64, offset: u64, len: usize) {
    to.copy(&head(flags, chunk::OFFSET_DATA, cookie, 8 + len));
    to.copy(&offset.to_be_bytes());
}

fn hole(to: &mut Gather, flags: u16, cookie: u64, offset: u64, len: usize) {
    to.copy(&head(flags, chunk::OFFSET_HOLE, cookie, 12));
    to.copy(&offset.to_be_bytes());
    to.copy(&(len as u32).to_be_bytes());
}

/// Whether bytes are all zero; the first ones mostly tell.
fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|w| u128::from_ne_bytes(*w) == 0) && rest.iter().all(|b| *b == 0)
}

/// Cuts bytes that stand at `offset` at block bounds into zeros and others.
fn stretches(bytes: &[u8], offset: u64) -> Vec<(bool, Range<usize>)> {
    let mut all: Vec<(bool, Range<usize>)> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let into = ((offset + at as u64) % PAGE as u64) as usize;
        let end = bytes.len().min(at + PAGE - into);
        // a part of a block is not worth a chunk
        let zero = end - at == PAGE && is_zero(&bytes[at..end]);
        match all.last_mut() {
            Some((kind, range)) if *kind == zero => range.end = end,
            _ => all.push((zero, at..end)),
        }
        at = end;
    }
    all
}

/// The map of a range that starts where the request does: `pairs` as the device gives them. What the device does not
/// speak of counts as data.
pub(crate) fn map(to: &mut Gather, cookie: u64, one: bool, len: u32, pairs: &[u8]) {
    let most = if one { 1 } else { MAX_STRETCHES };
    let mut found: Vec<(u32, bool)> = Vec::new();
    let mut rest = len;
    let (words, _) = pairs.as_chunks::<8>();
    let (pairs, _) = words.as_chunks::<2>();
    for [stretch, zero] in pairs {
        let stretch = u64::from_le_bytes(*stretch).min(u64::from(rest)) as u32;
        let zero = u64::from_le_bytes(*zero) != 0;
        let told = found.len();
        match found.last_mut() {
            _ if stretch == 0 => {}
            Some((sum, kind)) if *kind == zero => *sum += stretch,
            _ if told == most => break,
            _ => found.push((stretch, zero)),
        }
        rest -= stretch;
    }
    if found.is_empty() {
        found.push((len, false));
    }
    to.copy(&head(chunk::DONE, chunk::BLOCK_STATUS, cookie, 4 + 8 * found.len()));
    to.copy(&ALLOCATION_ID.to_be_bytes());
    for (len, zero) in found {
        let flags = if zero { extent::HOLE | extent::ZERO } else { 0 };
        to.copy(&len.to_be_bytes());
        to.copy(&flags.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
