//! Backups.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use parpen_http::Reply;
use parpen_identity::{Power, may};
use parpen_model::lifecycle::BackupState;
use parpen_model::{Alias, Api, Attributes, Backup, BackupId, Condition, Kind, SnapshotId, Volume, VolumeId};
use parpen_service::backups::{self, Brought, CreateTerms, DeleteTerms, Edit, Into, NewBackup, Record, View};
use parpen_service::names::Naming;
use parpen_service::volumes::{self, NewVolume, Options};
use serde_json::{Value, json};

use crate::bootable;
use crate::cx::{Cx, one};
use crate::errors::fault;
use crate::fields::{BODY_MAX, Fields, refuse, required};
use crate::from_wire::{self, METADATA, OWN, ZONE};
use crate::known;
use crate::paging::{Listed, page};
use crate::states::{self, FREE, FREE_OR_HELD};
use crate::to_wire::{gib, links, maybe_time, name, own, texts, time, user};

/// Who can import what was exported here.
const SERVICE: &str = "parpen";
/// How volumes are called that are made for a backup's bytes, unless somebody names them.
const UNNAMED: &str = "restore_backup_";

impl Listed for View {
    const KIND: Kind = Kind::Backup;
    const SORTS: &'static [&'static str] =
        &["id", "name", "volume_id", "container", "object_count", "data_timestamp"];
    const FILTERS: &'static [&'static str] = &["name", "status", "volume_id"];

    fn id(&self) -> String {
        self.backup.id.to_string()
    }

    fn field(&self, name: &str) -> Option<Value> {
        let b = &self.backup;
        Some(match name {
            "id" => json!(b.id.to_string()),
            "name" | "display_name" => json!(b.name),
            "status" => json!(b.shown().word()),
            "size" => json!(gib(b.size)),
            "volume_id" => json!(b.volume.to_string()),
            "container" => json!(b.container),
            "object_count" => json!(b.objects),
            "created_at" => json!(time(b.stamp.created)),
            "updated_at" => maybe_time(b.stamp.updated),
            "data_timestamp" => json!(time(b.data)),
            "project_id" => json!(b.project.0.simple().to_string()),
            "user_id" => json!(b.attributes.text(OWN, "user_id")),
            _ => return None,
        })
    }

    fn metadata(&self, key: &str) -> Option<&str> {
        self.backup.attributes.text(METADATA, key)
    }
}

/// The backup that the path names.
fn id(cx: &Cx) -> Result<BackupId, Condition> {
    from_wire::id_in_path(Kind::Backup, cx.param("id")).map(BackupId)
}

async fn all(cx: &Cx) -> Result<Vec<View>, Condition> {
    let actor = cx.actor()?;
    let everyones = cx.asks("all_tenants");
    let all = backups::list(cx.ports(), actor).await?;
    Ok(all.into_iter().filter(|v| everyones || v.backup.project == actor.project).collect())
}

fn summary(cx: &Cx, b: &Backup) -> Value {
    json!({ "id": b.id.to_string(), "name": name(&b.name), "links": links(cx.look(), "backups", b.id) })
}

fn full(cx: &Cx, view: &View) -> Value {
    let b = &view.backup;
    let mut doc = summary(cx, b);
    let fields = doc.as_object_mut().expect("it was made as an object");
    let mut add = |since, key: &str, value| {
        if cx.version.has(since) {
            fields.insert(key.into(), value);
        }
    };
    add(0, "status", json!(b.shown().word()));
    add(0, "size", json!(gib(b.size)));
    add(0, "object_count", json!(b.objects));
    add(0, "availability_zone", json!(ZONE));
    add(0, "container", json!(b.container));
    add(0, "created_at", json!(time(b.stamp.created)));
    add(0, "updated_at", maybe_time(b.stamp.updated));
    add(0, "description", own(&b.attributes, "description"));
    add(0, "fail_reason", json!(b.fault));
    add(0, "volume_id", json!(b.volume.to_string()));
    add(0, "is_incremental", json!(b.incremental));
    add(0, "has_dependent_backups", json!(view.has_dependents));
    add(0, "snapshot_id", json!(b.snapshot.map(|s| s.to_string())));
    add(0, "data_timestamp", json!(time(b.data)));
    if cx.actor().is_ok_and(|actor| may(actor, Power::Operate, None).is_ok()) {
        add(18, "os-backup-project-attr:project_id", json!(b.project.0.simple().to_string()));
        add(56, "user_id", user(&b.attributes));
    }
    add(43, "metadata", texts(&b.attributes, METADATA));
    if let Some(key) = &b.key {
        add(64, "encryption_key_id", json!(key.id.to_string()));
    }
    doc
}

pub(crate) async fn list(cx: Cx) -> Result<Reply, Condition> {
    let page = page(&cx, all(&cx).await?)?;
    Ok(page.counted(&cx, "backups", "backups_links", |view| summary(&cx, &view.backup)))
}

pub(crate) async fn detail(cx: Cx) -> Result<Reply, Condition> {
    let page = page(&cx, all(&cx).await?)?;
    Ok(page.counted(&cx, "backups", "backups_links", |view| full(&cx, view)))
}

