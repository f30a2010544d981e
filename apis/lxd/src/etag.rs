//! ETags as LXD makes them: SHA-256 over one JSON line, as Go's encoder writes it.

use parpen_model::Condition;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::config::Config;

/// Of a pool or volume: its name, its driver or type, its configuration.
pub(crate) fn of_config(name: &str, kind: &str, config: &Config) -> String {
    hash(&(name, kind, config))
}

/// Of a snapshot: its description and expiry.
pub(crate) fn of_snapshot(description: &str, expires_at: &str) -> String {
    hash(&(description, expires_at))
}

/// Of a project: its description and configuration.
pub(crate) fn of_project(description: &str, config: &Config) -> String {
    hash(&(description, config))
}

fn hash(parts: &impl Serialize) -> String {
    let line = serde_json::to_string(parts).expect("texts and maps of texts are JSON");
    Sha256::digest(go_line(&line)).iter().map(|b| format!("{b:02x}")).collect()
}

/// Go escapes what HTML or JavaScript could trip over, and ends with a line feed.
fn go_line(json: &str) -> String {
    let mut line = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
    }
    line.push('\n');
    line
}

/// Refuses when the client expected another version.
pub(crate) fn check(if_match: Option<&str>, hash: &str) -> Result<(), Condition> {
    let Some(expected) = if_match.map(|m| m.trim().trim_matches('"')).filter(|m| !m.is_empty()) else {
        return Ok(());
    };
    if expected == hash || expected == "*" {
        return Ok(());
    }
    Err(Condition::PreconditionFailed { expected: expected.into(), actual: hash.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn hashes_are_those_of_lxd() {
        // Recorded from LXD 5.0.2.
        assert_eq!(
            of_config("v1", "custom", &config(&[("user.a", "1")])),
            "06f2425b914e4621e041dea1e1c4944fa2c5a4350045ff947259553aec6ff241"
        );
        assert_eq!(
            of_config("blk1", "custom", &config(&[("size", "64MiB")])),
            "af30576fa43f96d3337b8414dba92217cbd91142c69e30407abdce8ffee25907"
        );
        assert_eq!(
            of_snapshot("", "2183-06-16T00:00:00Z"),
            "12a67bf7712ead13424397dbc593228f2f9ac97a44e46d3479cad0ca337a8584"
        );
    }

    #[test]
    fn go_escapes_what_html_trips_over() {
        assert_eq!(go_line("[\"<a&b>\u{2028}\"]"), "[\"\\u003ca\\u0026b\\u003e\\u2028\"]\n");
    }

    #[test]
    fn only_another_version_is_refused() {
        assert!(
            check(None, "h").is_ok() && check(Some("\"h\""), "h").is_ok() && check(Some("h"), "h").is_ok()
        );
        assert!(matches!(check(Some("0"), "h"), Err(Condition::PreconditionFailed { .. })));
    }
}
