//! The source files that the rules look at: what git tracks or would track.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

/// A text file of the project.
pub struct SourceFile {
    /// Relative to the workspace root, with forward slashes.
    pub path: String,
    /// Its whole text.
    pub text: String,
}

impl SourceFile {
    /// Whether the file is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// Extensions of the files whose text we write by hand.
const EXTENSIONS: [&str; 7] = ["rs", "py", "sh", "sql", "toml", "md", "txt"];

/// All hand-written text files, tracked or new, but not ignored ones.
pub fn files(root: &Path) -> Result<Vec<SourceFile>> {
    let list = command::read(Command::new("git").current_dir(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut files = Vec::new();
    for path in String::from_utf8(list).context("paths are UTF-8")?.split_terminator('\0') {
        let known = path.rsplit_once('.').is_some_and(|(_, ext)| EXTENSIONS.contains(&ext));
        let full = root.join(path);
        // A file that was deleted but not yet committed is still listed.
        if known && full.is_file() {
            let text = std::fs::read_to_string(&full).with_context(|| format!("reading {path}"))?;
            files.push(SourceFile { path: path.to_owned(), text });
        }
    }
    Ok(files)
}
