//! `cargo xtask bench`: parpen, and its engine alone, beside the raw disk and other NBD servers, with the same jobs.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use clap::Args;

use crate::clients;
use crate::command;

/// How long and how often to measure.
#[derive(Args)]
pub struct BenchArgs {
    /// How often each job is run against each of them; the median is quoted
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of each run
    #[arg(long, default_value_t = 1)]
    seconds: u32,
    /// Only these jobs, separated by commas, and nothing about snapshots
    #[arg(long, value_name = "NAMES")]
    jobs: Option<String>,
    /// Only the OpenStack side; the rest of BENCHMARKS.md stays
    #[arg(long, conflicts_with = "jobs")]
    openstack: bool,
    /// Where all keep their data, some 20 GiB [default: target/bench]
    #[arg(long, value_name = "DIR")]
    dir: Option<String>,
}

/// Build the release binaries and let the Python driver measure. True if it wrote its table.
pub fn run(root: &Path, args: &BenchArgs) -> Result<bool> {
    ensure!(clients::install_programs()?, "programs are missing");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let server = ["build", "--release", "--locked", "-p", "parpen"];
    let driver = ["build", "--release", "--locked", "-p", "parpen-array", "--example", "drive"];
    for build in [&server[..], &driver] {
        let built = command::run(Command::new(&cargo).current_dir(root).args(build))?;
        ensure!(built, "cargo {} failed", build.join(" "));
    }
    let mut driver = Command::new(clients::interpreter(root, clients::Python::System));
    driver
        .arg(root.join("conformance/bench/bench.py"))
        .current_dir(root)
        .env("PARPEN_BIN", root.join("target/release/parpen"))
        .env("PARPEN_DRIVE", root.join("target/release/examples/drive"))
        .args(["--rounds", &args.rounds.to_string(), "--seconds", &args.seconds.to_string()])
        .args(["--dir", args.dir.as_deref().unwrap_or("target/bench"), "--out", "BENCHMARKS.md"]);
    if let Some(jobs) = &args.jobs {
        driver.args(["--jobs", jobs]);
    }
    if args.openstack {
        driver.arg("--openstack");
    }
    command::run(&mut driver)
}
