//! Use cases, jobs, reconcilers and exports.
#![forbid(unsafe_code)]
