//! Reads how many tests passed out of the closing lines of the runners we use.

use std::ops::AddAssign;

/// Tests that ran, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Did what they promise.
    pub passed: u64,
    /// Did not.
    pub failed: u64,
    /// Were left out, for a reason that the runner printed.
    pub skipped: u64,
}

impl Counts {
    /// One failed check that is no test.
    pub const FAILED_CHECK: Counts = Counts { passed: 0, failed: 1, skipped: 0 };

    /// How many tests really ran.
    pub fn ran(self) -> u64 {
        self.passed + self.failed
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// The sum over all summary lines of nextest, of `cargo test` or of our own client runner; `None` if there is none.
pub fn counts(lines: &[String]) -> Option<Counts> {
    let mut sum = None;
    for line in lines {
        let line = without_colour(line);
        if let Some(found) = counts_of_line(&line) {
            *sum.get_or_insert_with(Counts::default) += found;
        }
    }
    sum
}

fn counts_of_line(line: &str) -> Option<Counts> {
    let trimmed = line.trim();
    let list = if let Some(rest) = trimmed.strip_prefix("Summary [") {
        rest.split_once("tests run:").or_else(|| rest.split_once("test run:"))?.1
    } else if let Some(rest) = trimmed.strip_prefix("test result: ") {
        rest.split_once(". ")?.1
    } else {
        let (number, rest) = trimmed.split_once(' ')?;
        number.parse::<u64>().ok().filter(|_| rest.starts_with("passed, "))?;
        trimmed
    };
    let mut counts = Counts::default();
    for item in list.split([',', ';']) {
        let mut words = item.split_whitespace();
        let (Some(number), Some(word)) = (words.next(), words.next()) else { continue };
        let Ok(number) = number.parse::<u64>() else { continue };
        match word {
            "passed" => counts.passed += number,
            "failed" | "timed" => counts.failed += number,
            "skipped" | "ignored" => counts.skipped += number,
            _ => {}
        }
    }
    Some(counts)
}

/// The line without terminal colour sequences.
fn without_colour(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            chars.by_ref().find(|end| end.is_ascii_alphabetic());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Counts> {
        counts(&text.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    fn counted(passed: u64, failed: u64, skipped: u64) -> Option<Counts> {
        Some(Counts { passed, failed, skipped })
    }

    #[test]
    fn nextest_lines_are_read() {
        let text = "    Summary [   0.012s] 12 tests run: 12 passed (1 slow), 3 skipped";
        assert_eq!(of(text), counted(12, 0, 3));
        let text = "\u{1b}[31m     Summary\u{1b}[0m [   1.5s] 9 tests run: 6 passed, 2 failed, 1 timed out, 0 skipped";
        assert_eq!(of(text), counted(6, 3, 0));
        assert_eq!(of("Summary [ 0.1s] 1 test run: 1 passed, 0 skipped"), counted(1, 0, 0));
    }

    #[test]
    fn lines_of_cargo_test_are_summed() {
        let text = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s\n\
                    noise\n\
                    test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(of(text), counted(6, 2, 1));
    }

    #[test]
    fn our_own_closing_line_is_read() {
        assert_eq!(of("7 passed, 1 failed"), counted(7, 1, 0));
        assert_eq!(of("7 passed, 0 failed, 2 skipped"), counted(7, 0, 2));
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(of("running 5 tests\nall passed, it seems\n"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn the_closing_line_names_skipped_tests_only_if_there_are_any() {
        assert_eq!(Counts { passed: 3, failed: 0, skipped: 0 }.to_string(), "3 passed, 0 failed");
        assert_eq!(Counts { passed: 3, failed: 1, skipped: 2 }.to_string(), "3 passed, 1 failed, 2 skipped");
    }
}
