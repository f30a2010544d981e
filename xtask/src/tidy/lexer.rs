//! Just enough of Rust's lexical rules to tell code from comments and strings.

/// A piece of code that a rule may care about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// An identifier or keyword.
    Ident(&'a str),
    /// The text between the quotes of a string, as it was written.
    Text(&'a str),
    /// Any other single character of code.
    Sign(char),
}

/// The tokens of a source text with their line numbers; comments are gone.
pub fn tokens(source: &str) -> Vec<(usize, Token<'_>)> {
    let mut lexer = Lexer { source, at: 0, line: 1, out: Vec::new() };
    while lexer.at < source.len() {
        lexer.step();
    }
    lexer.out
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: usize,
    out: Vec<(usize, Token<'a>)>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn step(&mut self) {
        let rest = self.rest();
        let first = rest.chars().next().expect("a step starts before the end");
        if rest.starts_with("//") {
            self.skip(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.skip(block_comment(rest));
        } else if let Some((open, hashes)) = string_start(rest) {
            self.string(open, hashes);
        } else if first == '\'' {
            self.skip(char_or_lifetime(rest));
        } else if first.is_alphabetic() || first == '_' {
            let len = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            self.out.push((self.line, Token::Ident(&rest[..len])));
            self.skip(len);
        } else {
            if !first.is_whitespace() {
                self.out.push((self.line, Token::Sign(first)));
            }
            self.skip(first.len_utf8());
        }
    }

    /// A string that opens with `open` bytes; a raw one ends with a quote and that many hashes.
    fn string(&mut self, open: usize, hashes: Option<usize>) {
        let body = &self.rest()[open..];
        let (len, close) = match hashes {
            Some(count) => {
                let end = format!("\"{}", "#".repeat(count));
                (body.find(&end).unwrap_or(body.len()), end.len())
            }
            None => (escaped_len(body, '"'), 1),
        };
        self.out.push((self.line, Token::Text(&body[..len])));
        self.skip((open + len + close).min(self.rest().len()));
    }

    fn skip(&mut self, len: usize) {
        self.line += self.rest()[..len].matches('\n').count();
        self.at += len;
    }
}

/// How many bytes of a nested block comment follow.
fn block_comment(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of a string's opening, and its number of hashes if it is a raw one.
fn string_start(rest: &str) -> Option<(usize, Option<usize>)> {
    for prefix in ["r", "br", "cr"] {
        if let Some(tail) = rest.strip_prefix(prefix) {
            let hashes = tail.len() - tail.trim_start_matches('#').len();
            if tail[hashes..].starts_with('"') {
                return Some((prefix.len() + hashes + 1, Some(hashes)));
            }
        }
    }
    ["\"", "b\"", "c\""].iter().find(|open| rest.starts_with(**open)).map(|open| (open.len(), None))
}

/// Bytes before the closing quote, which a backslash hides.
fn escaped_len(body: &str, quote: char) -> usize {
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            return at;
        }
    }
    body.len()
}

/// Bytes of a character literal, or only the apostrophe of a lifetime.
fn char_or_lifetime(rest: &str) -> usize {
    let body = &rest[1..];
    let mut chars = body.chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => (escaped_len(body, '\'') + 2).min(rest.len()),
        (Some(c), Some('\'')) => c.len_utf8() + 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        let word = |token| match token {
            Token::Ident(word) => word.to_owned(),
            Token::Text(text) => format!("\"{text}\""),
            Token::Sign(c) => c.to_string(),
        };
        tokens(source).into_iter().map(|(_, token)| word(token)).collect()
    }

    #[test]
    fn comments_vanish() {
        assert_eq!(words("a // b\nc /* d /* e */ f */ g"), ["a", "c", "g"]);
        assert_eq!(words("a /* never closed"), ["a"]);
    }

    #[test]
    fn strings_are_one_token() {
        assert_eq!(words(r#"f("a \" // b")"#), ["f", "(", r#""a \" // b""#, ")"]);
        assert_eq!(words(r##"r#"x"y"# z"##), [r#""x"y""#, "z"]);
        assert_eq!(words(r#"b"bytes""#), [r#""bytes""#]);
        assert_eq!(words(r#""open"#), [r#""open""#]);
    }

    #[test]
    fn characters_and_lifetimes_do_not_open_strings() {
        assert_eq!(words(r#"'"' x"#), ["x"]);
        assert_eq!(words(r"'\'' x '\u{1f}' y"), ["x", "y"]);
        assert_eq!(words("&'a str"), ["&", "a", "str"]);
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let lines: Vec<usize> = tokens("a\n\"b\nc\" d /*\n*/ e").into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 2, 3, 4]);
    }
}
