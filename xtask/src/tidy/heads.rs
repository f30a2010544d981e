//! How every crate begins: a sentence about itself, the ban on unsafe code, and the lints of the workspace.

use std::path::Path;

use anyhow::{Context, Result};

use super::Finding;
use super::deps::Metadata;
use super::lexer::{Token, tokens};

/// The only crate that may hold unsafe code.
const UNSAFE_CRATE: &str = "parpen-ring";

/// All rules of this module.
pub fn check(root: &Path, metadata: &Metadata) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in metadata.members() {
        let manifest = read(&package.manifest_path)?;
        if !inherits_lints(&manifest) {
            let message = "say `[lints]` and `workspace = true`";
            findings.push(Finding::new(&relative(root, &package.manifest_path), 0, message));
        }
        for target in &package.targets {
            if target.kind.iter().any(|kind| ["lib", "bin", "custom-build"].contains(&kind.as_str())) {
                let text = read(&target.src_path)?;
                let unsafe_allowed =
                    package.name == UNSAFE_CRATE && target.kind.iter().any(|kind| kind == "lib");
                findings.extend(head(&relative(root, &target.src_path), &text, unsafe_allowed));
            }
        }
    }
    Ok(findings)
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {path}"))
}

fn relative(root: &Path, path: &str) -> String {
    Path::new(path).strip_prefix(root).unwrap_or(Path::new(path)).to_string_lossy().into_owned()
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.any(|line| line == "[lints]")
        && lines.take_while(|line| !line.starts_with('[')).any(is_workspace_true)
}

fn is_workspace_true(line: &str) -> bool {
    line.replace(' ', "") == "workspace=true"
}

fn head(path: &str, text: &str, unsafe_allowed: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !text.starts_with("//!") {
        findings.push(Finding::new(path, 1, "begin with a `//!` sentence that says what this crate is"));
    }
    let attributes = inner_attributes(text);
    let has = |wanted: &str| attributes.iter().any(|attribute| attribute == wanted);
    let documented = unsafe_allowed && has("deny(clippy::undocumented_unsafe_blocks)");
    if unsafe_allowed && !documented && !has("forbid(unsafe_code)") {
        findings.push(Finding::new(path, 1, "begin with `#![deny(clippy::undocumented_unsafe_blocks)]`"));
    } else if !unsafe_allowed && !has("forbid(unsafe_code)") {
        findings.push(Finding::new(path, 1, "begin with `#![forbid(unsafe_code)]`"));
    }
    findings
}

/// The inner attributes before the first item, without blanks.
fn inner_attributes(text: &str) -> Vec<String> {
    let code = tokens(text);
    let mut attributes = Vec::new();
    let mut rest = code.as_slice();
    while let [(_, Token::Sign('#')), (_, Token::Sign('!')), (_, Token::Sign('[')), tail @ ..] = rest {
        let end = tail.iter().position(|(_, token)| *token == Token::Sign(']')).unwrap_or(tail.len());
        attributes.push(tail[..end].iter().map(|(_, token)| spelled(token)).collect());
        rest = tail.get(end + 1..).unwrap_or_default();
    }
    attributes
}

fn spelled(token: &Token<'_>) -> String {
    match token {
        Token::Ident(word) => (*word).to_owned(),
        Token::Text(text) => format!("\"{text}\""),
        Token::Sign(sign) => sign.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lints_are_inherited_only_inside_their_section() {
        assert!(inherits_lints("[package]\nname = \"x\"\n\n[lints]\nworkspace = true # all\n"));
        assert!(!inherits_lints("[package]\nversion.workspace = true\n"));
        assert!(!inherits_lints("[lints]\n[dependencies]\nworkspace = true\n"));
    }

    #[test]
    fn a_good_head_has_no_finding() {
        assert_eq!(head("x.rs", "//! What.\n\n#![forbid(unsafe_code)]\nfn main() {}", false), []);
        assert_eq!(head("x.rs", "//! What.\n#![allow(a)]\n#![forbid(unsafe_code)]\n", false), []);
    }

    #[test]
    fn a_missing_sentence_or_ban_is_found() {
        assert_eq!(head("x.rs", "#![forbid(unsafe_code)]\n", false).len(), 1);
        assert_eq!(head("x.rs", "//! What.\nfn main() {}", false).len(), 1);
        assert_eq!(head("x.rs", "//! What.\n// #![forbid(unsafe_code)]\n", false).len(), 1);
        assert_eq!(head("x.rs", "//! What.\nmod a;\n#![forbid(unsafe_code)]\n", false).len(), 1);
    }

    #[test]
    fn the_unsafe_crate_must_document_each_block() {
        let text = "//! What.\n#![allow(unsafe_code, reason = \"x\")]\n#![deny(clippy::undocumented_unsafe_blocks)]\n";
        assert_eq!(head("x.rs", text, true), []);
        assert_eq!(head("x.rs", "//! What.\n#![forbid(unsafe_code)]\n", true), []);
        assert_eq!(head("x.rs", "//! What.\n#![allow(unsafe_code)]\n", true).len(), 1);
    }
}
