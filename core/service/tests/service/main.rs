//! The use cases over a real database in memory, the real gate and a store that can be told to fail.

mod access;
mod crash;
mod house;
mod names;
mod volumes;
