//! Lists: filters, order, pages, and the absolute link to the next page.

use http::StatusCode;
use jiff::Timestamp;
use parpen_http::Reply;
use parpen_model::{Condition, Kind};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use crate::cx::Cx;
use crate::fields::truth;
use crate::states::bad;

/// Largest page, as Cinder has it.
const PAGE_MAX: usize = 1000;

/// Something that lists select, order and page by the fields that it shows.
pub(crate) trait Listed {
    /// What it is.
    const KIND: Kind;

    /// What it may be sorted by, besides the columns of everything.
    const SORTS: &'static [&'static str];

    /// The filters that everybody may use; none: all are let through.
    const FILTERS: &'static [&'static str] = &[];

    /// Whether the newest come first where no order is asked for; else only since 3.59.
    const NEWEST_FIRST: bool = true;

    /// Its id as shown.
    fn id(&self) -> String;
    /// The value of a field that lists may filter and sort by; `None` if it is no such field.
    fn field(&self, name: &str) -> Option<Value>;
    /// Its metadata.
    fn metadata(&self, key: &str) -> Option<&str>;
}

/// One page of a list.
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// How many fitted the filters, on all pages.
    pub(crate) count: usize,
    /// The next page's address, if there is one.
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// The answer: the items below `key`, the next page's address below `links`.
    pub(crate) fn reply(self, key: &'static str, links: &'static str, print: impl Fn(&T) -> Value) -> Reply {
        Reply::json(StatusCode::OK, &Frame { key, links, print, page: &self, count: false })
    }

    /// The answer of the lists that say how many there are, if they are asked to.
    pub(crate) fn counted(
        self,
        cx: &Cx,
        key: &'static str,
        links: &'static str,
        print: impl Fn(&T) -> Value,
    ) -> Reply {
        let count = cx.version.has(45) && cx.asks("with_count");
        Reply::json(StatusCode::OK, &Frame { key, links, print, page: &self, count })
    }
}

/// A page as a document. Each item's own document lives only until it is written: of a thousand, one is there at a time.
struct Frame<'a, T, F> {
    key: &'static str,
    links: &'static str,
    print: F,
    page: &'a Page<T>,
    count: bool,
}

/// The items of a frame.
struct Items<'a, T, F>(&'a [T], &'a F);

impl<T, F: Fn(&T) -> Value> Serialize for Frame<'_, T, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.key, &Items(&self.page.items, &self.print))?;
        if let Some(next) = &self.page.next {
            map.serialize_entry(self.links, &[json!({ "rel": "next", "href": next })])?;
        }
        if self.count {
            map.serialize_entry("count", &self.page.count)?;
        }
        map.end()
    }
}

impl<T, F: Fn(&T) -> Value> Serialize for Items<'_, T, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(self.1))
    }
}

/// The page that the query of this call asks for. `all` comes the oldest first.
pub(crate) fn page<T: Listed>(cx: &Cx, mut all: Vec<T>) -> Result<Page<T>, Condition> {
    let query: Vec<(String, String)> = cx.request.query_pairs().collect();
    refuse_unknown::<T>(cx, &query)?;
    for (name, wanted) in &query {
        match name.as_str() {
            "metadata" => {
                let pairs = pairs(wanted);
                all.retain(|item| pairs.iter().all(|(k, v)| fits_metadata(item, k, v.as_deref())));
            }
            name @ ("created_at" | "updated_at") => {
                let bounds = bounds(name, wanted)?;
                let moment = |item: &T| item.field(name).and_then(|have| moment(have.as_str()?));
                all.retain(|item| moment(item).is_some_and(|at| bounds.iter().all(|b| b.admits(at))));
            }
            name if name.ends_with('~') && cx.version.has(34) => {
                let name = name.trim_end_matches('~');
                all.retain(|item| item.field(name).is_none_or(|have| text(&have).contains(wanted)));
            }
            name => {
                strict_truth(cx, name, wanted)?;
                let several = choices(wanted);
                let one_of = |have: &Value| several.iter().any(|wanted| fits(have, wanted));
                all.retain(|item| item.field(name).is_none_or(|have| one_of(&have)));
            }
        }
    }
    if T::NEWEST_FIRST || cx.version.has(59) {
        all.reverse();
    }
    for (field, descending) in order(&query)?.into_iter().rev() {
        if !COLUMNS.contains(&field.as_str()) && !T::SORTS.contains(&field.as_str()) {
            return Err(bad("Invalid input received: Invalid sort key"));
        }
        all.sort_by(|a, b| {
            let key = |item: &T| item.field(&field).unwrap_or(Value::Null);
            let order = compare(&key(a), &key(b));
            if descending { order.reverse() } else { order }
        });
    }
    let count = all.len();
    let value = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    if let Some(marker) = value("marker").filter(|m| !m.is_empty()) {
        let at = all.iter().position(|item| item.id() == marker);
        let at = at.ok_or_else(|| Condition::not_found(T::KIND, marker))?;
        all.drain(..=at);
    }
    let offset = whole("offset", value("offset"))?.unwrap_or(0);
    all.drain(..offset.min(all.len()));
    let limit = limit(value("limit"))?.min(PAGE_MAX);
    all.truncate(limit);
    // As Cinder has it: after a full page there is a next one, which may be empty.
    let next = all.last().filter(|_| all.len() == limit).map(|last| next(cx, &query, &last.id()));
    Ok(Page { items: all, count, next })
}

