//! From bodies, queries and guids to commands.

use parpen_base::GIB;
use parpen_http::HttpRequest;
use parpen_model::{Api as Side, Attributes, Condition, ProjectId};
use parpen_service::names::{Naming, Space};
use parpen_service::volumes;
use serde_json::{Map, Value};

/// The namespace in which this API keeps what the core has no use for.
pub(crate) const KEPT: &str = "rapyuta";
/// Capacities of the first API, in GiB.
const CAPACITIES: [u64; 8] = [4, 8, 16, 32, 64, 128, 256, 512];
/// Largest page of the second API.
const PAGE_MAX: usize = 1000;

/// The names of a project's disks.
pub(crate) fn space(project: ProjectId) -> Space {
    Space::within(Side::Rapyuta, project)
}

/// Whether the second API's clients can read this capacity.
pub(crate) fn is_v2_capacity(gib: u64) -> bool {
    (4..=512).contains(&gib) && gib.is_multiple_of(2)
}

/// A disk that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wish {
    name: String,
    gib: u64,
    labels: Map<String, Value>,
    region: Option<String>,
}

impl Wish {
    /// The command that makes it.
    pub(crate) fn command(self, project: ProjectId) -> volumes::NewVolume {
        let mut attributes = Attributes::default();
        let kept = attributes.entry(KEPT);
        kept.insert("labels".into(), Value::Object(self.labels));
        kept.insert("region".into(), self.region.map_or(Value::Null, Value::String));
        volumes::NewVolume {
            naming: Naming::unique(self.name, space(project)),
            size: Some(self.gib * GIB),
            options: volumes::Options { attributes, ..Default::default() },
            ..Default::default()
        }
    }
}

fn object<'a>(value: &'a Value, field: &str) -> Result<&'a Map<String, Value>, Condition> {
    value.as_object().ok_or_else(|| Condition::invalid(field, "it is a JSON object"))
}

/// A field that may be missing or null.
fn text<'a>(of: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, Condition> {
    match of.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Condition::invalid(field, "it is a text")),
    }
}

fn name(of: &Map<String, Value>) -> Result<String, Condition> {
    let name = text(of, "name")?.ok_or_else(|| Condition::invalid("name", "a disk has a name"))?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    match (3..=75).contains(&name.len()) && name.bytes().all(fits) {
        true => Ok(name.to_string()),
        false => Err(Condition::invalid("name", "it has 3 to 75 letters, digits, _ and -")),
    }
}

fn capacity(of: &Map<String, Value>, fits: impl Fn(u64) -> bool, allowed: &str) -> Result<u64, Condition> {
    // 32.0 and "32" are refused: a capacity is an integer.
    let gib = of.get("capacity").and_then(Value::as_u64).filter(|gib| fits(*gib));
    gib.ok_or_else(|| Condition::invalid("capacity", format!("it is a number of GiB: {allowed}")))
}

fn runtime(of: &Map<String, Value>) -> Result<(), Condition> {
    match text(of, "runtime")? {
        None | Some("cloud") => Ok(()),
        Some(_) => Err(Condition::invalid("runtime", "disks are for the runtime `cloud`")),
    }
}

fn labels(of: &Map<String, Value>) -> Result<Map<String, Value>, Condition> {
    match of.get("labels") {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(labels)) if labels.values().all(Value::is_string) => Ok(labels.clone()),
        Some(_) => Err(Condition::invalid("labels", "they are texts by name")),
    }
}

/// The body of the first API's POST.
pub(crate) fn v1_disk(body: &Value) -> Result<Wish, Condition> {
    let disk = object(body, "body")?;
    let (name, labels) = (name(disk)?, labels(disk)?);
    runtime(disk)?;
    match text(disk, "diskType")? {
        // The client's `default` is an ssd, too.
        None | Some("ssd" | "default") => {}
        Some(_) => return Err(Condition::invalid("diskType", "it is `ssd` or `default`")),
    }
    let allowed = CAPACITIES.map(|gib| gib.to_string()).join(", ");
    let gib = capacity(disk, |gib| CAPACITIES.contains(&gib), &allowed)?;
    Ok(Wish { name, gib, labels, region: None })
}

/// The body of the second API's POST.
pub(crate) fn v2_disk(body: &Value) -> Result<Wish, Condition> {
    let disk = object(body, "body")?;
    match text(disk, "apiVersion")? {
        None | Some("api.rapyuta.io/v2" | "apiextensions.rapyuta.io/v1") => {}
        Some(_) => return Err(Condition::invalid("apiVersion", "it is `api.rapyuta.io/v2`")),
    }
    match text(disk, "kind")? {
        None | Some("Disk") => {}
        Some(_) => return Err(Condition::invalid("kind", "it is `Disk`")),
    }
    let metadata = object(disk.get("metadata").unwrap_or(&Value::Null), "metadata")?;
    let spec = object(disk.get("spec").unwrap_or(&Value::Null), "spec")?;
    runtime(spec)?;
    Ok(Wish {
        name: name(metadata)?,
        gib: capacity(spec, is_v2_capacity, "an even one from 4 to 512")?,
        labels: labels(metadata)?,
        region: text(metadata, "region")?.map(str::to_string),
    })
}

/// Which part of the second API's list is asked for. Empty parameters are as good as absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// Only disks after this place in the order of making.
    pub(crate) after: i64,
    /// At most so many.
    pub(crate) limit: usize,
    pub(crate) names: Vec<String>,
    pub(crate) regions: Vec<String>,
    pub(crate) status: Vec<String>,
    pub(crate) labels: Vec<(String, String)>,
}

/// The values of one name in the query, those between commas too.
fn values(request: &HttpRequest, name: &str) -> Vec<String> {
    let all = request.query_pairs().filter(|(n, _)| n == name);
    let split = all.flat_map(|(_, v)| v.split(',').map(str::to_string).collect::<Vec<_>>());
    split.filter(|v| !v.is_empty()).collect()
}

fn number<T: std::str::FromStr>(request: &HttpRequest, name: &str) -> Result<Option<T>, Condition> {
    match request.query_value(name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| Condition::invalid(name, "it is a number")),
    }
}

/// The query of the second API's list.
pub(crate) fn page(request: &HttpRequest) -> Result<Page, Condition> {
    let limit = number(request, "limit")?.unwrap_or(50);
    if limit == 0 || limit > PAGE_MAX {
        return Err(Condition::invalid("limit", format!("it is from 1 to {PAGE_MAX}")));
    }
    let label = |selector: String| match selector.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_string(), value.to_string())),
        _ => Err(Condition::invalid("labelSelector", "it has the form key=value")),
    };
    Ok(Page {
        after: number(request, "continue")?.unwrap_or(0),
        limit,
        names: values(request, "names"),
        regions: values(request, "regions"),
        status: values(request, "status"),
        labels: values(request, "labelSelector").into_iter().map(label).collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
#[path = "from_wire_tests.rs"]
mod tests;
