//! Rules about single files: length, leftover marks, banned calls, reasons of exceptions.

use super::Finding;
use super::lexer::{Token, tokens};
use super::tree::SourceFile;

/// The hard cap on the lines of a hand-written source file, tests included.
const MAX_LINES: usize = 800;

/// Marks of unfinished work. Written in two halves so that this file does not carry them.
const MARKS: [&str; 5] = [
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("X", "XX"),
    concat!("HA", "CK"),
    concat!("NOCOM", "MIT"),
];

/// A path that may not be named outside its homes, and what to use in its place.
struct Banned {
    path: &'static [&'static str],
    homes: &'static [&'static str],
    instead: &'static str,
}

/// What clippy.toml cannot say: macros, whole modules, and exceptions by folder.
const BANNED: &[Banned] = &[
    Banned {
        path: &["thread", "Builder"],
        homes: &["core/ring/", "stores/meta/", "parpen/", "xtask/"],
        instead: "threads belong to core/ring, stores/meta and the binary",
    },
    Banned {
        path: &["process", "exit"],
        homes: &["parpen/src/main.rs"],
        instead: "return an error; exit skips every destructor",
    },
    Banned { path: &["process", "abort"], homes: &[], instead: "panic with the broken invariant" },
    Banned {
        path: &["env", "set_var"],
        homes: &[],
        instead: "pass the value as an argument; the environment is shared by all threads",
    },
    Banned {
        path: &["env", "var"],
        homes: &["parpen/", "xtask/", "sim/"],
        instead: "the binary reads the environment and hands values down",
    },
    Banned { path: &["mem", "forget"], homes: &["core/ring/", "sim/"], instead: "give the value an owner" },
    Banned { path: &["Box", "leak"], homes: &[], instead: "give the value an owner" },
    Banned { path: &["println", "!"], homes: PRINTERS, instead: "libraries speak through tracing" },
    Banned { path: &["print", "!"], homes: PRINTERS, instead: "libraries speak through tracing" },
    Banned { path: &["eprintln", "!"], homes: PRINTERS, instead: "libraries speak through tracing" },
    Banned { path: &["eprint", "!"], homes: PRINTERS, instead: "libraries speak through tracing" },
];

/// Where text for people may be printed.
const PRINTERS: &[&str] = &["parpen/", "xtask/", "sim/", "fuzz/"];

/// All rules of this module.
pub fn check(file: &SourceFile) -> Vec<Finding> {
    let mut findings = length(file);
    findings.extend(marks(file));
    if file.is_rust() {
        findings.extend(banned_calls(file));
        findings.extend(allows_without_reason(file));
    }
    findings
}

fn length(file: &SourceFile) -> Vec<Finding> {
    let counted = [".rs", ".py", ".sh", ".sql"].iter().any(|ext| file.path.ends_with(ext));
    let lines = file.text.lines().count();
    if counted && lines > MAX_LINES {
        let message = format!("{lines} lines; the cap is {MAX_LINES}: split it by subject");
        return vec![Finding::new(&file.path, 0, message)];
    }
    Vec::new()
}

fn marks(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(mark) = words.find(|word| MARKS.contains(word)) {
            findings.push(Finding::new(
                &file.path,
                at + 1,
                format!("leftover mark {mark}: finish it or file it"),
            ));
        }
    }
    findings
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

