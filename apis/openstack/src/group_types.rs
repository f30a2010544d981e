//! Types of groups and their specs.

use http::StatusCode;
use parpen_http::Reply;
use parpen_identity::{Power, may};
use parpen_model::{Attributes, Condition, GroupType, Kind};
use parpen_service::groups::{self, NewType, TypeEdit};
use parpen_service::volumes::ChangeAttributes;
use serde_json::{Map, Value, json};

use crate::cx::{Cx, one};
use crate::errors::fault;
use crate::fields::{Fields, document, required, truth};
use crate::from_wire::METADATA;
use crate::known;
use crate::paging::{Listed, page};
use crate::states::bad;
use crate::strict::check_specs;
use crate::to_wire::{texts, time};

impl Listed for GroupType {
    const KIND: Kind = Kind::GroupType;
    const SORTS: &'static [&'static str] = &["id", "name"];

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "id" => json!(self.id.to_string()),
            "name" => json!(self.name),
            "created_at" => json!(time(self.stamp.created)),
            _ => return None,
        })
    }

    fn metadata(&self, _: &str) -> Option<&str> {
        None
    }
}

/// A group type; its specs are for operators to see.
fn printed(cx: &Cx, t: &GroupType) -> Value {
    let mut doc = json!({
        "id": t.id.to_string(),
        "name": t.name,
        "description": t.description,
        "is_public": t.public,
    });
    if cx.is_admin() {
        doc["group_specs"] = texts(&t.attributes, METADATA);
    }
    doc
}

/// The group type that the path names, which must be an id: a name is looked up through the list.
async fn get(cx: &Cx) -> Result<GroupType, Condition> {
    let id = crate::from_wire::id_in_path(Kind::GroupType, cx.param("id"))?;
    groups::get_type(cx.ports(), cx.actor()?, &id.to_string()).await
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    let all = groups::list_types(cx.ports(), cx.actor()?).await?;
    // Everybody but operators sees public ones alone; an operator who does not say `none` means those too.
    let public = match cx.request.query_value("is_public") {
        Some(text) if text.eq_ignore_ascii_case("none") => None,
        Some(text) => Some(truth(&text).ok_or_else(|| bad(format!("Invalid is_public filter [{text}]")))?),
        None => Some(true),
    };
    let wanted = |t: &GroupType| public.is_none_or(|p| p == t.public);
    let page = page(&cx, all.into_iter().filter(wanted).collect())?;
    Ok(page.reply("group_types", "group_type_links", |t| printed(&cx, t)))
}

/// What keys of specs may hold besides letters and digits.
const SPEC_KEYS: &str = "-_:.";

pub(crate) async fn default(cx: Cx) -> Result<Reply, Condition> {
    cx.actor()?;
    // No group type is made the default here, as in a fresh Cinder.
    Ok(fault(StatusCode::NOT_FOUND, "Default group type can not be found."))
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    one(StatusCode::OK, "group_type", printed(&cx, &get(&cx).await?))
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_known(&mut cx.request, "group_type", cx.version, known::GROUP_TYPE).await?;
    let name = fields.text("name", 255)?.ok_or_else(|| required("name"))?;
    if name.is_empty() {
        return Err(crate::fields::refuse("name", &json!(""), "is too short"));
    }
    let mut attributes = Attributes::default();
    attributes.set(METADATA, fields.texts("group_specs")?.unwrap_or_default());
    let new = NewType {
        name,
        description: fields.text("description", 255)?,
        public: fields.flag("is_public")?.unwrap_or(true),
        attributes,
    };
    let made = groups::create_type(cx.ports(), cx.actor()?, new).await.map_err(taken)?;
    one(StatusCode::ACCEPTED, "group_type", printed(&cx, &made))
}

fn taken(condition: Condition) -> Condition {
    match condition {
        Condition::Exists { name, .. } => Condition::Conflict(format!("Group Type {name} already exists.")),
        other => other,
    }
}

