//! The storpool API: router, wire structs, from_wire, to_wire, errors.
#![forbid(unsafe_code)]
