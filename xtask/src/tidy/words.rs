//! Words of one foreign API may be spelled only in that API's own crate.

use super::Finding;
use super::lexer::{Token, tokens};
use super::tree::SourceFile;

/// How a foreign word is recognised.
enum Form {
    /// An identifier, or a whole word inside a string.
    Word,
    /// A string that is exactly this word; as an identifier it means something else in Rust.
    WholeString,
    /// The start of a word inside a string.
    Prefix,
}

/// One foreign word and the crate that may say it.
struct Foreign {
    word: &'static str,
    form: Form,
    home: &'static str,
}

const fn foreign(word: &'static str, form: Form, home: &'static str) -> Foreign {
    Foreign { word, form, home }
}

const OPENSTACK: &str = "apis/openstack/";
const STORPOOL: &str = "apis/storpool/";
const LXD: &str = "apis/lxd/";
const CERN: &str = "apis/cern/";
const RAPYUTA: &str = "apis/rapyuta/";

const WORDS: &[Foreign] = &[
    foreign("in-use", Form::Word, OPENSTACK),
    foreign("os-vol-", Form::Prefix, OPENSTACK),
    foreign("os-extended-", Form::Prefix, OPENSTACK),
    foreign("error_deleting", Form::Word, OPENSTACK),
    foreign("itemNotFound", Form::Word, OPENSTACK),
    foreign("badRequest", Form::Word, OPENSTACK),
    foreign("volume_uuid", Form::WholeString, OPENSTACK),
    foreign("X-Subject-Token", Form::WholeString, OPENSTACK),
    foreign("placeAll", Form::Word, STORPOOL),
    foreign("placeTail", Form::Word, STORPOOL),
    foreign("placeHead", Form::Word, STORPOOL),
    foreign("sizeAdd", Form::Word, STORPOOL),
    foreign("baseOn", Form::Word, STORPOOL),
    foreign("VolumeName", Form::Word, STORPOOL),
    foreign("objectDoesNotExist", Form::Word, STORPOOL),
    foreign("objectExists", Form::Word, STORPOOL),
    foreign("insufficientResources", Form::Word, STORPOOL),
    foreign("storage-pools", Form::Word, LXD),
    foreign("storage_api_", Form::Prefix, LXD),
    foreign("content_type_block", Form::Word, LXD),
    foreign("snapshots.pattern", Form::WholeString, LXD),
    foreign("size_total", Form::Word, CERN),
    foreign("filer_address", Form::Word, CERN),
    foreign("junction_path", Form::Word, CERN),
    foreign("UBER_ADMIN", Form::Prefix, CERN),
    foreign("Bound", Form::WholeString, RAPYUTA),
    foreign("Released", Form::WholeString, RAPYUTA),
    foreign("internalDeploymentGUID", Form::Word, RAPYUTA),
    foreign("deployment_guid", Form::Word, RAPYUTA),
    foreign("serviceinstance", Form::Word, RAPYUTA),
    foreign("io-public-persistent-volume", Form::Word, RAPYUTA),
];

/// The first segments of a path select an API's error document; that table is the listener's.
const SHARED: &[(&str, &str)] = &[("apis/http/", "storage-pools"), ("apis/http/", "serviceinstance")];

/// Find foreign words in the code of other crates. Comments, documents and the client tests may say them.
pub fn check(file: &SourceFile) -> Vec<Finding> {
    // The table above has to spell them, and `env` prints what clients want to hear.
    if !file.is_rust() || file.path.starts_with("xtask/") || file.path.starts_with("parpen/src/env") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, token) in tokens(&file.text) {
        for entry in WORDS {
            let shared = SHARED.iter().any(|(home, word)| file.path.starts_with(home) && *word == entry.word);
            if !shared && !file.path.starts_with(entry.home) && says(&token, entry) {
                let message =
                    format!("foreign word `{}` outside {}", entry.word, entry.home.trim_end_matches('/'));
                findings.push(Finding::new(&file.path, line, message));
            }
        }
    }
    findings
}

fn says(token: &Token<'_>, entry: &Foreign) -> bool {
    match (token, &entry.form) {
        (Token::Ident(ident), Form::Word) => *ident == entry.word,
        (Token::Ident(ident), Form::Prefix) => ident.starts_with(entry.word),
        (Token::Text(text), Form::WholeString) => *text == entry.word,
        (Token::Text(text), Form::Word) => starts_of(text, entry.word).any(|end| !continues(&text[end..])),
        (Token::Text(text), Form::Prefix) => starts_of(text, entry.word).next().is_some(),
        (Token::Ident(_), Form::WholeString) | (Token::Sign(_), _) => false,
    }
}

/// Where `word` ends in `text`, for each place where it begins a word.
fn starts_of<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let begins = |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '-');
    text.match_indices(word).filter(move |(at, _)| begins(*at)).map(|(at, word)| at + word.len())
}

fn continues(rest: &str) -> bool {
    rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&SourceFile { path: path.to_owned(), text: text.to_owned() }).len()
    }

    #[test]
    fn a_foreign_word_is_found_outside_its_home_only() {
        let text = "fn f() -> &'static str { \"in-use\" }";
        assert_eq!(found("core/service/src/x.rs", text), 1);
        assert_eq!(found("apis/storpool/src/x.rs", text), 1);
        assert_eq!(found("apis/openstack/src/x.rs", text), 0);
    }

    #[test]
    fn identifiers_and_words_inside_strings_count() {
        assert_eq!(found("core/model/src/x.rs", "struct VolumeName;"), 1);
        assert_eq!(found("core/model/src/x.rs", "const X: &str = \"the placeTail of it\";"), 1);
        assert_eq!(found("core/model/src/x.rs", "const X: &str = \"os-vol-host-attr:host\";"), 1);
    }

    #[test]
    fn comments_and_longer_words_do_not_count() {
        assert_eq!(found("core/model/src/x.rs", "// in-use\n/* placeTail */ struct VolumeNames;"), 0);
        assert_eq!(found("core/model/src/x.rs", "const X: &str = \"begin-user\";"), 0);
        assert_eq!(found("core/model/src/x.rs", "const X: &str = \"in-use-by-others\";"), 0);
    }

    #[test]
    fn a_word_that_rust_uses_counts_only_as_a_string() {
        assert_eq!(found("core/base/src/range.rs", "use std::ops::Bound;"), 0);
        assert_eq!(found("core/base/src/range.rs", "const X: &str = \"Bound\";"), 1);
    }

    #[test]
    fn the_listener_may_know_first_segments() {
        assert_eq!(found("apis/http/src/x.rs", "const X: &str = \"/serviceinstance/\";"), 0);
        assert_eq!(found("apis/http/src/x.rs", "const X: &str = \"placeAll\";"), 1);
    }
}
