//! Reading a body: null means absent, numbers may come as texts, what is unknown is passed over.

use parpen_model::{Condition, IoCeiling};
use serde_json::{Map, Value};

/// The members of a JSON object, asked for by name.
#[derive(Debug)]
pub struct Fields<'v>(&'v Map<String, Value>);

/// The body as JSON; an empty one, or null, is an empty object.
pub fn body(bytes: &[u8]) -> Result<Value, Condition> {
    let absent = || Value::Object(Map::new());
    if bytes.trim_ascii().is_empty() {
        return Ok(absent());
    }
    match parpen_http::parse_json(bytes)? {
        Value::Null => Ok(absent()),
        value => Ok(value),
    }
}

/// A number, also one that is written as a text.
pub fn number(field: &str, value: &Value) -> Result<u64, Condition> {
    let n = match value {
        Value::Number(n) => n.as_u64(),
        // `parse` would take a plus sign.
        Value::String(s) if s.bytes().all(|b| b.is_ascii_digit()) => s.parse().ok(),
        _ => None,
    };
    n.ok_or_else(|| Condition::invalid(field, "it must be a number, 0 or more"))
}

impl<'v> Fields<'v> {
    /// The members of `value`, which must be an object.
    pub fn of(what: &str, value: &'v Value) -> Result<Fields<'v>, Condition> {
        let object = value.as_object();
        object.map(Fields).ok_or_else(|| Condition::invalid(what, "it must be a JSON object"))
    }

    /// The value, if there is one and it is not null.
    pub fn value(&self, field: &str) -> Option<&'v Value> {
        self.0.get(field).filter(|v| !v.is_null())
    }

    /// A text.
    pub fn text(&self, field: &str) -> Result<Option<&'v str>, Condition> {
        let text = self.value(field).map(|v| v.as_str());
        text.map(|t| t.ok_or_else(|| Condition::invalid(field, "it must be a text"))).transpose()
    }

    /// A text where an empty one means none.
    pub fn name(&self, field: &str) -> Result<Option<&'v str>, Condition> {
        Ok(self.text(field)?.filter(|t| !t.is_empty()))
    }

    /// A number.
    pub fn number(&self, field: &str) -> Result<Option<u64>, Condition> {
        self.value(field).map(|v| number(field, v)).transpose()
    }

    /// A number of bytes that makes a volume: positive and in whole sectors.
    pub fn size(&self, field: &str) -> Result<Option<u64>, Condition> {
        match self.number(field)? {
            Some(n) if n == 0 || n % parpen_base::SECTOR != 0 => {
                Err(Condition::invalid(field, "it must be positive and a multiple of 512"))
            }
            other => Ok(other),
        }
    }

    /// A ceiling.
    pub fn ceiling(&self, field: &str) -> Result<Option<IoCeiling>, Condition> {
        match self.value(field) {
            Some(Value::String(s)) if s == "-" => Ok(Some(IoCeiling::Unlimited)),
            _ => Ok(self.number(field)?.map(IoCeiling::At)),
        }
    }

    /// A truth value, also as 0 and 1 or as a text.
    pub fn flag(&self, field: &str) -> Result<Option<bool>, Condition> {
        let truth = |v: &Value| match v {
            Value::Bool(b) => Some(*b),
            Value::Number(n) if n.as_u64() == Some(0) => Some(false),
            Value::Number(n) if n.as_u64() == Some(1) => Some(true),
            Value::String(s) if s == "true" || s == "1" => Some(true),
            Value::String(s) if s == "false" || s == "0" => Some(false),
            _ => None,
        };
        let read = |v| truth(v).ok_or_else(|| Condition::invalid(field, "it must be true or false"));
        self.value(field).map(read).transpose()
    }

    /// A list of numbers within bounds; absent is empty.
    pub fn numbers(&self, field: &str, min: u64, max: u64) -> Result<Vec<u64>, Condition> {
        let Some(value) = self.value(field) else { return Ok(Vec::new()) };
        let list =
            value.as_array().ok_or_else(|| Condition::invalid(field, "it must be a list of numbers"))?;
        list.iter()
            .map(|v| {
                let n = number(field, v)?;
                let fits = (min..=max).contains(&n);
                fits.then_some(n)
                    .ok_or_else(|| Condition::invalid(field, format!("{n} is not from {min} to {max}")))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn numbers_come_as_texts_and_null_is_absent() {
        let v = json!({ "a": "17", "b": 18, "c": null, "d": "-", "e": -1, "f": "+1", "g": 512, "h": 513,
            "i": ["1", 2], "j": [5000], "k": "x", "l": 1, "m": "", "n": 1.5 });
        let f = Fields::of("body", &v).unwrap();
        assert_eq!((f.number("a"), f.number("b")), (Ok(Some(17)), Ok(Some(18))));
        assert_eq!((f.number("c"), f.number("zz"), f.text("c")), (Ok(None), Ok(None), Ok(None)));
        for bad in ["d", "e", "f", "k", "m", "n"] {
            assert!(f.number(bad).is_err(), "{bad}");
        }
        assert_eq!((f.size("g"), f.size("h").is_err()), (Ok(Some(512)), true));
        assert_eq!(
            (f.ceiling("d"), f.ceiling("a")),
            (Ok(Some(IoCeiling::Unlimited)), Ok(Some(IoCeiling::At(17))))
        );
        assert_eq!((f.numbers("i", 1, 4095), f.numbers("zz", 1, 2)), (Ok(vec![1, 2]), Ok(vec![])));
        assert!(f.numbers("j", 1, 4095).is_err() && f.numbers("k", 1, 4095).is_err());
        assert_eq!((f.flag("l"), f.flag("c"), f.flag("k").is_err()), (Ok(Some(true)), Ok(None), true));
        assert_eq!((f.name("m"), f.name("k")), (Ok(None), Ok(Some("x"))));
        assert!(Fields::of("body", &json!([])).is_err());
    }

    #[test]
    fn an_empty_body_is_an_empty_object() {
        assert_eq!((body(b" \r\n"), body(b"null")), (Ok(json!({})), Ok(json!({}))));
        assert!(matches!(body(b"{"), Err(Condition::Invalid { .. })));
        assert!(body("[".repeat(100_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(v) = body(&bytes) {
                let _ = Fields::of("body", &v).map(|f| f.number("a"));
            }
        }
    }
}
