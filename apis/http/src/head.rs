//! One message head: taken apart strictly, and put together again with a target that the library takes.

use http::StatusCode;

use crate::framing::{HeadLimits, Refused};

/// How the body that follows is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// That many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// A head that was taken apart.
pub(crate) struct Head {
    /// As it was sent.
    pub target: Vec<u8>,
    /// In origin form and ASCII.
    pub uri: String,
    /// What follows.
    pub body: Body,
    /// It asks to speak another protocol afterwards.
    pub upgrade: bool,
    /// The head with the new target.
    pub rewritten: Vec<u8>,
}

/// Percent-encodes every byte that an RFC 3986 path or query cannot hold; `#` too, for no fragment is ever sent.
pub(crate) fn encode(target: &[u8]) -> String {
    let mut out = String::with_capacity(target.len());
    for &b in target {
        let plain = b.is_ascii_alphanumeric() || b"-._~:/?@!$&'()*+,;=%".contains(&b);
        if plain {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

/// A head that is not whole yet: is it already over a limit?
pub(crate) fn too_long(partial: &[u8], limits: &HeadLimits) -> Result<(), Refused> {
    let line_end = partial.iter().position(|&b| b == b'\n');
    let line = &partial[..line_end.unwrap_or(partial.len())];
    let target = line.iter().position(|&b| b == b' ').map(|sp| line.len() - sp - 1).unwrap_or(0);
    // The version and its space come after the target; while the line grows nobody knows where the target ends.
    if target > limits.target + " HTTP/1.1\r".len() {
        return Err(target_too_long(limits));
    }
    if partial.len() > limits.head {
        return Err(Refused {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            why: format!("the head of the request is longer than {} bytes", limits.head),
        });
    }
    Ok(())
}

fn target_too_long(limits: &HeadLimits) -> Refused {
    Refused {
        status: StatusCode::URI_TOO_LONG,
        why: format!("the target of the request is longer than {} bytes", limits.target),
    }
}

/// Method and target of a head that will be refused, as far as they can be told.
pub(crate) fn guess(held: &[u8], limit: usize) -> (&'static str, Vec<u8>) {
    let line = held.split(|&b| b == b'\n').next().unwrap_or_default();
    let mut words = line.splitn(2, |&b| b == b' ');
    let method = if words.next() == Some(b"HEAD") { "HEAD" } else { "GET" };
    let rest = words.next().unwrap_or_default();
    let target = rest.split(|&b| b == b' ' || b == b'\r').next().unwrap_or_default();
    (method, origin(&target[..target.len().min(limit)]).to_vec())
}

/// The origin form of a target: without scheme and authority.
fn origin(target: &[u8]) -> &[u8] {
    for scheme in [&b"http://"[..], b"https://"] {
        if target.len() >= scheme.len() && target[..scheme.len()].eq_ignore_ascii_case(scheme) {
            let rest = &target[scheme.len()..];
            return match rest.iter().position(|&b| b == b'/' || b == b'?') {
                Some(at) if rest[at] == b'/' => &rest[at..],
                _ => b"/",
            };
        }
    }
    target
}

fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// Takes a whole head apart, `\r\n\r\n` included.
pub(crate) fn parse(head: &[u8], limits: &HeadLimits) -> Result<Head, Refused> {
    too_long(head, limits)?;
    let mut lines = Vec::new();
    let mut rest = &head[..head.len() - 2];
    while let Some(end) = rest.iter().position(|&b| b == b'\n') {
        let line = rest[..end].strip_suffix(b"\r");
        let line = line.ok_or_else(|| Refused::bad("a line of the head ends without CR"))?;
        if line.contains(&b'\r') || line.contains(&0) {
            return Err(Refused::bad("a line of the head holds a bare CR or a NUL"));
        }
        lines.push(line);
        rest = &rest[end + 1..];
    }
    let (first, headers) = lines.split_first().ok_or_else(|| Refused::bad("the head is empty"))?;
    let (method, target, version) = request_line(first, limits)?;
    let framing = framing(headers, version, limits)?;
    if method == b"CONNECT" {
        return Err(Refused { status: StatusCode::NOT_IMPLEMENTED, why: "this is no proxy".into() });
    }
    let uri = encode(origin(target));
    let mut rewritten = Vec::with_capacity(head.len() + 64);
    rewritten.extend_from_slice(method);
    rewritten.push(b' ');
    rewritten.extend_from_slice(uri.as_bytes());
    rewritten.push(b' ');
    rewritten.extend_from_slice(version);
    rewritten.extend_from_slice(&head[first.len()..]);
    Ok(Head { target: target.to_vec(), uri, body: framing.0, upgrade: framing.1, rewritten })
}

/// Method, target, version.
type RequestLine<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// `METHOD SP target SP HTTP/1.x`; spaces inside the target belong to it.
fn request_line<'a>(line: &'a [u8], limits: &HeadLimits) -> Result<RequestLine<'a>, Refused> {
    let bad = || Refused::bad("the request line is not METHOD TARGET VERSION");
    let first = line.iter().position(|&b| b == b' ').ok_or_else(bad)?;
    let last = line.iter().rposition(|&b| b == b' ').filter(|&at| at > first).ok_or_else(bad)?;
    let (method, target, version) = (&line[..first], &line[first + 1..last], &line[last + 1..]);
    if !is_token(method) {
        return Err(Refused::bad("the method is not a token"));
    }
    if version != b"HTTP/1.1" && version != b"HTTP/1.0" {
        if version.starts_with(b"HTTP/") {
            return Err(Refused {
                status: StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                why: "only HTTP/1.0 and HTTP/1.1 are spoken here".into(),
            });
        }
        return Err(bad());
    }
    if target.len() > limits.target {
        return Err(target_too_long(limits));
    }
    let origin = origin(target);
    let everything = origin == b"*" && method == b"OPTIONS";
    if !origin.starts_with(b"/") && !everything {
        return Err(Refused::bad("the target of the request does not start with a slash"));
    }
    Ok((method, target, version))
}

/// How the body is framed, and whether an upgrade is asked for.
fn framing(headers: &[&[u8]], version: &[u8], limits: &HeadLimits) -> Result<(Body, bool), Refused> {
    if headers.len() > limits.headers {
        return Err(Refused {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            why: format!("the request has more than {} headers", limits.headers),
        });
    }
    let (mut length, mut chunked, mut hosts, mut upgrade, mut connection) = (None, false, 0, false, false);
    for line in headers {
        let colon = line.iter().position(|&b| b == b':');
        let colon = colon.ok_or_else(|| Refused::bad("a header has no colon"))?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if !is_token(name) {
            return Err(Refused::bad("the name of a header is not a token"));
        }
        if value.iter().any(|&b| (b < b' ' && b != b'\t') || b == 0x7f) {
            return Err(Refused::bad("the value of a header holds a control character"));
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            if length.replace(content_length(value)?).is_some() {
                return Err(Refused::bad("Content-Length is given more than once"));
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refused::bad("the only Transfer-Encoding taken here is chunked, once"));
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            upgrade = true;
        } else if name.eq_ignore_ascii_case(b"connection") {
            let asks = |w: &[u8]| w.trim_ascii().eq_ignore_ascii_case(b"upgrade");
            connection |= value.split(|&b| b == b',').any(asks);
        }
    }
    if hosts > 1 || (hosts == 0 && version == b"HTTP/1.1") {
        return Err(Refused::bad("an HTTP/1.1 request needs exactly one Host header"));
    }
    let body = match (length, chunked) {
        (Some(_), true) => return Err(Refused::bad("both Content-Length and Transfer-Encoding are given")),
        (None, true) if version == b"HTTP/1.0" => {
            return Err(Refused::bad("HTTP/1.0 has no Transfer-Encoding"));
        }
        (None, true) => Body::Chunked,
        (length, false) => Body::Length(length.unwrap_or(0)),
    };
    Ok((body, upgrade && connection))
}

fn content_length(value: &[u8]) -> Result<u64, Refused> {
    let digits = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    text.and_then(|t| t.parse().ok()).ok_or_else(|| Refused::bad("Content-Length is not a number of bytes"))
}
