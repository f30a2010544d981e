//! Identity v3 as far as clients of Block Storage, and the suites that set up their users, ask for it.

pub(crate) mod applications;
pub(crate) mod lookups;
pub(crate) mod projects;
pub(crate) mod roles;
pub(crate) mod tokens;
pub(crate) mod users;

use http::StatusCode;
use parpen_http::Reply;
use parpen_model::{Condition, ProjectId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cx::{Cx, House};
use crate::endpoint::Endpoint;
use crate::fields::{Fields, refuse};
use crate::strict::TEXT_MAX;

#[cfg(test)]
pub(crate) use tokens::check_login;
pub(crate) use tokens::{bearer, is_service};

/// The only domain.
pub(crate) const DOMAIN_ID: &str = "default";
pub(crate) const DOMAIN_NAME: &str = "Default";

/// Where people log in elsewhere, nothing but the way there is told here.
pub(crate) fn check_here(house: &House, endpoint: Endpoint) -> Result<(), Condition> {
    match house.bearers.elsewhere() {
        Some(at) if endpoint.is_identity() && !endpoint.is_identity_version() => {
            Err(Condition::Unsupported(format!(
                "Projects, users and tokens of this service are those of the Keystone at {at}: set OS_AUTH_URL to it."
            )))
        }
        _ => Ok(()),
    }
}

/// The only domain, as a part of other documents.
fn domain() -> Value {
    json!({ "id": DOMAIN_ID, "name": DOMAIN_NAME })
}

fn hex(id: Uuid) -> String {
    id.simple().to_string()
}

/// The id that a document gives to something; an explicit null is none.
fn project_field(fields: &Fields, name: &str) -> Result<Option<ProjectId>, Condition> {
    Ok(fields.id(name)?.map(ProjectId))
}

/// The domain that something new is to be in.
fn check_domain_id(fields: &Fields) -> Result<(), Condition> {
    match fields.text("domain_id", TEXT_MAX)? {
        Some(id) if id != DOMAIN_ID => {
            Err(Condition::not_found(parpen_model::Kind::Other, format!("domain: {id}")))
        }
        _ => Ok(()),
    }
}

/// Refuses what would be kept and then not obeyed.
fn refuse_unkept(fields: &Fields, names: &[&str]) -> Result<(), Condition> {
    for name in names {
        let empty = match fields.get(name) {
            None => true,
            Some(Value::Array(all)) => all.is_empty(),
            Some(Value::Object(all)) => all.is_empty(),
            Some(Value::Bool(b)) => !b,
            Some(_) => false,
        };
        if !empty {
            return Err(refuse(name, &fields.0[*name], "is not kept by this service"));
        }
    }
    Ok(())
}

/// A list in Identity's frame, those of the items that the query's `name` and the like fit.
fn listed(
    cx: &Cx,
    key: &str,
    filters: &[&str],
    items: impl IntoIterator<Item = Value>,
) -> Result<Reply, Condition> {
    let wanted: Vec<(&str, String)> =
        filters.iter().filter_map(|f| Some((*f, cx.request.query_value(f)?))).collect();
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_string);
    let fits = |item: &Value, (field, want): &(&str, String)| match item.get(*field) {
        // The one domain's name is matched in any case, as clients write it.
        Some(have) if key == "domains" => text(have).eq_ignore_ascii_case(want),
        Some(Value::Bool(have)) => crate::fields::truth(want).is_none_or(|w| w == *have),
        Some(have) => text(have) == *want,
        None => true,
    };
    let items: Vec<Value> = items.into_iter().filter(|i| wanted.iter().all(|w| fits(i, w))).collect();
    let own = format!("{}{}", cx.base, cx.request.path());
    let body = json!({ key: items, "links": { "self": own, "next": null, "previous": null } });
    Ok(Reply::json(StatusCode::OK, &body))
}
