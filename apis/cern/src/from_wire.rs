//! From names and bodies to commands. What a body's schema refuses is said by field before anything else is looked at.

use std::collections::BTreeMap;

use http::StatusCode;
use parpen_http::{Reply, parse_json};
use parpen_model::{Attributes, Condition};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::errors;

/// The namespace in which this API keeps what the core has no use for.
pub(crate) const KEPT: &str = "cern";
/// Digits of an integer that clients can read back.
const DIGITS: usize = 4300;

/// What a field of a body must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Bool,
    Int,
    /// Bytes: an integer from 0.
    Size,
    Text,
    /// At least one character.
    Name,
}

/// What PATCH can change, and POST can say too.
const WRITABLE: [(&str, Form); 8] = [
    ("autosize_enabled", Form::Bool),
    ("max_autosize", Form::Int),
    ("size_total", Form::Size),
    ("active_policy_name", Form::Name),
    ("percentage_snapshot_reserve", Form::Int),
    ("compression_enabled", Form::Bool),
    ("inline_compression", Form::Bool),
    ("caching_policy", Form::Text),
];
/// What only POST can say.
const AT_MAKING: [(&str, Form); 5] = [
    ("name", Form::Name),
    ("aggregate_name", Form::Text),
    ("junction_path", Form::Text),
    ("from_snapshot", Form::Text),
    ("from_volume", Form::Text),
];
/// What is shown, and never changed by PATCH.
const READ_ONLY: [&str; 9] = [
    "name",
    "size_used",
    "uuid",
    "state",
    "filer_address",
    "creation_time",
    "percentage_snapshot_reserve_used",
    "aggregate_name",
    "junction_path",
];

/// Why a request is answered at once.
pub(crate) enum Stop {
    /// With this reply.
    Reply(Box<Reply>),
    /// With this condition.
    Condition(Condition),
}

impl From<Condition> for Stop {
    fn from(c: Condition) -> Stop {
        Stop::Condition(c)
    }
}

impl Stop {
    /// 400 with this text.
    pub(crate) fn bad(message: &str) -> Stop {
        Stop::Reply(Box::new(errors::document(StatusCode::BAD_REQUEST, message)))
    }
}

/// The fields of a body that its schema knows.
#[derive(Debug, Default)]
struct Fields {
    values: BTreeMap<&'static str, Field>,
    /// Whether a field is there that is only shown.
    read_only: Option<&'static str>,
}

/// A value of the wanted form.
#[derive(Clone, Debug, PartialEq)]
enum Field {
    Bool(bool),
    /// The literal, for it may have more than 64 bits.
    Int(String),
    Size(u64),
    Text(String),
}