/// What Cinder keeps of everything, or of most, and sorts by; what is not shown here leaves the order as it is.
const COLUMNS: [&str; 25] = [
    "created_at",
    "updated_at",
    "deleted_at",
    "display_name",
    "description",
    "display_description",
    "status",
    "size",
    "volume_size",
    "progress",
    "snapshot_id",
    "source_volid",
    "parent_id",
    "volume_type_id",
    "migration_status",
    "replication_status",
    "fail_reason",
    "project_id",
    "user_id",
    "host",
    "availability_zone",
    "attach_status",
    "launched_at",
    "scheduled_at",
    "terminated_at",
];

/// What is no filter, whatever is listed.
const OTHERS: [&str; 10] = [
    "limit",
    "marker",
    "offset",
    "sort",
    "sort_key",
    "sort_dir",
    "all_tenants",
    "with_count",
    "list_volume",
    "project_id",
];

/// Since 3.31 everybody but operators is told which filters are none.
fn refuse_unknown<T: Listed>(cx: &Cx, query: &[(String, String)]) -> Result<(), Condition> {
    if !cx.version.has(31) || T::FILTERS.is_empty() || cx.is_admin() {
        return Ok(());
    }
    // None of them may be asked for by a part alone (`name~`), as in Cinder's own list of filters.
    let known = |name: &str| OTHERS.contains(&name) || T::FILTERS.contains(&name);
    let wrong: Vec<&str> = query.iter().map(|(n, _)| n.as_str()).filter(|n| !known(n)).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(bad(format!("Invalid filters {} are found in query options.", wrong.join(","))))
}

/// Since 3.2 truth values are written in one of a few ways.
fn strict_truth(cx: &Cx, name: &str, wanted: &str) -> Result<(), Condition> {
    let one = matches!(name, "bootable" | "multiattach" | "encrypted");
    if one && cx.version.has(2) && truth(wanted).is_none() {
        return Err(bad(format!("Invalid input received: '{name} = {wanted}'")));
    }
    Ok(())
}

/// A comparison with a moment.
struct Bound {
    how: &'static str,
    at: Timestamp,
}

impl Bound {
    fn admits(&self, at: Timestamp) -> bool {
        match self.how {
            "gt" => at > self.at,
            "gte" => at >= self.at,
            "lt" => at < self.at,
            "lte" => at <= self.at,
            "neq" => at != self.at,
            _ => at == self.at,
        }
    }
}

/// A moment as Cinder prints it, or with a zone.
fn moment(text: &str) -> Option<Timestamp> {
    let zulu = |t: &str| t.parse().or_else(|_| format!("{t}Z").parse()).ok();
    zulu(text).or_else(|| zulu(&text.replacen(' ', "T", 1)))
}

/// `gt:2026-11-21T00:00:00,lt:...`; without a word, that moment exactly.
fn bounds(field: &str, wanted: &str) -> Result<Vec<Bound>, Condition> {
    let one = |part: &str| {
        let hows = ["gte", "gt", "lte", "lt", "neq", "eq"];
        let named = hows.into_iter().find_map(|how| Some((how, part.strip_prefix(how)?.strip_prefix(':')?)));
        let (how, text) = named.unwrap_or(("eq", part));
        let why = || Condition::invalid(field, "a moment is written like gt:2026-11-21T00:00:00");
        Ok(Bound { how, at: moment(text.trim()).ok_or_else(why)? })
    };
    wanted.split(',').map(one).collect()
}

/// The address of the page after `last`: this request's own, with another marker.
fn next(cx: &Cx, query: &[(String, String)], last: &str) -> String {
    let kept = query.iter().filter(|(n, _)| n != "marker" && n != "offset");
    let marker = ("marker".to_string(), last.to_string());
    let text: Vec<String> =
        kept.chain([&marker]).map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
    format!("{}{}?{}", cx.base, cx.request.path(), text.join("&"))
}

fn encode(text: &str) -> impl std::fmt::Display + '_ {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
}

/// How many items a page may have.
fn limit(value: Option<&str>) -> Result<usize, Condition> {
    let Some(text) = value.filter(|v| !v.is_empty()) else { return Ok(PAGE_MAX) };
    match text.trim().parse::<i64>() {
        Ok(n) => usize::try_from(n).map_err(|_| bad("limit param must be positive")),
        Err(_) => Err(bad("limit param must be an integer")),
    }
}

fn whole(name: &str, value: Option<&str>) -> Result<Option<usize>, Condition> {
    let Some(text) = value.filter(|v| !v.is_empty()) else { return Ok(None) };
    let number = text
        .parse()
        .map_err(|_| Condition::invalid(name, format!("{name} must be a whole number of at least 0")));
    number.map(Some)
}

