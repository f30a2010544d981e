//! `cargo xtask test`: the stages, in order, and the closing line.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::clients::{self, SUITES, Suite};
use crate::command::{self, Watch};
use crate::report::{Outcome, Report};
use crate::summary::{self, Counts};
use crate::tidy;

/// What to run, and for how long.
#[derive(Args)]
pub struct TestArgs {
    /// The inner loop: no real clients, short simulation
    #[arg(long)]
    quick: bool,
    /// Also check bans, licences and sources of dependencies, and fuzz for real, where the tools exist
    #[arg(long, conflicts_with = "quick")]
    full: bool,
    /// How long the simulation may search with each of its profiles [default: 20, quick: 2]
    #[arg(long, value_name = "N")]
    sim_seconds: Option<u64>,
    /// How many cases each property test tries [default: 256, quick: 32]
    #[arg(long, value_name = "N")]
    proptest_cases: Option<u32>,
    /// How often the crash test kills the server
    #[arg(long, value_name = "N", default_value_t = 20)]
    crash_rounds: u32,
    /// Run only the client suites whose name contains this text, and no other stage
    #[arg(long, value_name = "TEXT", conflicts_with = "quick")]
    clients: Option<String>,
}

/// Seconds of fuzzing per target under `--full`.
const FUZZ_SECONDS: u32 = 60;

/// Run all stages that were asked for. True if tests ran and none failed.
pub fn run(root: &Path, args: &TestArgs) -> Result<bool> {
    let mut report = Report::default();
    if args.clients.is_none() {
        report.stage("format", || cargo_check(root, &["fmt", "--all", "--check"]));
        let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        report.stage("clippy", || cargo_check(root, &clippy));
        report.stage("tidy", || check_tidy(root));
        report.stage("rust tests", || rust_tests(root, args));
    }
    if !args.quick {
        client_stages(root, args, &mut report);
    }
    if args.full {
        report.stage("dependencies", || dependencies(root));
        report.stage("fuzzing", || fuzzing(root));
    }
    Ok(report.close())
}

