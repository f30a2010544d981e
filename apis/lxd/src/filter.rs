//! `filter=name eq v1 and config.user.a eq 1`: which documents of a list are wanted.

use parpen_model::Condition;
use serde_json::Value;

/// A parsed filter; an empty one wants everything.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter(Vec<Clause>);

#[derive(Debug, PartialEq, Eq)]
struct Clause {
    /// Joined to what stands before by `or`; else by `and`.
    or: bool,
    negated: bool,
    field: String,
    equal: bool,
    value: String,
}

impl Filter {
    /// From the text of a query.
    pub(crate) fn parse(text: &str) -> Result<Filter, Condition> {
        let mut words = words(text)?.into_iter().peekable();
        let mut clauses = Vec::new();
        if words.peek().is_none() {
            return Ok(Filter::default());
        }
        let ends = |what| Condition::invalid("filter", format!("it ends where {what} should be"));
        let mut next = |what: &'static str| words.next().ok_or_else(|| ends(what));
        let mut or = false;
        loop {
            let first = next("a field")?;
            let negated = first.eq_ignore_ascii_case("not");
            let field = if negated { next("a field")? } else { first };
            let operator = next("an operator")?;
            let equal = match operator.to_ascii_lowercase().as_str() {
                "eq" => true,
                "ne" => false,
                _ => {
                    return Err(Condition::invalid("filter", format!("{operator:?} is neither eq nor ne")));
                }
            };
            let value = next("a value")?;
            clauses.push(Clause { or, negated, field, equal, value });
            let Ok(joint) = next("the end") else { return Ok(Filter(clauses)) };
            or = match joint.to_ascii_lowercase().as_str() {
                "and" => false,
                "or" => true,
                _ => return Err(Condition::invalid("filter", format!("{joint:?} is neither and nor or"))),
            };
        }
    }

    /// Whether a document is wanted.
    pub(crate) fn wants(&self, document: &Value) -> bool {
        self.0.iter().enumerate().fold(true, |so_far, (i, clause)| {
            let holds = clause.holds(document);
            match (i, clause.or) {
                (0, _) => holds,
                (_, true) => so_far || holds,
                (_, false) => so_far && holds,
            }
        })
    }
}

impl Clause {
    fn holds(&self, document: &Value) -> bool {
        let found = match self.field.split_once('.') {
            Some(("config", key)) => document.get("config").and_then(|c| c.get(key)),
            _ => document.get(&self.field),
        };
        let text = match found {
            Some(Value::String(s)) => s.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        ((text == self.value) == self.equal) != self.negated
    }
}

/// Words between spaces; quotes keep spaces together.
fn words(text: &str) -> Result<Vec<String>, Condition> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    if quoted {
        return Err(Condition::invalid("filter", "a quote is not closed"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn clauses_are_joined_from_left_to_right() {
        let v = json!({"name": "a b", "content_type": "block", "config": {"user.a": "1"}});
        let wants = |f: &str| Filter::parse(f).unwrap().wants(&v);
        assert!(wants("") && wants("  "));
        assert!(wants("name eq \"a b\"") && !wants("name eq a"));
        assert!(wants("content_type eq block and config.user.a eq 1"));
        assert!(wants("name eq x or content_type eq block"));
        assert!(!wants("not content_type eq block") && wants("name ne x"));
        assert!(wants("config.user.b eq \"\""));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["name", "name eq", "name like x", "name eq a b eq c", "name eq \"x", "not"] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
    }
}