/// The fields to sort by, with their direction. None asked for: as it is, the newest first.
fn order(query: &[(String, String)]) -> Result<Vec<(String, bool)>, Condition> {
    let value = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let descending = |dir: &str| match dir.to_ascii_lowercase().as_str() {
        "desc" | "" => Ok(true),
        "asc" => Ok(false),
        _ => Err(bad("Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.")),
    };
    if value("sort").is_some() && (value("sort_key").is_some() || value("sort_dir").is_some()) {
        return Err(bad(
            "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' parameter.",
        ));
    }
    if let Some(sort) = value("sort") {
        return sort
            .split(',')
            .map(|part| {
                let (field, dir) = part.split_once(':').unwrap_or((part, ""));
                Ok((field.trim().to_string(), descending(dir.trim())?))
            })
            .collect();
    }
    match value("sort_key") {
        Some(field) => Ok(vec![(field.to_string(), descending(value("sort_dir").unwrap_or_default())?)]),
        None if !descending(value("sort_dir").unwrap_or_default())? => Ok(vec![("created_at".into(), false)]),
        None => Ok(Vec::new()),
    }
}

fn compare(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a.as_u64(), b.as_u64()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => text(a).cmp(&text(b)),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// The values of a Python list literal, one of which fits; anything else is one value.
fn choices(wanted: &str) -> Vec<String> {
    let inner = wanted.trim().strip_prefix('[').and_then(|w| w.strip_suffix(']'));
    match inner {
        Some(list) => list.split(',').map(|w| w.trim().trim_matches(['\'', '"']).to_string()).collect(),
        None => vec![wanted.to_string()],
    }
}

/// Whether a field has the value that a query wrote as text, as Python writes it.
fn fits(have: &Value, wanted: &str) -> bool {
    match have {
        Value::Bool(b) => truth(wanted) == Some(*b),
        Value::Null => wanted.is_empty() || wanted.eq_ignore_ascii_case("none"),
        other => text(other) == wanted,
    }
}

fn fits_metadata<T: Listed>(item: &T, key: &str, value: Option<&str>) -> bool {
    match (item.metadata(key), value) {
        (Some(have), Some(wanted)) => have == wanted,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// The pairs of a Python dict literal with one kind of quotes or the other; a bare word is a key of any value
/// (that is what one of the clients makes of a dict).
pub(crate) fn pairs(literal: &str) -> Vec<(String, Option<String>)> {
    let inner = literal.trim().trim_start_matches('{').trim_end_matches('}');
    let mut words = Vec::new();
    let mut rest = inner;
    while let Some(at) = rest.find(['\'', '"']) {
        let quote = if rest[at..].starts_with('"') { '"' } else { '\'' };
        let after = &rest[at + 1..];
        let end = after.find(quote).unwrap_or(after.len());
        words.push(after[..end].to_string());
        rest = after.get(end + 1..).unwrap_or_default();
    }
    if words.is_empty() && !inner.trim().is_empty() {
        return vec![(inner.trim().to_string(), None)];
    }
    words.chunks(2).map(|pair| (pair[0].clone(), pair.get(1).cloned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_dicts_are_read() {
        let pair = |k: &str, v: &str| (k.to_string(), Some(v.to_string()));
        assert_eq!(pairs("{'a': 'b', \"c\": \"d'\"}"), [pair("a", "b"), pair("c", "d'")]);
        assert_eq!(pairs("a"), [("a".to_string(), None)]);
        assert_eq!(pairs("{'a': "), [("a".to_string(), None)]);
        assert!(pairs("{}").is_empty());
        assert_eq!(pairs("'"), [(String::new(), None)]);
    }

    #[test]
    fn moments_are_compared() {
        let at = |text| moment(text).unwrap();
        let all = |wanted: &str, at| bounds("created_at", wanted).unwrap().iter().all(|b| b.admits(at));
        let noon = at("2026-11-21T12:00:00.000000");
        assert_eq!(noon, at("2026-11-21T13:00:00+01:00"));
        assert!(all("gt:2026-11-21T11:00:00,lte:2026-11-21 12:00:00", noon));
        assert!(!all("gt:2026-11-21T11:00:00,lt:2026-11-21T12:00:00Z", noon));
        assert!(all("2026-11-21T12:00:00", noon) && !all("neq:2026-11-21T12:00:00", noon));
        assert!(bounds("created_at", "yesterday").is_err() && bounds("created_at", "").is_err());
    }

    #[test]
    fn orders_are_read() {
        let order = |n: &str, v: &str| order(&[(n.to_string(), v.to_string())]);
        assert_eq!(order("sort", "name:asc,size").unwrap(), [("name".into(), false), ("size".into(), true)]);
        assert_eq!(order("sort_key", "name").unwrap(), [("name".into(), true)]);
        assert!(order("sort", "name:up").is_err() && order("sort_dir", "up").is_err());
    }
}
