//! The handshake as a machine without I/O: bytes in, bytes and questions to the house out.
//!
//! Total over any input: it never panics, and it keeps at most [`MAX_DATA`] bytes of an option besides what was fed
//! since it last asked for more.

use parpen_base::format_size;
use parpen_block::{Capabilities, Geometry, Refusal};

use crate::wire::{
    ALLOCATION, NBD_MAGIC, OPTION_MAGIC, OPTION_REPLY_MAGIC, Reader, hello, info, option, reply, transmission,
};

/// The longest name, in bytes; the protocol's own limit for strings.
pub(crate) const MAX_NAME: usize = 4096;
/// The longest data of an option that is looked at: a name, and every kind of information twice over or the names of
/// more metadata contexts than anybody has.
const MAX_DATA: usize = 8192;
/// Longer data than this is not even skipped.
const MAX_SKIP: u32 = 1 << 20;
/// More options than a client with a few thousand exports needs to look at each.
const MAX_OPTIONS: u32 = 10_000;
/// What the client calls the context `base:allocation` by.
pub(crate) const ALLOCATION_ID: u32 = 1;
/// The largest request, in bytes: the protocol's default, which clients may rely on unasked.
pub(crate) const MAX_REQUEST: u32 = 32 << 20;

/// What a client is told of the export that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) geometry: Geometry,
    pub(crate) capabilities: Capabilities,
}

impl Offer {
    /// The transmission flags. A request to cache is a hint, so every device takes it.
    pub(crate) fn flags(&self, structured: bool) -> u16 {
        use transmission::*;
        let can = self.capabilities;
        let mut flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA | SEND_CACHE;
        let mut set = |on: bool, flag| flags |= if on { flag } else { 0 };
        set(structured, SEND_DF);
        set(can.multi_conn, CAN_MULTI_CONN);
        set(can.read_only, READ_ONLY);
        set(!can.read_only, SEND_WRITE_ZEROES);
        set(!can.read_only && can.discard, SEND_TRIM);
        set(!can.read_only && can.zero, SEND_FAST_ZERO);
        flags
    }

    /// Least, preferred and largest size of a request. Any byte range is served, so the least is 1.
    fn sizes(&self) -> [u32; 3] {
        let preferred = self.geometry.block.max(4096);
        [1, preferred, self.geometry.maximum.min(MAX_REQUEST).max(preferred)]
    }

    fn description(&self) -> String {
        let rights = if self.capabilities.read_only { "read-only" } else { "read-write" };
        format!("{}, {rights}", format_size(self.geometry.size))
    }
}

/// What the machine needs to go on. Whatever it is, what stands in the output is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// More bytes: [`Handshake::feed`].
    Bytes,
    /// A decision on an export name: [`Handshake::answer`].
    Admission(String),
    /// The names of the exports: [`Handshake::list`].
    Names,
    /// Nothing: the client has the export that was offered last, and [`Handshake::rest`] belongs to its requests.
    Transmission,
    /// Nothing: the connection ends, for this reason.
    End(&'static str),
}

/// Why an export is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    /// The old way to open: an error can only be said by hanging up.
    ExportName,
    /// Look, or open (`go`); with the kinds of information asked for.
    Look { go: bool, kinds: Vec<u16> },
    /// List or choose (`set`) metadata contexts; `matched`: the query means the one that there is.
    Contexts { set: bool, matched: bool },
}

/// What a client has negotiated for its requests and replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// Reads are answered in chunks.
    pub(crate) structured: bool,
    /// The client may ask where data is.
    pub(crate) allocation: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Hello,
    Option,
    /// `left` bytes of a long option are thrown away; then `option` is refused.
    Skip {
        option: u32,
        left: u32,
    },
    Asked {
        name: String,
        purpose: Purpose,
    },
    Listed,
    Over(Result<(), &'static str>),
}

/// One handshake.
pub(crate) struct Handshake {
    state: State,
    /// Bytes fed and not yet understood.
    input: Vec<u8>,
    /// Bytes to be sent.
    pub(crate) output: Vec<u8>,
    no_zeroes: bool,
    fixed: bool,
    options: u32,
    structured: bool,
    /// The export for which the context `base:allocation` was chosen.
    chosen: Option<String>,
    dialect: Dialect,
}

