//! The parpen binary: `serve`, and the command line that talks to it. The only place that names concrete adapters.
#![forbid(unsafe_code)]

mod cli;
mod config;
mod drivers;
mod files;
mod serve;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser;

/// The C library's keeps what threads freed: with a thousand volumes listed, twice the memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    match cli::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough.
        Err(e) if e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("parpen: {e:#}");
            ExitCode::FAILURE
        }
    }
}
