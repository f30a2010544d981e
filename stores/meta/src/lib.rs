//! Rows and conditional updates behind one port; SQLite.
#![forbid(unsafe_code)]