impl Fields {
    /// Reads a body; what does not fit is told by field.
    fn read(body: &[u8], schema: &[(&'static str, Form)]) -> Result<Fields, Stop> {
        let whole: Box<RawValue> = parse_json(body)?;
        let wrong = |errors: BTreeMap<String, String>| Stop::Reply(Box::new(errors::schema(&errors)));
        if !whole.get().starts_with('{') {
            return Err(wrong(BTreeMap::from([("".to_string(), not_of("object", &whole))])));
        }
        let raw: BTreeMap<String, Box<RawValue>> = parse_json(body)?;
        let mut fields = Fields {
            read_only: READ_ONLY.into_iter().find(|name| raw.contains_key(*name)),
            ..Fields::default()
        };
        let mut errors = BTreeMap::new();
        for (name, form) in schema {
            match raw.get(*name).map(|value| field(value, *form)) {
                Some(Ok(value)) => drop(fields.values.insert(name, value)),
                Some(Err(why)) => drop(errors.insert(name.to_string(), why)),
                None => {}
            }
        }
        if errors.is_empty() { Ok(fields) } else { Err(wrong(errors)) }
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name) {
            Some(Field::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn size(&self) -> Option<u64> {
        match self.values.get("size_total") {
            Some(Field::Size(bytes)) => Some(*bytes),
            _ => None,
        }
    }

    /// A policy can only be one that exists, and none does yet.
    fn check_policy(&self) -> Result<(), Stop> {
        match self.text("active_policy_name") {
            Some(name) => Err(Stop::bad(&format!("No such policy: '{name}'"))),
            None => Ok(()),
        }
    }

    /// What is kept beside the volume.
    fn kept(&self) -> Map<String, Value> {
        let used_up = ["name", "from_snapshot", "from_volume", "active_policy_name"];
        let kept = self.values.iter().filter(|(name, _)| !used_up.contains(name));
        let value = |field: &Field| match field {
            Field::Bool(b) => Value::Bool(*b),
            Field::Int(literal) => Value::String(literal.clone()),
            Field::Size(bytes) => Value::from(*bytes),
            Field::Text(text) => Value::String(text.clone()),
        };
        kept.map(|(name, field)| (name.to_string(), value(field))).collect()
    }
}

fn not_of(form: &str, value: &RawValue) -> String {
    let shown: String = value.get().chars().take(80).collect();
    format!("{shown} is not of type '{form}'")
}

fn is_integer(literal: &str) -> bool {
    let digits = literal.strip_prefix('-').unwrap_or(literal);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn field(value: &RawValue, form: Form) -> Result<Field, String> {
    let literal = value.get();
    match form {
        Form::Bool => match literal {
            "true" => Ok(Field::Bool(true)),
            "false" => Ok(Field::Bool(false)),
            _ => Err(not_of("boolean", value)),
        },
        Form::Int | Form::Size if !is_integer(literal) => Err(not_of("integer", value)),
        Form::Int if literal.len() > DIGITS => Err(format!("an integer has at most {DIGITS} digits")),
        Form::Int => Ok(Field::Int(literal.to_string())),
        // `-0` is 0.
        Form::Size if literal.starts_with('-') && literal != "-0" => {
            Err(format!("{} is less than the minimum of 0", &literal[..literal.len().min(80)]))
        }
        Form::Size => literal
            .trim_start_matches('-')
            .parse()
            .map(Field::Size)
            .map_err(|_| "it is too large".to_string()),
        Form::Text | Form::Name => match serde_json::from_str::<String>(literal) {
            Ok(text) if text.is_empty() && form == Form::Name => Err("'' is too short".to_string()),
            Ok(text) => Ok(Field::Text(text)),
            Err(_) => Err(not_of("string", value)),
        },
    }
}

/// What a POST of a volume asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Make {
    /// A new volume of so many bytes.
    Blank { size: u64, kept: Attributes },
    /// A new volume with the content of another one's snapshot.
    Clone { volume: String, snapshot: String },
    /// The volume of the path goes back to its snapshot.
    Rollback { snapshot: String },
}

/// The body of a POST of a volume.
pub(crate) fn make(body: &[u8]) -> Result<Make, Stop> {
    let schema: Vec<_> = WRITABLE.into_iter().chain(AT_MAKING).collect();
    let fields = Fields::read(body, &schema)?;
    match (fields.text("from_snapshot"), fields.text("from_volume")) {
        (Some(snapshot), Some(volume)) => {
            Ok(Make::Clone { volume: volume.to_string(), snapshot: snapshot.to_string() })
        }
        (Some(snapshot), None) => Ok(Make::Rollback { snapshot: snapshot.to_string() }),
        (None, _) => {
            fields.check_policy()?;
            let (size, mut kept) = (fields.size().unwrap_or(0), Attributes::default());
            kept.set(KEPT, fields.kept());
            kept.entry(KEPT).insert("size_total".into(), Value::from(size));
            Ok(Make::Blank { size, kept })
        }
    }
}

/// What a PATCH changes.
#[derive(Debug)]
pub(crate) struct Change(Fields);

/// The body of a PATCH.
pub(crate) fn change(body: &[u8]) -> Result<Change, Stop> {
    Fields::read(body, &WRITABLE).map(Change)
}

impl Change {
    /// Refuses what no volume takes.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        if self.0.values.is_empty() {
            return Err(Stop::bad("No PATCH data provided!"));
        }
        if let Some(name) = self.0.read_only {
            return Err(Stop::bad(&format!("'{name}' is read-only")));
        }
        self.0.check_policy()
    }

    /// The new size in bytes.
    pub(crate) fn size(&self) -> Option<u64> {
        self.0.size()
    }

    /// What is to be kept beside the volume.
    pub(crate) fn kept(&self) -> Map<String, Value> {
        self.0.kept()
    }
}

/// The body of a POST of a snapshot: whether an old one may be purged where room is needed.
pub(crate) fn purge(body: &[u8]) -> Result<bool, Stop> {
    const FLAG: &str = "purge_old_if_needed";
    let fields = Fields::read(body, &[(FLAG, Form::Bool)])?;
    Ok(fields.values.get(FLAG) == Some(&Field::Bool(true)))
}

/// Names are of `A-Z a-z 0-9 : / _ . -`.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Stop> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b":/_.-".contains(&b);
    if name.bytes().all(fits) { Ok(()) } else { Err(Stop::bad(&format!("Invalid {what} name"))) }
}

#[cfg(test)]
#[path = "from_wire_tests.rs"]
mod tests;
