//! What fuzz targets call. Plain functions over the machines without I/O; every input must end without a panic.

use parpen_block::{Capabilities, Geometry, Refusal};

use crate::handshake::{Dialect, Handshake, Offer, Want};
use crate::request::{REQUEST_LEN, Request, Verdict};

const OFFER: Offer = Offer {
    geometry: Geometry { size: 1 << 30, block: 4096, preferred: 1 << 16, maximum: 32 << 20 },
    capabilities: Capabilities {
        read_only: false,
        fua: true,
        zero: true,
        discard: true,
        extents: true,
        prefetch: false,
        multi_conn: true,
    },
};

/// A client's side of a handshake, in pieces whose lengths the input chooses; then its requests.
pub fn handshake(input: &[u8]) {
    let mut machine = Handshake::new();
    let mut input = input;
    loop {
        match machine.next() {
            Want::Bytes => {
                let Some((n, rest)) = input.split_first() else { return };
                let (piece, rest) = rest.split_at(rest.len().min(usize::from(*n) + 1));
                machine.feed(piece);
                input = rest;
            }
            Want::Admission(name) => {
                let decision = match name.len() % 4 {
                    0 => Ok(OFFER),
                    1 => Err(Refusal::Unknown),
                    2 => Err(Refusal::Forbidden(name)),
                    _ => Err(Refusal::Unavailable(name)),
                };
                machine.answer(&decision);
            }
            Want::Names => machine.list(&["one".into(), "x".repeat(5000)]),
            Want::Transmission => {
                let dialect = machine.dialect();
                return stream(&machine.rest(), dialect);
            }
            Want::End(_) => return,
        }
        assert!(machine.held() <= 16 + 8192 + 256, "memory is bounded");
        machine.output.clear();
    }
}

/// A client's stream of requests.
pub fn requests(input: &[u8]) {
    stream(input, Dialect { structured: true, allocation: true });
}

fn stream(input: &[u8], dialect: Dialect) {
    let mut input = input;
    while let Ok(Some(request)) = Request::parse(input) {
        if let Verdict::Do { .. } = request.judge(&OFFER, dialect) {
            assert!(request.payload() <= OFFER.geometry.maximum, "what is received is bounded");
        }
        let Some(rest) = input.get(REQUEST_LEN + request.payload() as usize..) else { return };
        input = rest;
    }
}