fn client_stages(root: &Path, args: &TestArgs, report: &mut Report) {
    let wanted = |suite: &&Suite| args.clients.as_ref().is_none_or(|text| suite.name.contains(text.as_str()));
    let built = report
        .stage("release binary", || cargo_check(root, &["build", "--release", "--locked", "-p", "parpen"]));
    let programs = report.stage("debian packages", || Ok(Outcome::Checked(clients::install_programs()?)));
    let sets = report.stage("python clients", || {
        for set in clients::sets() {
            clients::install_set(root, set)?;
        }
        Ok(Outcome::Checked(true))
    });
    if !(built && programs && sets) {
        println!("\nthe client suites did not run");
        return;
    }
    for suite in SUITES.iter().filter(wanted) {
        report.stage(&format!("clients: {}", suite.name), || client_suite(root, args, suite));
    }
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

fn cargo_check(root: &Path, args: &[&str]) -> Result<Outcome> {
    Ok(Outcome::Checked(command::run(cargo(root).args(args))?))
}

fn check_tidy(root: &Path) -> Result<Outcome> {
    let findings = tidy::check(root)?;
    findings.iter().for_each(|finding| println!("{finding}"));
    Ok(Outcome::Checked(findings.is_empty()))
}

fn rust_tests(root: &Path, args: &TestArgs) -> Result<Outcome> {
    let sim_seconds = args.sim_seconds.unwrap_or(if args.quick { 2 } else { 20 });
    let cases = args.proptest_cases.unwrap_or(if args.quick { 32 } else { 256 });
    let cuts = if args.quick {
        5
    } else if args.full {
        500
    } else {
        20
    };
    println!("simulation {sim_seconds} s per profile, property tests {cases} cases, {cuts} power cuts");
    let mut command = cargo(root);
    command.env("PARPEN_SIM_SECONDS", sim_seconds.to_string()).env("PROPTEST_CASES", cases.to_string());
    command.env("PARPEN_POWER_CUTS", cuts.to_string());
    let watch = if command::exists("cargo-nextest") {
        command.args(["nextest", "run", "--workspace", "--all-targets", "--locked", "--no-fail-fast"]);
        command.args(["--status-level", "slow"]);
        Watch::Stderr
    } else {
        println!("nextest is not installed; using cargo test");
        command.args(["test", "--workspace", "--all-targets", "--locked", "--no-fail-fast"]);
        Watch::Stdout
    };
    counted(command::run_watched(&mut command, watch)?)
}

fn client_suite(root: &Path, args: &TestArgs, suite: &Suite) -> Result<Outcome> {
    let mut command = Command::new(clients::interpreter(root, suite.python));
    command
        .arg(root.join("conformance").join(suite.file))
        .current_dir(root)
        .env("PARPEN_BIN", root.join("target/release/parpen"))
        .env("PARPEN_VENVS", root.join("target/venv"))
        .env("PARPEN_CRASH_ROUNDS", args.crash_rounds.to_string())
        // These two would make `requests` pin the wrong certificate.
        .env_remove("REQUESTS_CA_BUNDLE")
        .env_remove("CURL_CA_BUNDLE")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    counted(command::run_watched(&mut command, Watch::Stdout)?)
}

/// What a runner counted; one that fails without a failed test, or counts nothing, has failed as a whole.
fn counted(output: command::Output) -> Result<Outcome> {
    let Some(mut counts) = summary::counts(&output.lines) else {
        println!("the runner ended without a summary");
        return Ok(Outcome::Counted(Counts::FAILED_CHECK));
    };
    if counts.ran() == 0 || (counts.failed == 0 && !output.success) {
        println!("the runner {}", if output.success { "ran no test" } else { "ended with an error" });
        counts += Counts::FAILED_CHECK;
    }
    Ok(Outcome::Counted(counts))
}

fn dependencies(root: &Path) -> Result<Outcome> {
    if !command::exists("cargo-deny") {
        println!("cargo-deny is not installed: bans, licences and sources were not checked");
        return Ok(Outcome::Checked(true));
    }
    cargo_check(root, &["deny", "check", "bans", "licenses", "sources"])
}

fn fuzzing(root: &Path) -> Result<Outcome> {
    let targets = fuzz_targets(root)?;
    if !command::exists("cargo-fuzz") || targets.is_empty() {
        let why =
            if targets.is_empty() { "there are no fuzz targets" } else { "cargo-fuzz is not installed" };
        println!("{why}: only the corpora were replayed, by the tests");
        return Ok(Outcome::Checked(true));
    }
    let seconds = format!("-max_total_time={FUZZ_SECONDS}");
    for target in targets {
        let good = command::run(cargo(root).args(["+nightly", "fuzz", "run", &target, "--", &seconds]))?;
        if !good {
            return Ok(Outcome::Checked(false));
        }
    }
    Ok(Outcome::Checked(true))
}

fn fuzz_targets(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path: PathBuf = entry?.path();
        if path.extension().is_some_and(|ext| ext == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(success: bool, lines: &[&str]) -> Counts {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        match counted(command::Output { success, lines }).expect("counting cannot fail") {
            Outcome::Counted(counts) => counts,
            Outcome::Checked(_) => panic!("a runner is counted"),
        }
    }

    #[test]
    fn a_good_run_is_taken_as_it_is() {
        assert_eq!(outcome(true, &["3 passed, 0 failed"]), Counts { passed: 3, failed: 0, skipped: 0 });
    }

    #[test]
    fn a_runner_that_dies_is_a_failure_even_if_its_tests_passed() {
        assert_eq!(outcome(false, &["3 passed, 0 failed"]).failed, 1);
        assert_eq!(outcome(false, &["3 passed, 2 failed"]).failed, 2);
    }

    #[test]
    fn a_silent_or_empty_run_is_a_failure() {
        assert_eq!(outcome(true, &[]).failed, 1);
        assert_eq!(outcome(true, &["0 passed, 0 failed, 4 skipped"]).failed, 1);
    }
}
