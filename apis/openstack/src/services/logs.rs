//! What is logged, read and changed while the service runs. It is one process: a level that is set for one of the
//! daemons is set for all.

use std::collections::BTreeMap;

use http::StatusCode;
use parpen_http::Reply;
use parpen_identity::{Power, may};
use parpen_model::Condition;
use serde_json::{Value, json};

use super::{Daemon, HOST, daemons};
use crate::config::LogLevel;
use crate::cx::{Cx, one};
use crate::errors::invalid_input;
use crate::fields::{Fields, document, refuse};
use crate::strict::TEXT_MAX;

const API: &str = "cinder-api";
/// The binaries that a request may name; the first two mean all.
const BINARIES: [&str; 6] = ["", "*", API, "cinder-scheduler", "cinder-volume", "cinder-backup"];

/// Whose logs a request is about.
struct Wanted {
    prefix: String,
    /// Binary and host of each.
    whose: Vec<(String, String)>,
}

async fn wanted(cx: &Cx, fields: &Fields) -> Result<Wanted, Condition> {
    let text = |name: &str| fields.text(name, TEXT_MAX).map(Option::unwrap_or_default);
    let (binary, server, prefix) = (text("binary")?, text("server")?, text("prefix")?);
    if !BINARIES.contains(&binary.as_str()) {
        return Err(refuse("binary", &json!(binary), &format!("is not one of {BINARIES:?}")));
    }
    let fits = |b: &str, host: &str| {
        (matches!(binary.as_str(), "" | "*") || binary == b) && (server.is_empty() || server == host)
    };
    let mut whose = Vec::new();
    if fits(API, HOST) {
        whose.push((API.to_string(), HOST.to_string()));
    }
    let all = daemons(cx).await?;
    let up = all.iter().filter(|d: &&Daemon| d.up && fits(d.binary, &d.host));
    whose.extend(up.map(|d| (d.binary.to_string(), d.host.clone())));
    Ok(Wanted { prefix, whose })
}

fn level(fields: &Fields) -> Result<LogLevel, Condition> {
    let word = fields.text("level", TEXT_MAX)?.unwrap_or_default();
    let found = LogLevel::ALL.into_iter().find(|l| l.word().eq_ignore_ascii_case(&word));
    found.ok_or_else(|| invalid_input(format!("{word:.64} is not a valid log level.")))
}

pub(crate) async fn set(mut cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let fields = Fields(document(&mut cx.request).await?);
    fields.only("body", &["binary", "server", "prefix", "level"])?;
    let level = level(&fields)?;
    let wanted = wanted(&cx, &fields).await?;
    if !wanted.whose.is_empty() {
        cx.house.logs()?.set(&wanted.prefix, level)?;
    }
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

pub(crate) async fn get(mut cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let fields = Fields(document(&mut cx.request).await?);
    fields.only("body", &["binary", "server", "prefix"])?;
    let wanted = wanted(&cx, &fields).await?;
    let levels: BTreeMap<String, &str> =
        cx.house.logs()?.levels(&wanted.prefix).into_iter().map(|(t, l)| (t, l.word())).collect();
    let entry =
        |(binary, host): &(String, String)| json!({ "binary": binary, "host": host, "levels": levels });
    one(StatusCode::OK, "log_levels", Value::Array(wanted.whose.iter().map(entry).collect()))
}
