//! Rules of the house that neither the compiler nor clippy knows. Each rule is a pure function with its own tests.

use std::path::Path;

use anyhow::Result;

mod deps;
mod heads;
mod lexer;
mod source;
mod tree;
mod words;

/// One broken rule, at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the workspace root.
    pub path: String,
    /// Counted from 1; 0 if the finding is about the whole file.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), line, message: message.into() }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.path, self.message)
        } else {
            write!(f, "{}:{}: {}", self.path, self.line, self.message)
        }
    }
}

/// Check the whole tree.
pub fn check(root: &Path) -> Result<Vec<Finding>> {
    let metadata = deps::metadata(root)?;
    let mut findings = deps::check(&metadata);
    findings.extend(heads::check(root, &metadata)?);
    for file in tree::files(root)? {
        findings.extend(source::check(&file));
        findings.extend(words::check(&file));
    }
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    Ok(findings)
}