pub(crate) async fn show(cx: Cx) -> Result<Reply, Condition> {
    let view = backups::get(cx.ports(), cx.actor()?, id(&cx)?).await?;
    one(StatusCode::OK, "backup", full(&cx, &view))
}

/// A refusal in Cinder's words.
fn bad(text: &str) -> Result<Reply, Condition> {
    Ok(fault(StatusCode::BAD_REQUEST, text))
}

fn new_backup(cx: &Cx, fields: &Fields) -> Result<NewBackup, Condition> {
    if cx.version.has(51) {
        from_wire::zone(fields)?;
    }
    let metadata = if cx.version.has(43) { fields.texts("metadata")? } else { None };
    Ok(NewBackup {
        of: VolumeId(fields.required_id("volume_id")?),
        snapshot: fields.id("snapshot_id")?.map(SnapshotId),
        name: from_wire::name(fields)?.unwrap_or_default(),
        container: fields.text("container", 255)?.filter(|c| !c.is_empty()),
        incremental: fields.flag("incremental")?.unwrap_or(false),
        attributes: from_wire::attributes(fields, cx.actor()?, metadata)?,
    })
}

pub(crate) async fn create(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_known(&mut cx.request, "backup", cx.version, known::BACKUP).await?;
    let new = new_backup(&cx, &fields)?;
    let terms = CreateTerms { attached: fields.flag("force")?.unwrap_or(false), when: FREE_OR_HELD };
    match backups::create(cx.ports(), cx.actor()?, new, terms).await {
        Ok(begun) => one(StatusCode::ACCEPTED, "backup", summary(&cx, &begun.now)),
        Err(Condition::InUse { what: Kind::Volume, .. }) => {
            bad("Invalid volume: Backing up an in-use volume must use the force flag.")
        }
        Err(Condition::WrongState { what: Kind::Volume, actual, .. }) => bad(&format!(
            "Invalid volume: Volume to be backed up must be available or in-use, but the current status is \"{}\".",
            states::in_words(&actual)
        )),
        Err(Condition::WrongState { what: Kind::Snapshot, actual, .. }) => bad(&format!(
            "Invalid snapshot: Snapshot to be backed up must be available, but the current status is \"{}\".",
            states::in_words(&actual)
        )),
        Err(Condition::Invalid { field, why }) if field == "snapshot_id" => {
            bad(&format!("Invalid volume: {why}"))
        }
        Err(Condition::Invalid { field, why }) if field == "incremental" => {
            bad(&format!("Invalid backup: {why}"))
        }
        Err(e) => Err(e),
    }
}

pub(crate) async fn update(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_known(&mut cx.request, "backup", cx.version, known::BACKUP_CHANGE).await?;
    let edit = Edit { name: from_wire::new_name(&fields)?, attributes: from_wire::change(&fields)? };
    let changed = backups::edit(cx.ports(), cx.actor()?, id(&cx)?, edit).await?;
    one(StatusCode::OK, "backup", summary(&cx, &changed))
}

pub(crate) async fn delete(cx: Cx) -> Result<Reply, Condition> {
    match backups::delete(cx.ports(), cx.actor()?, id(&cx)?, DeleteTerms { dependents: false }).await {
        Ok(_) => Ok(Reply::empty(StatusCode::ACCEPTED)),
        Err(Condition::InUse { .. }) => bad("Invalid backup: Incremental backups exist for this backup."),
        Err(Condition::WrongState { .. }) => bad("Invalid backup: Backup status must be available or error"),
        Err(e) => Err(e),
    }
}

pub(crate) async fn force_delete(cx: Cx) -> Result<Reply, Condition> {
    let of = backups::get(cx.ports(), cx.actor()?, id(&cx)?).await?.backup;
    may(cx.actor()?, Power::Operate, Some(of.project))?;
    delete(cx).await
}

