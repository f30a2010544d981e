//! Where a chunked body ends. The bytes pass unchanged; the library decodes them.

use crate::framing::Refused;

/// Longest chunk-size line with its extensions, and longest trailer section, in bytes.
const LINE: usize = 256;
const TRAILERS: usize = 8 << 10;

/// The place inside a chunked body.
#[derive(Debug, Default)]
pub(crate) enum Chunked {
    /// In a size line: what it says so far.
    #[default]
    Start,
    Size {
        size: u64,
        digits: usize,
        seen: usize,
        extension: bool,
        cr: bool,
    },
    Data(u64),
    /// The CRLF after a chunk's data.
    DataEnd {
        cr: bool,
    },
    /// After the last chunk: `line` bytes of the present trailer line, `seen` of all.
    Trailers {
        line: usize,
        seen: usize,
        cr: bool,
    },
}

impl Chunked {
    /// Takes what belongs to the body: how many bytes, and whether the body ended with them.
    pub(crate) fn push(&mut self, input: &[u8]) -> Result<(usize, bool), Refused> {
        let mut at = 0;
        while at < input.len() {
            if let Chunked::Data(left) = self {
                let n = (*left).min((input.len() - at) as u64);
                *left -= n;
                at += n as usize;
                if *left == 0 {
                    *self = Chunked::DataEnd { cr: false };
                }
                continue;
            }
            let ended = self.byte(input[at])?;
            at += 1;
            if ended {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    /// One byte that is not data; true when it was the last of the body.
    fn byte(&mut self, b: u8) -> Result<bool, Refused> {
        match self {
            Chunked::Start => {
                *self = Chunked::Size { size: 0, digits: 0, seen: 0, extension: false, cr: false };
                return self.byte(b);
            }
            Chunked::Size { size, digits, seen, extension, cr } => {
                *seen += 1;
                match (b, *cr) {
                    (b'\n', true) if *size == 0 => {
                        *self = Chunked::Trailers { line: 0, seen: 0, cr: false };
                    }
                    (b'\n', true) => *self = Chunked::Data(*size),
                    (b'\n', false) | (_, true) => return Err(Refused::bad("a chunk's size line is broken")),
                    (b'\r', _) if *digits > 0 => *cr = true,
                    _ if *seen > LINE => return Err(Refused::bad("a chunk's size line is too long")),
                    _ if *extension => {}
                    (b';', _) if *digits > 0 => *extension = true,
                    _ => {
                        let digit = char::from(b).to_digit(16).filter(|_| *digits < 15);
                        let digit = digit.ok_or_else(|| Refused::bad("a chunk's size is not a number"))?;
                        *size = *size << 4 | u64::from(digit);
                        *digits += 1;
                    }
                }
            }
            Chunked::DataEnd { cr } => match (b, *cr) {
                (b'\r', false) => *cr = true,
                (b'\n', true) => *self = Chunked::Start,
                _ => return Err(Refused::bad("a chunk does not end where its size says")),
            },
            Chunked::Trailers { line, seen, cr } => {
                *seen += 1;
                match (b, *cr) {
                    (b'\n', true) if *line == 0 => return Ok(true),
                    (b'\n', true) => (*line, *cr) = (0, false),
                    (b'\n', false) | (_, true) => return Err(Refused::bad("a trailer line is broken")),
                    (b'\r', _) => *cr = true,
                    _ if *seen > TRAILERS => return Err(Refused::bad("the trailers are too long")),
                    _ => *line += 1,
                }
            }
            Chunked::Data(_) => unreachable!("data is taken in one piece by push"),
        }
        Ok(false)
    }
}
