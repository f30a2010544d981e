//! House chores: `cargo xtask test`, `cargo xtask tidy`, `cargo xtask bench`.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

mod bench;
mod clients;
mod command;
mod report;
mod suite;
mod summary;
mod tidy;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "House chores of parpen")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run everything: formatting, lints, tidy, all Rust tests, then the real clients against the release binary
    Test(suite::TestArgs),
    /// Check the rules of the house that the compiler does not know
    Tidy,
    /// Run the same jobs against parpen, the raw disk and other NBD servers and write BENCHMARKS.md
    Bench(bench::BenchArgs),
}

fn main() -> ExitCode {
    match run(Cli::parse().chore) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            eprintln!("error: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> Result<bool> {
    let root = workspace_root()?;
    match chore {
        Chore::Test(args) => suite::run(&root, &args),
        Chore::Tidy => {
            let findings = tidy::check(&root)?;
            findings.iter().for_each(|finding| println!("{finding}"));
            println!("tidy: {} findings", findings.len());
            Ok(findings.is_empty())
        }
        Chore::Bench(args) => bench::run(&root, &args),
    }
}

/// The folder above this crate, wherever the command was typed.
fn workspace_root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().context("xtask lies below the workspace root")?;
    Ok(root.to_path_buf())
}
