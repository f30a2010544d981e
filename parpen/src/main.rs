//! The parpen binary: `serve`, and the command line that talks to it. The only place that names concrete adapters.
#![forbid(unsafe_code)]

mod cli;
mod config;
mod drivers;
mod files;
mod serve;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    match cli::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("parpen: {e:#}");
            ExitCode::FAILURE
        }
    }
}
