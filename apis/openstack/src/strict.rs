//! Reading documents of operations whose schemas refuse what they do not know.

use parpen_http::HttpRequest;
use parpen_model::Condition;
use serde_json::{Map, Value};

use crate::fields::{Fields, document, refuse, required};
use crate::known::Known;
use crate::microversion::Microversion;

/// Longest key and value of a spec, and longest name, in characters.
pub(crate) const TEXT_MAX: usize = 255;

impl Fields {
    /// The object below `key`, which is all that the request's document holds.
    pub(crate) async fn read_alone(request: &mut HttpRequest, key: &str) -> Result<Fields, Condition> {
        let document = Fields(document(request).await?);
        document.only("body", &[key])?;
        Fields::below(document.0, key)
    }

    /// The object below `key`, which is all that the request's document holds, with no other fields than these.
    pub(crate) async fn read_known(
        request: &mut HttpRequest,
        key: &str,
        version: Microversion,
        known: &Known,
    ) -> Result<Fields, Condition> {
        let fields = Fields::read_alone(request, key).await?;
        fields.only_known(key, version, known)?;
        Ok(fields)
    }

    /// Refuses fields that this version does not know.
    pub(crate) fn only_known(
        &self,
        whole: &str,
        version: Microversion,
        known: &Known,
    ) -> Result<(), Condition> {
        let names: Vec<&str> =
            known.iter().filter(|(_, since)| version.has(*since)).map(|(n, _)| *n).collect();
        self.only(whole, &names)
    }

    /// Refuses fields that are not among these.
    pub(crate) fn only(&self, whole: &str, known: &[&str]) -> Result<(), Condition> {
        match self.0.keys().find(|k| !known.contains(&k.as_str())) {
            None => Ok(()),
            Some(strange) => {
                let shown: String = strange.chars().take(64).collect();
                let why = format!("Additional properties are not allowed ('{shown}' was unexpected)");
                Err(refuse(whole, &Value::Object(self.0.clone()), &why))
            }
        }
    }

    /// A text of 1 to 255 characters that is not blank, and must be there.
    pub(crate) fn name(&self, name: &str) -> Result<String, Condition> {
        let given = self.0.get(name).ok_or_else(|| required(name))?;
        if given.is_null() {
            return Err(refuse(name, given, "is not of type 'string'"));
        }
        let text = self.text(name, TEXT_MAX)?.unwrap_or_default();
        if text.is_empty() { Err(refuse(name, given, "is too short")) } else { Ok(text) }
    }

    /// A document of specs: texts and nulls below keys of these characters and `A-Za-z0-9`; null when absent.
    pub(crate) fn specs(&self, name: &str, also: &str) -> Result<Option<Map<String, Value>>, Condition> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(map)) => check_specs(name, map, also).map(|()| Some(map.clone())),
            Some(other) => Err(refuse(name, other, "is not of type 'object'")),
        }
    }
}

/// Whether keys and values are what specs may hold.
pub(crate) fn check_specs(name: &str, map: &Map<String, Value>, also: &str) -> Result<(), Condition> {
    for (key, value) in map {
        let plain = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
        if key.is_empty() || key.len() > TEXT_MAX || !key.chars().all(plain) {
            let why = format!("Additional properties are not allowed ('{key:.64}' was unexpected)");
            return Err(refuse(name, &Value::Object(map.clone()), &why));
        }
        match value {
            Value::Null => {}
            Value::String(s) if s.chars().count() <= TEXT_MAX => {}
            Value::String(_) => return Err(refuse(key, value, "is too long")),
            other => return Err(refuse(key, other, "is not of type 'string', 'null'")),
        }
    }
    Ok(())
}
