//! Typed ids, nouns, lifecycle tables, conditions and ports: no I/O, no HTTP, no SQL.
#![forbid(unsafe_code)]
