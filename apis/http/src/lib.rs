//! Listener, request line, auth hook and the traits of an API.
#![forbid(unsafe_code)]
