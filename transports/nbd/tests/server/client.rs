//! A raw client: says exactly the bytes that it is told to say.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::house::House;

pub struct Client(pub UnixStream);

/// Kinds of request and flags.
pub const READ: u16 = 0;
pub const WRITE: u16 = 1;
pub const DISCONNECT: u16 = 2;
pub const FLUSH: u16 = 3;
pub const TRIM: u16 = 4;
pub const CACHE: u16 = 5;
pub const ZERO: u16 = 6;
pub const STATUS: u16 = 7;
pub const FUA: u16 = 1;

impl Client {
    /// Greets; options may follow.
    pub fn greet(house: &House) -> Client {
        let stream = UnixStream::connect(&house.unix).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut client = Client(stream);
        assert_eq!(client.bytes(18), b"NBDMAGICIHAVEOPT\0\x03");
        client.say(&[0, 0, 0, 3]);
        client
    }

    /// Opens an export with GO.
    pub fn open(house: &House, export: &str) -> Client {
        let mut client = Client::greet(house);
        let data = [&(export.len() as u32).to_be_bytes(), export.as_bytes(), &[0, 0]].concat();
        client.option(7, &data);
        assert_eq!(client.option_reply().1, 3);
        assert_eq!(client.option_reply().1, 1);
        client
    }

    /// Opens an export with GO after asking for structured replies and the map.
    pub fn open_structured(house: &House, export: &str) -> Client {
        let mut client = Client::greet(house);
        client.option(8, b"");
        assert_eq!(client.option_reply().1, 1);
        let name = [&(export.len() as u32).to_be_bytes(), export.as_bytes()].concat();
        client.option(10, &[&name[..], b"\0\0\0\x01\0\0\0\x0fbase:allocation"].concat());
        assert_eq!(client.option_reply().2, b"\0\0\0\x01base:allocation");
        assert_eq!(client.option_reply().1, 1);
        client.option(7, &[&name[..], &[0, 0]].concat());
        assert_eq!(client.option_reply().1, 3);
        assert_eq!(client.option_reply().1, 1);
        client
    }

    /// The chunks of one structured reply: kind and what they carry.
    pub fn chunks(&mut self, cookie: u64) -> Vec<(u16, Vec<u8>)> {
        let mut all = Vec::new();
        loop {
            let head = self.bytes(20);
            assert_eq!(head[..4], 0x668e_33efu32.to_be_bytes());
            assert_eq!(head[8..16], cookie.to_be_bytes());
            let len = u32::from_be_bytes(head[16..].try_into().unwrap());
            all.push((u16::from_be_bytes([head[6], head[7]]), self.bytes(len as usize)));
            if head[5] == 1 {
                return all;
            }
        }
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Whether the server has hung up.
    pub fn is_hung_up(&mut self) -> bool {
        let mut rest = Vec::new();
        // a reset is a way of hanging up, too
        match self.0.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    pub fn option(&mut self, kind: u32, data: &[u8]) {
        let len = (data.len() as u32).to_be_bytes();
        self.say(&[&b"IHAVEOPT"[..], &kind.to_be_bytes(), &len, data].concat());
    }

    /// Option, kind and data of a reply.
    pub fn option_reply(&mut self) -> (u32, u32, Vec<u8>) {
        let head = self.bytes(20);
        let word = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
        (word(8), word(12), self.bytes(word(16) as usize))
    }

    pub fn request(&mut self, flags: u16, kind: u16, cookie: u64, offset: u64, len: u32) {
        self.say(&request(flags, kind, cookie, offset, len));
    }

    /// Error number and cookie of a reply.
    pub fn reply(&mut self) -> (u32, u64) {
        let head = self.bytes(16);
        assert_eq!(head[..4], 0x6744_6698u32.to_be_bytes());
        let errno = u32::from_be_bytes(head[4..8].try_into().unwrap());
        (errno, u64::from_be_bytes(head[8..].try_into().unwrap()))
    }

    /// A request without payload, and the error number of its reply.
    pub fn ask(&mut self, flags: u16, kind: u16, offset: u64, len: u32) -> u32 {
        self.request(flags, kind, 7, offset, len);
        let (errno, cookie) = self.reply();
        assert_eq!(cookie, 7);
        errno
    }

    pub fn read(&mut self, offset: u64, len: u32) -> Vec<u8> {
        assert_eq!(self.ask(0, READ, offset, len), 0);
        self.bytes(len as usize)
    }

    /// The error number.
    pub fn write(&mut self, flags: u16, offset: u64, bytes: &[u8]) -> u32 {
        self.request(flags, WRITE, 9, offset, bytes.len() as u32);
        self.say(bytes);
        self.reply().0
    }
}

pub fn request(flags: u16, kind: u16, cookie: u64, offset: u64, len: u32) -> Vec<u8> {
    let (magic, flags, kind) = (0x2560_9513u32.to_be_bytes(), flags.to_be_bytes(), kind.to_be_bytes());
    [&magic[..], &flags, &kind, &cookie.to_be_bytes(), &offset.to_be_bytes(), &len.to_be_bytes()].concat()
}