impl Handshake {
    /// A new one; its greeting stands in the output.
    pub(crate) fn new() -> Handshake {
        let mut output = Vec::with_capacity(256);
        output.extend(NBD_MAGIC.to_be_bytes());
        output.extend(OPTION_MAGIC.to_be_bytes());
        output.extend((hello::FIXED_NEWSTYLE | hello::NO_ZEROES).to_be_bytes());
        Handshake {
            state: State::Hello,
            input: Vec::new(),
            output,
            no_zeroes: false,
            fixed: false,
            options: 0,
            structured: false,
            chosen: None,
            dialect: Dialect::default(),
        }
    }

    /// More bytes of the client.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Whether what was fed is enough to go on. Bytes of an option that is thrown away are not.
    pub(crate) fn is_stirred(&mut self) -> bool {
        let before = (self.options, std::mem::discriminant(&self.state));
        self.next() != Want::Bytes || before != (self.options, std::mem::discriminant(&self.state))
    }

    /// Bytes fed and not yet understood.
    pub(crate) fn held(&self) -> usize {
        self.input.len()
    }

    /// What came after the handshake.
    pub(crate) fn rest(self) -> Vec<u8> {
        self.input
    }

    /// Goes on as far as it can.
    pub(crate) fn next(&mut self) -> Want {
        loop {
            let went_on = match &mut self.state {
                State::Hello => self.client_flags(),
                State::Option => self.option(),
                State::Skip { option, left } => {
                    let now = self.input.len().min(*left as usize);
                    self.input.drain(..now);
                    *left -= now as u32;
                    let (option, done) = (*option, *left == 0);
                    if done {
                        self.state = State::Option;
                        self.refuse(option, reply::ERR_TOO_BIG, "this option's data is too long");
                    }
                    done
                }
                State::Asked { name, .. } => return Want::Admission(name.clone()),
                State::Listed => return Want::Names,
                State::Over(Ok(())) => return Want::Transmission,
                State::Over(Err(why)) => return Want::End(why),
            };
            if !went_on {
                return Want::Bytes;
            }
        }
    }

    /// The decision that [`Want::Admission`] asked for. True if the client has the export now.
    pub(crate) fn answer(&mut self, decision: &Result<Offer, Refusal>) -> bool {
        let State::Asked { name, purpose } = std::mem::replace(&mut self.state, State::Option) else {
            self.end("an answer came that nobody asked for");
            return false;
        };
        let dialect =
            Dialect { structured: self.structured, allocation: self.chosen.as_ref() == Some(&name) };
        match (purpose, decision) {
            (Purpose::ExportName, Ok(offer)) => {
                self.dialect = dialect;
                self.output.extend(offer.geometry.size.to_be_bytes());
                self.output.extend(offer.flags(self.structured).to_be_bytes());
                if !self.no_zeroes {
                    self.output.extend([0; 124]);
                }
                self.state = State::Over(Ok(()));
                true
            }
            (Purpose::ExportName, Err(_)) => {
                self.end("the export was refused");
                false
            }
            (Purpose::Look { go, kinds }, Ok(offer)) => {
                let option = if go { option::GO } else { option::INFO };
                self.informs(option, &name, &kinds, offer);
                self.reply(option, reply::ACK, &[]);
                if go {
                    self.dialect = dialect;
                    self.state = State::Over(Ok(()));
                }
                go
            }
            (Purpose::Contexts { set, matched }, Ok(offer)) => {
                let option = if set { option::SET_META_CONTEXT } else { option::LIST_META_CONTEXT };
                let has = matched && offer.capabilities.extents;
                if has {
                    let id = ALLOCATION_ID.to_be_bytes();
                    self.reply(option, reply::META_CONTEXT, &[&id, ALLOCATION.as_bytes()]);
                }
                if set {
                    self.chosen = has.then_some(name);
                }
                self.reply(option, reply::ACK, &[]);
                false
            }
            (Purpose::Look { go: true, .. }, Err(refusal)) => self.refused(option::GO, refusal),
            (Purpose::Look { .. }, Err(refusal)) => self.refused(option::INFO, refusal),
            (Purpose::Contexts { set: true, .. }, Err(refusal)) => {
                self.refused(option::SET_META_CONTEXT, refusal)
            }
            (Purpose::Contexts { .. }, Err(refusal)) => self.refused(option::LIST_META_CONTEXT, refusal),
        }
    }

