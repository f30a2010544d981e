//! Reading request documents: lenient where Cinder is (nulls, numbers as text), and with its words where it is not.

use parpen_http::HttpRequest;
use parpen_model::Condition;
use serde_json::{Map, Value};
use uuid::Uuid;

/// Longest request document, as Cinder has it.
pub(crate) const BODY_MAX: usize = 114_688;
/// How much of a wrong value is repeated in the refusal.
const SHOWN: usize = 64;

/// The fields below one key of a request document.
pub(crate) struct Fields(pub(crate) Map<String, Value>);

/// A refusal in Cinder's words: the value, and what is wrong with it.
pub(crate) fn refuse(field: &str, value: &Value, why: &str) -> Condition {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let cut: String = text.chars().take(SHOWN).collect();
    let dots = if cut.len() < text.len() { "..." } else { "" };
    Condition::invalid(field, format!("Value: {cut}{dots}. {cut}{dots} {why}"))
}

/// The whole document, which must be an object.
pub(crate) async fn document(request: &mut HttpRequest) -> Result<Map<String, Value>, Condition> {
    request.json::<Map<String, Value>>(BODY_MAX).await
}

impl Fields {
    /// The object below `key` of the request's document.
    pub(crate) async fn read(request: &mut HttpRequest, key: &str) -> Result<Fields, Condition> {
        Fields::below(document(request).await?, key)
    }

    /// The object below `key`.
    pub(crate) fn below(mut document: Map<String, Value>, key: &str) -> Result<Fields, Condition> {
        match document.remove(key) {
            Some(Value::Object(fields)) => Ok(Fields(fields)),
            Some(other) => Err(refuse(key, &other, "is not of type 'object'")),
            None => Err(Condition::invalid(key, format!("'{key}' is a required property"))),
        }
    }

    /// A value that is there and not null.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|v| !v.is_null())
    }

    /// A text of at most `max` characters; blanks around it are dropped.
    pub(crate) fn text(&self, name: &str, max: usize) -> Result<Option<String>, Condition> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(s)) if s.chars().count() > max => {
                Err(refuse(name, &Value::String(s.clone()), "is too long"))
            }
            Some(Value::String(s)) => Ok(Some(s.trim().to_string())),
            Some(other) => Err(refuse(name, other, "is not of type 'string'")),
        }
    }

    /// A whole number of at least `min`, also as text.
    pub(crate) fn whole(&self, name: &str, min: u64) -> Result<Option<u64>, Condition> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = match value {
            Value::Number(n) => n.as_i64().map(i128::from).or(n.as_u64().map(i128::from)),
            Value::String(s) => s.trim().parse::<i64>().ok().map(i128::from),
            _ => None,
        };
        match number {
            None => Err(refuse(name, value, "is not of type 'integer'")),
            Some(n) if n < i128::from(min) => {
                Err(refuse(name, value, &format!("is less than the minimum of {min}")))
            }
            Some(n) => u64::try_from(n).map(Some).map_err(Condition::internal),
        }
    }

    /// A truth value, also in the spellings that Python's clients use.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Condition> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(b)) => Ok(Some(*b)),
            Some(other) => {
                let said = other.as_str().filter(|t| SPELLINGS.contains(t)).and_then(truth);
                said.map(Some).ok_or_else(|| refuse(name, other, "is not of type 'boolean'"))
            }
        }
    }

    /// A UUID.
    pub(crate) fn id(&self, name: &str) -> Result<Option<Uuid>, Condition> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => {
                let id = value.as_str().and_then(|s| Uuid::parse_str(s).ok());
                id.map(Some).ok_or_else(|| refuse(name, value, "is not a 'uuid'"))
            }
        }
    }

    /// The same, and it must be there.
    pub(crate) fn required_id(&self, name: &str) -> Result<Uuid, Condition> {
        self.id(name)?.ok_or_else(|| required(name))
    }

    /// A document of texts of at most 255 characters.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Map<String, Value>>, Condition> {
        self.long_texts(name, 255)
    }

    /// A document of texts of at most `max` characters.
    pub(crate) fn long_texts(&self, name: &str, max: usize) -> Result<Option<Map<String, Value>>, Condition> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(map)) => checked_texts(name, map.clone(), max).map(Some),
            Some(other) => Err(refuse(name, other, "is not of type 'object'")),
        }
    }
}

/// A field that must be there is not.
pub(crate) fn required(name: &str) -> Condition {
    Condition::invalid(name, format!("'{name}' is a required property"))
}

/// How documents may spell truth values as texts.
const SPELLINGS: [&str; 24] = [
    "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes", "y", "t", "False", "FALSE", "false",
    "0", "OFF", "Off", "off", "NO", "No", "no", "n", "f",
];

/// `True`, `1`, `yes` and their like.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
        "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
        _ => None,
    }
}

/// Keys of 1 to 255 characters of `A-Za-z0-9-_:. /`, values of at most `max`.
fn checked_texts(name: &str, map: Map<String, Value>, max: usize) -> Result<Map<String, Value>, Condition> {
    for (key, value) in &map {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_:. /".contains(c);
        if key.is_empty() || key.len() > 255 || !key.chars().all(fits) {
            let why = format!("Additional properties are not allowed ('{key:.64}' was unexpected)");
            return Err(refuse(name, &Value::Object(map.clone()), &why));
        }
        match value {
            Value::String(s) if s.chars().count() <= max => {}
            Value::String(_) => return Err(refuse(key, value, "is too long")),
            other => return Err(refuse(key, other, "is not of type 'string'")),
        }
    }
    Ok(map)
}
