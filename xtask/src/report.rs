//! Headings, times, room on the disk and the closing sum of a run of several stages.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::command;
use crate::summary::Counts;

/// How one stage ended.
pub enum Outcome {
    /// A check without tests: good or not.
    Checked(bool),
    /// A runner that counted its tests.
    Counted(Counts),
}

/// Collects the stages of one run.
#[derive(Default)]
pub struct Report {
    sum: Counts,
    failed_stages: Vec<String>,
}

impl Report {
    /// Print the heading, do the work, print the time. A stage that cannot even be run has failed.
    /// True if the stage was good.
    pub fn stage(&mut self, name: &str, work: impl FnOnce() -> Result<Outcome>) -> bool {
        println!("\n== {name}");
        let start = now();
        let counts = match work() {
            Ok(Outcome::Checked(true)) => Counts::default(),
            Ok(Outcome::Checked(false)) => Counts::FAILED_CHECK,
            Ok(Outcome::Counted(counts)) => counts,
            Err(err) => {
                println!("{err:#}");
                Counts::FAILED_CHECK
            }
        };
        let good = counts.failed == 0;
        let word = if good { "ok" } else { "FAILED" };
        println!("== {name}: {word} in {:.1} s{}", start.elapsed().as_secs_f64(), room());
        if !good {
            self.failed_stages.push(name.to_owned());
        }
        self.sum += counts;
        good
    }

    /// Print the closing line. True if tests ran and nothing failed.
    pub fn close(self) -> bool {
        println!();
        if !self.failed_stages.is_empty() {
            println!("failed: {}", self.failed_stages.join(", "));
        }
        if self.sum.ran() == 0 {
            println!("no test ran");
        }
        println!("{}", self.sum);
        self.sum.failed == 0 && self.sum.passed > 0
    }
}

/// What is still free where builds and tests write: a full disk looks like many other failures.
fn room() -> String {
    const GIB: f64 = (1u64 << 30) as f64;
    let free = free_bytes(Path::new(".")).and_then(|here| Ok(here.min(free_bytes(&std::env::temp_dir())?)));
    match free {
        Ok(bytes) => format!(", {:.1} GiB of disk free", bytes / GIB),
        Err(err) => format!(", free disk unknown: {err:#}"),
    }
}

/// Bytes that may still be written to the file system of a path.
fn free_bytes(path: &Path) -> Result<f64> {
    let printed = command::read(Command::new("df").args(["--output=avail", "--block-size=1"]).arg(path))?;
    let printed = String::from_utf8_lossy(&printed);
    let number = printed.lines().nth(1).context("df prints a heading and a number")?;
    Ok(number.trim().parse()?)
}

#[allow(clippy::disallowed_methods, reason = "a stopwatch for people; nothing here is simulated")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_tests_is_a_failure() {
        let mut report = Report::default();
        assert!(report.stage("only a check", || Ok(Outcome::Checked(true))));
        assert!(!report.close());
    }

    #[test]
    fn a_failed_check_fails_the_run_although_all_tests_passed() {
        let mut report = Report::default();
        assert!(report.stage("tests", || Ok(Outcome::Counted(Counts { passed: 5, failed: 0, skipped: 0 }))));
        assert!(!report.stage("check", || Ok(Outcome::Checked(false))));
        assert!(!report.close());
    }

    #[test]
    fn a_stage_that_cannot_run_fails_the_run() {
        let mut report = Report::default();
        report.stage("tests", || Ok(Outcome::Counted(Counts { passed: 5, failed: 0, skipped: 0 })));
        assert!(!report.stage("broken", || anyhow::bail!("no such program")));
        assert!(!report.close());
    }

    #[test]
    fn passed_tests_alone_are_a_success() {
        let mut report = Report::default();
        report.stage("tests", || Ok(Outcome::Counted(Counts { passed: 1, failed: 0, skipped: 4 })));
        assert!(report.close());
    }
}