    /// Says why there is no export; the client has none.
    fn refused(&mut self, option: u32, refusal: &Refusal) -> bool {
        let kind = match refusal {
            Refusal::Unknown => reply::ERR_UNKNOWN,
            Refusal::Forbidden(_) => reply::ERR_POLICY,
            // what clients take as "not now": the others are final
            Refusal::Unavailable(_) => reply::ERR_SHUTDOWN,
        };
        self.refuse(option, kind, &refusal.to_string());
        false
    }

    /// What was negotiated, once the client has an export.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The names that [`Want::Names`] asked for. One that no client could ask for is left out.
    pub(crate) fn list(&mut self, names: &[String]) {
        self.state = State::Option;
        for name in names.iter().filter(|name| name.len() <= MAX_NAME) {
            let len = (name.len() as u32).to_be_bytes();
            self.reply(option::LIST, reply::SERVER, &[&len, name.as_bytes()]);
        }
        self.reply(option::LIST, reply::ACK, &[]);
    }

    fn client_flags(&mut self) -> bool {
        let Some(flags) = Reader(&self.input).u32() else { return false };
        self.input.drain(..4);
        let known = u32::from(hello::FIXED_NEWSTYLE | hello::NO_ZEROES);
        self.fixed = flags & u32::from(hello::FIXED_NEWSTYLE) != 0;
        self.no_zeroes = flags & u32::from(hello::NO_ZEROES) != 0;
        self.state = State::Option;
        if flags & !known != 0 {
            self.end("the client sets flags that are not defined");
        }
        true
    }

    /// One option, if it is there.
    fn option(&mut self) -> bool {
        let mut reader = Reader(&self.input);
        let (Some(magic), Some(option), Some(len)) = (reader.u64(), reader.u32(), reader.u32()) else {
            return false;
        };
        let refused = if magic != OPTION_MAGIC {
            Some("what came is no option")
        } else if !self.fixed && option != option::EXPORT_NAME {
            Some("the client does not know how options are answered")
        } else if self.options == MAX_OPTIONS {
            Some("too many options")
        } else if len > MAX_SKIP || (len as usize > MAX_NAME && option == option::EXPORT_NAME) {
            Some("an option is too long")
        } else {
            None
        };
        if let Some(why) = refused {
            self.end(why);
            return true;
        }
        if len as usize > MAX_DATA {
            self.options += 1;
            self.input.drain(..16);
            self.state = State::Skip { option, left: len };
            return true;
        }
        let Some(data) = reader.bytes(len as usize) else { return false };
        let data = data.to_vec();
        self.options += 1;
        self.input.drain(..16 + data.len());
        self.take(option, &data);
        true
    }

    fn take(&mut self, option: u32, data: &[u8]) {
        match option {
            option::EXPORT_NAME => match std::str::from_utf8(data) {
                Ok(name) => self.ask(name, Purpose::ExportName),
                Err(_) => self.end("the export's name is not UTF-8"),
            },
            option::ABORT => {
                self.reply(option, reply::ACK, &[]);
                self.end("the client asked for the end");
            }
            option::LIST if data.is_empty() => self.state = State::Listed,
            option::LIST => self.refuse(option, reply::ERR_INVALID, "a list request carries no data"),
            option::INFO | option::GO => match look(data) {
                Ok((name, kinds)) => self.ask(name, Purpose::Look { go: option == option::GO, kinds }),
                Err(why) => self.refuse(option, reply::ERR_INVALID, why),
            },
            option::STRUCTURED_REPLY if data.is_empty() => {
                self.structured = true;
                self.reply(option, reply::ACK, &[]);
            }
            option::STRUCTURED_REPLY => {
                self.refuse(option, reply::ERR_INVALID, "a wish for structured replies carries no data");
            }
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => self.contexts(option, data),
            _ => self.refuse(option, reply::ERR_UNSUP, "this server does not have that option"),
        }
    }