fn banned_calls(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let code: Vec<_> = tokens(&file.text);
    let words: Vec<(usize, &Token<'_>)> = code
        .iter()
        .filter(|(_, token)| *token != Token::Sign(':'))
        .map(|(line, token)| (*line, token))
        .collect();
    let test_from = code
        .windows(4)
        .find(|window| {
            matches!(window, [(_, Token::Ident("cfg")), (_, Token::Sign('(')), (_, Token::Ident("test")), _])
        })
        .map_or(usize::MAX, |window| window[0].0);
    for banned in BANNED {
        if is_test(&file.path) || banned.homes.iter().any(|home| file.path.starts_with(home)) {
            continue;
        }
        for pair in words.windows(2) {
            let (line, first) = pair[0];
            if line < test_from
                && *first == Token::Ident(banned.path[0])
                && is_word(pair[1].1, banned.path[1])
            {
                let name = banned.path.join("::").replace("::!", "!");
                findings.push(Finding::new(
                    &file.path,
                    line,
                    format!("{name} is banned: {}", banned.instead),
                ));
            }
        }
    }
    findings
}

fn is_word(token: &Token<'_>, word: &str) -> bool {
    match token {
        Token::Ident(ident) => *ident == word,
        Token::Sign(sign) => word.chars().eq([*sign]),
        Token::Text(_) => false,
    }
}

/// An `allow` or `expect` attribute must say why, by `reason = "..."` or in a comment on its line.
fn allows_without_reason(file: &SourceFile) -> Vec<Finding> {
    let code = tokens(&file.text);
    let lines: Vec<&str> = file.text.lines().collect();
    let mut findings = Vec::new();
    for (at, (line, token)) in code.iter().enumerate() {
        let opens = code.get(at + 1).is_some_and(|(_, next)| *next == Token::Sign('('));
        let attribute = at > 0 && matches!(code[at - 1].1, Token::Sign('['));
        if !(attribute && opens && matches!(token, Token::Ident("allow" | "expect"))) {
            continue;
        }
        let inside = code[at..].iter().take_while(|(_, token)| *token != Token::Sign(']'));
        let commented = lines.get(line - 1).is_some_and(|text| text.contains("//"));
        if !commented && !inside.clone().any(|(_, token)| *token == Token::Ident("reason")) {
            let message = "an exception from a lint needs a reason";
            findings.push(Finding::new(&file.path, *line, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned() }
    }

    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn long_files_are_found() {
        assert_eq!(length(&file("a/src/x.rs", &"x\n".repeat(800))), []);
        assert_eq!(length(&file("a/src/x.rs", &"x\n".repeat(801))).len(), 1);
        assert_eq!(length(&file("a/FORMAT.md", &"x\n".repeat(5000))), []);
    }

    #[test]
    fn marks_are_found_as_whole_words() {
        let text = format!("fine\n// {}: later\n{}IFY\n", MARKS[0], MARKS[0]);
        assert_eq!(lines(&marks(&file("a.rs", &text))), [2]);
    }

    #[test]
    fn banned_calls_are_found_in_code_only() {
        let text =
            "// std::process::exit\nfn f() { let s = \"process::exit\"; }\nfn g() { std::process::exit(1) }";
        assert_eq!(lines(&banned_calls(&file("core/base/src/x.rs", text))), [3]);
        assert_eq!(banned_calls(&file("parpen/src/main.rs", text)), []);
    }

    #[test]
    fn printing_is_for_the_binary_and_for_tests() {
        let text = "fn f() { println!(\"x\") }";
        assert_eq!(lines(&banned_calls(&file("core/base/src/x.rs", text))), [1]);
        assert_eq!(banned_calls(&file("parpen/src/cli.rs", text)), []);
        assert_eq!(banned_calls(&file("core/base/src/x/tests.rs", text)), []);
        let text = "#[cfg(test)]\nmod tests { fn f() { println!(\"x\") } }";
        assert_eq!(banned_calls(&file("core/base/src/x.rs", text)), []);
    }

    #[test]
    fn exceptions_need_a_reason() {
        let text =
            "#[allow(dead_code)]\nfn f() {}\n#[allow(dead_code, reason = \"why\")]\nfn g() { x.expect(1) }";
        assert_eq!(lines(&allows_without_reason(&file("a.rs", text))), [1]);
        assert_eq!(allows_without_reason(&file("a.rs", "#[allow(dead_code)] // why\nfn f() {}")), []);
    }
}
