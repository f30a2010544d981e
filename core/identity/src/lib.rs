//! Principals, credentials, tokens, roles and who may do what.
#![forbid(unsafe_code)]