    /// Metadata contexts are listed or chosen. What was chosen before is forgotten, whatever comes of it.
    fn contexts(&mut self, option: u32, data: &[u8]) {
        let set = option == option::SET_META_CONTEXT;
        if set {
            self.chosen = None;
        }
        if !self.structured {
            return self.refuse(option, reply::ERR_INVALID, "metadata contexts need structured replies");
        }
        match queries(data) {
            Ok((name, queries)) => {
                let matched = |query: &&[u8]| *query == ALLOCATION.as_bytes() || !set && *query == b"base:";
                let matched = queries.iter().any(matched) || !set && queries.is_empty();
                self.ask(name, Purpose::Contexts { set, matched });
            }
            Err(why) => self.refuse(option, reply::ERR_INVALID, why),
        }
    }

    fn ask(&mut self, name: &str, purpose: Purpose) {
        self.state = State::Asked { name: name.to_owned(), purpose };
    }

    fn end(&mut self, why: &'static str) {
        self.state = State::Over(Err(why));
    }

    /// The information that was asked for, each kind once; size and flags unasked.
    fn informs(&mut self, option: u32, name: &str, kinds: &[u16], offer: &Offer) {
        let (size, flags) = (offer.geometry.size.to_be_bytes(), offer.flags(self.structured).to_be_bytes());
        let mut inform = |kind: u16, parts: [&[u8]; 3]| {
            let [a, b, c] = parts;
            self.reply(option, reply::INFO, &[&kind.to_be_bytes(), a, b, c]);
        };
        inform(info::EXPORT, [&size, &flags, &[]]);
        if kinds.contains(&info::NAME) {
            inform(info::NAME, [name.as_bytes(), &[], &[]]);
        }
        if kinds.contains(&info::DESCRIPTION) {
            inform(info::DESCRIPTION, [offer.description().as_bytes(), &[], &[]]);
        }
        if kinds.contains(&info::BLOCK_SIZE) {
            let [least, preferred, largest] = offer.sizes().map(u32::to_be_bytes);
            inform(info::BLOCK_SIZE, [&least, &preferred, &largest]);
        }
    }

    fn refuse(&mut self, option: u32, kind: u32, why: &str) {
        self.reply(option, kind, &[why.as_bytes()]);
    }

    fn reply(&mut self, option: u32, kind: u32, data: &[&[u8]]) {
        let len: usize = data.iter().map(|part| part.len()).sum();
        let len = u32::try_from(len).expect("replies are names and short texts");
        self.output.extend(OPTION_REPLY_MAGIC.to_be_bytes());
        for word in [option, kind, len] {
            self.output.extend(word.to_be_bytes());
        }
        data.iter().for_each(|part| self.output.extend_from_slice(part));
    }
}

/// The name at the front of an option's data.
fn name<'a>(reader: &mut Reader<'a>) -> Result<&'a str, &'static str> {
    let name = reader.u32().and_then(|len| reader.bytes(len as usize)).ok_or("the name is cut short")?;
    if name.len() > MAX_NAME {
        return Err("the name is longer than 4096 bytes");
    }
    std::str::from_utf8(name).map_err(|_| "the name is not UTF-8")
}

/// Name and queries of an option about metadata contexts.
fn queries(data: &[u8]) -> Result<(&str, Vec<&[u8]>), &'static str> {
    let mut reader = Reader(data);
    let name = name(&mut reader)?;
    let n = reader.u32().ok_or("the number of queries is missing")?;
    let query = || reader.u32().and_then(|len| reader.bytes(len as usize));
    let queries: Vec<&[u8]> = std::iter::from_fn(query).collect();
    if queries.len() as u64 != u64::from(n) || !reader.0.is_empty() {
        return Err("the number of queries does not agree with the length");
    }
    Ok((name, queries))
}

/// Name and kinds of information of an INFO or GO.
fn look(data: &[u8]) -> Result<(&str, Vec<u16>), &'static str> {
    let mut reader = Reader(data);
    let name = name(&mut reader)?;
    let n = reader.u16().ok_or("the number of requests is missing")?;
    let kinds: Vec<u16> = std::iter::from_fn(|| reader.u16()).collect();
    if kinds.len() != usize::from(n) || !reader.0.is_empty() {
        return Err("the number of requests does not agree with the length");
    }
    Ok((name, kinds))
}

#[cfg(test)]
mod tests;
