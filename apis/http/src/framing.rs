//! HTTP/1.1 framing of what a client sends, as a machine without I/O.
//!
//! The HTTP library below refuses or cuts targets that real clients send (`#`, quotes, raw UTF-8), so the bytes pass
//! through here first: each request line is rewritten into a form that the library takes, and remembered as it came.
//! To find the next request line this machine must agree with the library on where every message ends. Whatever two
//! readers could frame differently is therefore refused, never guessed (request smuggling lives on such guesses).

use std::collections::VecDeque;

use http::StatusCode;

use crate::chunked::Chunked;
use crate::head::{self, Head};

/// Ceilings of one message head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Longest target, in bytes as sent.
    pub target: usize,
    /// Longest head (request line and all headers), in bytes.
    pub head: usize,
    /// Most header lines.
    pub headers: usize,
}

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits { target: 8 << 10, head: 64 << 10, headers: 100 }
    }
}

/// Why a message is refused before any API sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status that says so.
    pub status: StatusCode,
    /// For people.
    pub why: String,
}

impl Refused {
    pub(crate) fn bad(why: impl Into<String>) -> Refused {
        Refused { status: StatusCode::BAD_REQUEST, why: why.into() }
    }
}

/// A request head that went to the library, in order; a refused one went there as a harmless stand-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The target as it was sent.
    pub target: Vec<u8>,
    /// The same in origin form, in ASCII: what the library sees and what routers read.
    pub uri: String,
    /// Set when the message is to be answered with this and the connection closed.
    pub refused: Option<Refused>,
}

/// Where in the stream we are.
#[derive(Debug)]
enum Place {
    /// Collecting a head.
    Head,
    /// That many body bytes follow.
    Length(u64),
    /// A chunked body follows.
    Chunked(Chunked),
    /// A head asked for an upgrade; what follows is held until the answer is known.
    Undecided,
    /// The connection speaks another protocol now.
    Raw,
    /// A message was refused; nothing more is read.
    Dead,
}

/// The machine. Bytes go in by [`Framer::push`], what the library shall read comes out.
#[derive(Debug)]
pub struct Framer {
    limits: HeadLimits,
    place: Place,
    /// The bytes of an unfinished head, or those held while an upgrade is undecided.
    held: Vec<u8>,
    /// How far `held` was searched for the end of the head.
    searched: usize,
    seen: VecDeque<Seen>,
}

impl Framer {
    /// A machine at the start of a connection.
    pub fn new(limits: HeadLimits) -> Framer {
        Framer { limits, place: Place::Head, held: Vec::new(), searched: 0, seen: VecDeque::new() }
    }

    /// Takes `input` and appends to `out` what the library may read. An error says that a body is malformed in a
    /// way that cannot be answered in order: reading must fail there.
    pub fn push(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        while !input.is_empty() {
            match &mut self.place {
                Place::Head => input = self.collect(input, out),
                Place::Length(left) => {
                    let n = (*left).min(input.len() as u64) as usize;
                    out.extend_from_slice(&input[..n]);
                    *left -= n as u64;
                    if *left == 0 {
                        self.place = Place::Head;
                    }
                    input = &input[n..];
                }
                Place::Chunked(body) => match body.push(input) {
                    Ok((n, ended)) => {
                        out.extend_from_slice(&input[..n]);
                        if ended {
                            self.place = Place::Head;
                        }
                        input = &input[n..];
                    }
                    Err(refused) => {
                        self.place = Place::Dead;
                        return Err(refused);
                    }
                },
                Place::Undecided => {
                    self.held.extend_from_slice(input);
                    input = &[];
                }
                Place::Raw => {
                    out.extend_from_slice(input);
                    input = &[];
                }
                Place::Dead => input = &[],
            }
        }
        Ok(())
    }

    /// Adds to the head and takes it apart when it is whole. Returns what belongs to what follows.
    fn collect<'a>(&mut self, input: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let mut input = input;
        if self.held.is_empty() {
            // Empty lines before a request line are passed over (RFC 9112, 2.2).
            while let Some(rest) = input.strip_prefix(b"\r\n") {
                input = rest;
            }
            if input.is_empty() {
                return input;
            }
        } else if self.held == b"\r" && input[0] == b'\n' {
            self.held.clear();
            self.searched = 0;
            return &input[1..];
        }
        let room = self.limits.head + 1 - self.held.len().min(self.limits.head + 1);
        let take = room.min(input.len());
        let before = self.held.len();
        self.held.extend_from_slice(&input[..take]);
        let from = self.searched.saturating_sub(3);
        let end = self.held[from..].windows(4).position(|w| w == b"\r\n\r\n").map(|at| from + at + 4);
        self.searched = self.held.len();
        let Some(end) = end else {
            if let Err(refused) = head::too_long(&self.held, &self.limits) {
                self.refuse(refused, out);
            }
            return &input[take..];
        };
        let rest = &input[end - before..];
        self.held.truncate(end);
        match head::parse(&self.held, &self.limits) {
            Ok(head) => self.pass(head, out),
            Err(refused) => self.refuse(refused, out),
        }
        rest
    }

    /// Hands a good head on.
    fn pass(&mut self, head: Head, out: &mut Vec<u8>) {
        out.extend_from_slice(&head.rewritten);
        self.seen.push_back(Seen { target: head.target, uri: head.uri, refused: None });
        self.held.clear();
        self.searched = 0;
        self.place = match head.body {
            head::Body::Chunked => Place::Chunked(Chunked::default()),
            head::Body::Length(n) if n > 0 => Place::Length(n),
            head::Body::Length(_) if head.upgrade => Place::Undecided,
            head::Body::Length(_) => Place::Head,
        };
    }

    /// Puts a stand-in where the refused message would be, so that answers stay in order, and ends the reading.
    pub fn refuse(&mut self, refused: Refused, out: &mut Vec<u8>) {
        let (method, target) = head::guess(&self.held, self.limits.target);
        let uri = head::encode(&target);
        out.extend_from_slice(method.as_bytes());
        out.extend_from_slice(b" / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n");
        self.seen.push_back(Seen { target, uri, refused: Some(refused) });
        self.held.clear();
        self.place = Place::Dead;
    }

    /// The oldest head that was handed on and not taken yet.
    pub fn take_seen(&mut self) -> Option<Seen> {
        self.seen.pop_front()
    }

    /// The answer to an upgrade is known: what was held and all that follows is raw, or HTTP goes on.
    pub fn decide(&mut self, upgraded: bool, out: &mut Vec<u8>) -> Result<(), Refused> {
        if !matches!(self.place, Place::Undecided) {
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        self.place = if upgraded { Place::Raw } else { Place::Head };
        self.push(&held, out)
    }

    /// No byte of a next message was seen, and none is being answered.
    pub fn is_idle(&self) -> bool {
        matches!(self.place, Place::Head) && self.held.is_empty() && self.seen.is_empty()
    }

    /// A head has begun and is not whole.
    pub fn in_head(&self) -> bool {
        matches!(self.place, Place::Head) && !self.held.is_empty()
    }

    /// A body has begun and is not whole.
    pub fn in_body(&self) -> bool {
        matches!(self.place, Place::Length(_) | Place::Chunked(_))
    }

    /// Reading waits for [`Framer::decide`].
    pub fn is_undecided(&self) -> bool {
        matches!(self.place, Place::Undecided)
    }

    /// Nothing more will be read.
    pub fn is_dead(&self) -> bool {
        matches!(self.place, Place::Dead)
    }
}

#[cfg(test)]
mod tests;