pub(crate) async fn reset(cx: Cx) -> Result<Reply, Condition> {
    let fields = cx.argument();
    let status = fields.get("status").ok_or_else(|| required("status"))?;
    let text = status.as_str().ok_or_else(|| refuse("status", status, "is not of type 'string'"))?;
    let to = BackupState::ALL.iter().find(|s| text.eq_ignore_ascii_case(s.word()));
    let Some(to) = to.filter(|s| matches!(s, BackupState::Available | BackupState::Error)) else {
        return bad(&format!(
            "Backup status: {text:.64} is invalid, valid statuses are: ['available', 'error']."
        ));
    };
    backups::reset(cx.ports(), cx.actor()?, id(&cx)?, *to).await?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

fn new_volume(cx: &Cx, name: String, id: VolumeId, attributes: Attributes) -> NewVolume {
    let aliases = vec![Alias { api: Api::StorPool, scope: String::new(), name: format!("os--volume-{id}") }];
    let mut attributes = attributes;
    if let Ok(actor) = cx.actor() {
        attributes.entry(OWN).insert("user_id".into(), json!(actor.principal.0.simple().to_string()));
    }
    NewVolume {
        id: Some(id),
        naming: Naming { name, own: None, aliases },
        options: Options { attributes, keep_failed: true, ..Options::default() },
        ..NewVolume::default()
    }
}

/// Metadata and image metadata come back where there were any; the name and description where nobody has given another
/// name.
fn bring(b: &Backup, v: &Volume) -> Brought {
    let mut back = Brought::default();
    back.attributes.set(OWN, v.attributes.get(OWN).cloned().unwrap_or_default());
    if !b.called.is_empty() && (v.name.is_empty() || v.name.starts_with(UNNAMED)) {
        back.name = Some(b.called.clone());
        back.attributes.entry(OWN).insert("description".into(), own(&b.described, "description"));
    }
    if let Some(metadata) = b.described.get(METADATA) {
        back.attributes.set(METADATA, metadata.clone());
    }
    bootable::from_backup(b, &mut back.attributes);
    back
}

pub(crate) async fn restore(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_known(&mut cx.request, "restore", cx.version, known::RESTORE).await?;
    let backup = id(&cx)?;
    let (before, into) = match fields.id("volume_id")? {
        Some(volume) => {
            let key = volumes::Key::Id(VolumeId(volume));
            let v = volumes::get(cx.ports(), cx.actor()?, &key).await?.volume;
            (v.name.clone(), Into::Existing(v.id, FREE))
        }
        None => {
            let name = from_wire::name(&fields)?.filter(|n| !n.is_empty());
            let name = name.unwrap_or_else(|| format!("{UNNAMED}{backup}"));
            let volume = VolumeId(cx.ports().entropy.uuid());
            let mut attributes = Attributes::default();
            attributes
                .entry(OWN)
                .insert("description".into(), json!("auto-created_from_restore_from_backup"));
            let mut new = new_volume(&cx, name.clone(), volume, attributes);
            let of = backups::get(cx.ports(), cx.actor()?, backup).await?.backup;
            new.size = Some(gib(of.size) * parpen_base::GIB);
            // Unlike `POST /volumes`, this call waits for the place of its volume and says when there is none.
            new.options.keep_failed = false;
            (name, Into::New(Box::new(new)))
        }
    };
    match backups::restore(cx.ports(), cx.actor()?, backup, into, bring).await {
        Ok(begun) => {
            let (volume, called) = (begun.now.id.to_string(), name(&before));
            let doc = json!({ "backup_id": backup.to_string(), "volume_id": volume, "volume_name": called });
            one(StatusCode::ACCEPTED, "restore", doc)
        }
        Err(Condition::WrongState { what: Kind::Backup, .. }) => {
            bad("Invalid backup: Backup status must be available")
        }
        Err(Condition::WrongState { .. } | Condition::InUse { .. }) => {
            bad("Invalid volume: Volume to be restored to must be available")
        }
        Err(Condition::Invalid { field, why }) if field == "size" => bad(&format!("Invalid volume: {why}")),
        Err(e) => Err(e),
    }
}

/// `POST /volumes` with a backup as the source.
pub(crate) async fn volume_from(
    cx: &Cx,
    backup: BackupId,
    mut new: NewVolume,
) -> Result<volumes::View, Condition> {
    let actor = cx.actor()?;
    let of = backups::get(cx.ports(), actor, backup).await?.backup;
    new.size = new.size.or(Some(gib(of.size) * parpen_base::GIB));
    let begun = backups::restore(cx.ports(), actor, backup, Into::New(Box::new(new)), bring).await?;
    volumes::get(cx.ports(), actor, &volumes::Key::Id(begun.now.id)).await
}

pub(crate) async fn export(cx: Cx) -> Result<Reply, Condition> {
    let record = match backups::export(cx.ports(), cx.actor()?, id(&cx)?).await {
        Err(Condition::WrongState { actual, .. }) => {
            return bad(&format!("Invalid backup: Backup status must be available and not {actual}."));
        }
        record => serde_json::to_vec(&record?).map_err(Condition::internal)?,
    };
    let doc = json!({ "backup_service": SERVICE, "backup_url": STANDARD.encode(record) });
    one(StatusCode::OK, "backup-record", doc)
}

pub(crate) async fn import(mut cx: Cx) -> Result<Reply, Condition> {
    let fields = Fields::read_known(&mut cx.request, "backup-record", cx.version, known::RECORD).await?;
    let service = fields.text("backup_service", 255)?.ok_or_else(|| required("backup_service"))?;
    let url = fields.text("backup_url", BODY_MAX)?.ok_or_else(|| required("backup_url"))?;
    may(cx.actor()?, Power::Operate, None)?;
    if service != SERVICE {
        return bad(&format!("Invalid backup: the record is for the service {service}; this is {SERVICE}"));
    }
    let bytes = STANDARD.decode(&url).ok();
    let record: Option<Record> = bytes.and_then(|b| serde_json::from_slice(&b).ok());
    let Some(record) = record else {
        return bad("Invalid input received: Can't parse backup record.");
    };
    match backups::import(cx.ports(), cx.actor()?, record).await {
        Ok(begun) => one(StatusCode::CREATED, "backup", summary(&cx, &begun.now)),
        Err(Condition::Exists { .. }) => bad("Invalid backup: Backup already exists in database."),
        Err(e) => Err(e),
    }
}