pub(crate) async fn update(mut cx: Cx) -> Result<Reply, Condition> {
    let fields =
        Fields::read_known(&mut cx.request, "group_type", cx.version, known::GROUP_TYPE_CHANGE).await?;
    may(cx.actor()?, Power::Operate, None)?;
    let t = get(&cx).await?;
    let (name, description) = (fields.text("name", 255)?, fields.text("description", 255)?);
    let public = fields.flag("is_public")?;
    if name.as_ref().is_some_and(String::is_empty) {
        return Err(bad("Group type name can not be empty."));
    }
    if name.is_none() && description.is_none() && public.is_none() {
        return Err(bad("Specify group type name, description or a combination thereof."));
    }
    let edit = TypeEdit { name, description, public, attributes: None };
    let changed = groups::edit_type(cx.ports(), cx.actor()?, t.id, edit).await.map_err(taken)?;
    one(StatusCode::OK, "group_type", printed(&cx, &changed))
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    let t = get(&cx).await?;
    groups::delete_type(cx.ports(), cx.actor()?, t.id).await.map_err(|condition| match condition {
        Condition::InUse { .. } => bad("Target group type is still in use."),
        other => other,
    })?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

fn specs_of(t: &GroupType) -> Map<String, Value> {
    t.attributes.get(METADATA).cloned().unwrap_or_default()
}

/// The group type, for operators: specs are theirs alone.
async fn operated(cx: &Cx) -> Result<GroupType, Condition> {
    may(cx.actor()?, Power::Operate, None)?;
    get(cx).await
}

async fn change(
    cx: &Cx,
    t: &GroupType,
    how: impl Fn(&mut Map<String, Value>) + Send + 'static,
) -> Result<(), Condition> {
    let attributes: ChangeAttributes = Box::new(move |attributes| {
        let mut specs = attributes.get(METADATA).cloned().unwrap_or_default();
        how(&mut specs);
        attributes.set(METADATA, specs);
    });
    let edit = TypeEdit { attributes: Some(attributes), ..TypeEdit::default() };
    groups::edit_type(cx.ports(), cx.actor()?, t.id, edit).await.map(|_| ())
}

pub(crate) async fn specs(cx: Cx) -> Result<Reply, Condition> {
    one(StatusCode::OK, "group_specs", Value::Object(specs_of(&operated(&cx).await?)))
}

pub(crate) async fn specs_set(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields(document(&mut cx.request).await?);
    let more = fields.specs("group_specs", SPEC_KEYS)?.ok_or_else(|| required("group_specs"))?;
    let t = operated(&cx).await?;
    let given = more.clone();
    change(&cx, &t, move |specs| specs.extend(more.clone())).await?;
    one(StatusCode::ACCEPTED, "group_specs", Value::Object(given))
}

fn no_spec(t: &GroupType, key: &str) -> Condition {
    Condition::not_found(Kind::Other, format!("Group Type {} has no extra spec with key {key}.", t.id))
}

pub(crate) async fn spec(cx: Cx) -> Result<Reply, Condition> {
    let t = operated(&cx).await?;
    let key = cx.param("key").to_string();
    let value = specs_of(&t).remove(&key).ok_or_else(|| no_spec(&t, &key))?;
    Ok(Reply::json(StatusCode::OK, &Map::from_iter([(key, value)])))
}

pub(crate) async fn spec_set(mut cx: Cx) -> Result<Reply, Condition> {
    let body = document(&mut cx.request).await?;
    let t = operated(&cx).await?;
    let key = cx.param("key").to_string();
    if body.len() != 1 || !body.contains_key(&key) {
        return Err(bad("Request body and URI mismatch"));
    }
    check_specs("body", &body, SPEC_KEYS)?;
    let more = body;
    let given = more.clone();
    change(&cx, &t, move |specs| specs.extend(more.clone())).await?;
    Ok(Reply::json(StatusCode::OK, &given))
}

pub(crate) async fn spec_delete(cx: Cx) -> Result<Reply, Condition> {
    let t = operated(&cx).await?;
    let key = cx.param("key").to_string();
    if !specs_of(&t).contains_key(&key) {
        return Err(no_spec(&t, &key));
    }
    change(&cx, &t, move |specs| {
        specs.shift_remove(&key);
    })
    .await?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}
