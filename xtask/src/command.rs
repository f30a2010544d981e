//! Running other programs so that people see their output while we read it too.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Which stream of a program is read as well as shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Standard output.
    Stdout,
    /// Standard error; where nextest writes.
    Stderr,
}

/// What a finished program left behind.
#[derive(Debug)]
pub struct Output {
    /// It ended with exit code 0.
    pub success: bool,
    /// The watched stream, line by line.
    pub lines: Vec<String>,
}

/// Run a program to its end; its output goes to ours. True if it ended with exit code 0.
pub fn run(command: &mut Command) -> Result<bool> {
    let status = command.status().with_context(|| format!("cannot start {}", describe(command)))?;
    Ok(status.success())
}

/// Run a program to its end, showing its output and keeping the lines of one stream.
pub fn run_watched(command: &mut Command, watch: Watch) -> Result<Output> {
    match watch {
        Watch::Stdout => command.stdout(Stdio::piped()),
        Watch::Stderr => command.stderr(Stdio::piped()),
    };
    let mut child = command.spawn().with_context(|| format!("cannot start {}", describe(command)))?;
    let lines = match watch {
        Watch::Stdout => pass_on(child.stdout.take(), std::io::stdout())?,
        Watch::Stderr => pass_on(child.stderr.take(), std::io::stderr())?,
    };
    Ok(Output { success: child.wait()?.success(), lines })
}

fn pass_on(from: Option<impl std::io::Read>, mut to: impl Write) -> Result<Vec<String>> {
    let mut reader = BufReader::new(from.context("the watched stream is a pipe")?);
    let mut lines = Vec::new();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
    Ok(lines)
}

/// The standard output of a program that must succeed.
pub fn read(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {}", describe(command)))?;
    anyhow::ensure!(output.status.success(), "{} ended with {}", describe(command), output.status);
    Ok(output.stdout)
}

/// Whether a program of this name lies on the search path.
pub fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(program).is_file())
}

fn describe(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}
