//! From Cinder's request documents to the core's commands. Where APIs differ in what they allow, the terms are filled
//! with this API's constants here.

use parpen_base::GIB;
use parpen_identity::Actor;
use parpen_model::{
    Alias, Api, Attributes, Condition, Kind, Rights, SnapshotId, VolumeId, VolumeType, VolumeTypeId,
};
use parpen_service::attachments::{Connect, Reserve};
use parpen_service::names::Naming;
use parpen_service::snapshots::NewSnapshot;
use parpen_service::volumes::{self, ChangeAttributes, From, NewVolume, Options, Place, SIZE_MAX};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::fields::{Fields, refuse, required};
use crate::microversion::Microversion;
use crate::states::{FREE, FREE_OR_HELD, bad};

/// Where this API keeps its own fields, and its documents of texts.
pub(crate) const OWN: &str = "openstack";
pub(crate) const METADATA: &str = "openstack.metadata";
pub(crate) const IMAGE: &str = "openstack.image";
pub(crate) const CONNECTOR: &str = "openstack.connector";

/// The zone that everything is in.
pub(crate) const ZONE: &str = "nova";
/// The type of a volume that is linked to none.
pub(crate) const DEFAULT_TYPE: &str = "__DEFAULT__";
/// Its id: the one UUID that no row ever has.
pub(crate) const DEFAULT_TYPE_ID: Uuid = Uuid::nil();

/// Longest name and description, in characters.
const TEXT_MAX: usize = 255;

/// An id in a path. What is none names nothing: clients look things up by name through the same path first.
pub(crate) fn id_in_path(kind: Kind, text: &str) -> Result<Uuid, Condition> {
    Uuid::parse_str(text).map_err(|_| Condition::not_found(kind, text))
}

/// The name that a document gives, in the new or the old spelling.
pub(crate) fn name(fields: &Fields) -> Result<Option<String>, Condition> {
    Ok(fields.text("name", TEXT_MAX)?.or(fields.text("display_name", TEXT_MAX)?))
}

/// The name that a change gives; an explicit null empties it.
pub(crate) fn new_name(fields: &Fields) -> Result<Option<String>, Condition> {
    let said = ["name", "display_name"].iter().any(|key| fields.0.contains_key(*key));
    Ok(if said { Some(name(fields)?.unwrap_or_default()) } else { None })
}

/// The description that a document gives; an explicit null empties it.
pub(crate) fn description(fields: &Fields) -> Result<Option<Value>, Condition> {
    for key in ["description", "display_description"] {
        if fields.0.contains_key(key) {
            return Ok(Some(fields.text(key, TEXT_MAX)?.map_or(Value::Null, Value::String)));
        }
    }
    Ok(None)
}

/// Gibibytes as bytes; more than any volume can have is over quota, as Cinder says it, and more than its numbers can
/// be is no size.
fn bytes(field: &str, gib: u64) -> Result<u64, Condition> {
    if i32::try_from(gib).is_err() {
        return Err(refuse(field, &json!(gib), "is greater than the maximum of 2147483647"));
    }
    let limit = SIZE_MAX / GIB;
    if gib > limit {
        return Err(Condition::QuotaExceeded { what: "gigabytes".into(), limit, used: 0, asked: gib });
    }
    Ok(gib * GIB)
}

/// What is kept with something new: who made it, a description, metadata.
pub(crate) fn attributes(
    fields: &Fields,
    who: &Actor,
    metadata: Option<Map<String, Value>>,
) -> Result<Attributes, Condition> {
    let mut all = Attributes::default();
    let own = all.entry(OWN);
    own.insert("user_id".into(), json!(who.principal.0.simple().to_string()));
    if let Some(description) = description(fields)?.filter(|d| !d.is_null()) {
        own.insert("description".into(), description);
    }
    all.set(METADATA, metadata.unwrap_or_default());
    Ok(all)
}

/// The volume type that a document names, by name or id; the default one is no type at all.
pub(crate) fn volume_type(types: &[VolumeType], name: &str) -> Result<Option<VolumeTypeId>, Condition> {
    let id = Uuid::parse_str(name).ok();
    if name == DEFAULT_TYPE || id == Some(DEFAULT_TYPE_ID) {
        return Ok(None);
    }
    let found = types.iter().find(|t| t.name == name || Some(t.id.0) == id);
    found.map(|t| Some(t.id)).ok_or_else(|| Condition::not_found(Kind::VolumeType, name))
}

/// What is made elsewhere and not here.
fn refuse_foreign_sources(fields: &Fields) -> Result<(), Condition> {
    match fields.get("cluster") {
        Some(_) => Err(Condition::Unsupported("a volume in a cluster is not implemented here".into())),
        None => Ok(()),
    }
}

/// Refuses any zone but the one there is.
pub(crate) fn zone(fields: &Fields) -> Result<(), Condition> {
    match fields.text("availability_zone", TEXT_MAX)? {
        Some(zone) if zone != ZONE => {
            Err(Condition::invalid("availability_zone", format!("Availability zone '{zone}' is invalid.")))
        }
        _ => Ok(()),
    }
}

/// `POST /volumes`. `id` is drawn before, for the name by which StorPool's bindings will know the volume.
pub(crate) fn new_volume(
    fields: &Fields,
    who: &Actor,
    types: &[VolumeType],
    id: VolumeId,
) -> Result<NewVolume, Condition> {
    refuse_foreign_sources(fields)?;
    if fields.flag("multiattach")?.unwrap_or(false) {
        return Err(bad(
            "multiattach parameter has been removed. The default behavior is to use multiattach enabled volume types. \
             Contact your administrator to create a multiattach enabled volume type and use it to create multiattach \
             volumes.",
        ));
    }
    zone(fields)?;
    let given = |name: &str| fields.get(name).is_some_and(|v| v != "");
    let sources = ["backup_id", "imageRef", "snapshot_id", "source_volid"];
    if sources.iter().filter(|s| given(s)).count() > 1 {
        return Err(bad(
            "Invalid input received: May specify only one of backup, imageRef, snapshot, source volume",
        ));
    }
    let from = match (fields.id("snapshot_id")?, fields.id("source_volid")?) {
        (Some(snapshot), _) => From::Snapshot(SnapshotId(snapshot)),
        (None, Some(volume)) => From::Volume(VolumeId(volume)),
        (None, None) => From::Blank,
    };
    let size = fields.whole("size", 1)?.map(|n| bytes("size", n)).transpose()?;
    if size.is_none() && from == From::Blank && fields.get("backup_id").is_none() {
        return Err(required("size"));
    }
    let kind = fields.text("volume_type", TEXT_MAX)?.filter(|t| !t.is_empty());
    let volume_type = kind.map(|t| volume_type(types, &t)).transpose()?.flatten();
    let naming = Naming {
        name: name(fields)?.unwrap_or_default(),
        own: None,
        aliases: vec![Alias { api: Api::StorPool, scope: String::new(), name: format!("os--volume-{id}") }],
    };
    let options = Options {
        project: None,
        shared: false,
        attributes: attributes(fields, who, fields.texts("metadata")?)?,
        group: None,
        source: if matches!(from, From::Volume(_)) { FREE_OR_HELD } else { FREE },
        keep_failed: true,
    };
    let place = Place { volume_type, ..Place::default() };
    Ok(NewVolume { id: Some(id), naming, size, from, place, options })
}

/// `POST /snapshots`: the volume, and the snapshot.
pub(crate) fn new_snapshot(
    fields: &Fields,
    who: &Actor,
    id: SnapshotId,
    version: Microversion,
) -> Result<(VolumeId, NewSnapshot), Condition> {
    // Cinder's schema lets null through, and then looks for the volume of that name.
    if fields.0.get("volume_id").is_some_and(Value::is_null) {
        return Err(Condition::not_found(Kind::Volume, "None"));
    }
    let of = VolumeId(fields.required_id("volume_id")?);
    // Until 3.66 `force` had to be said of a volume that is attached; since then it may not be denied.
    if fields.flag("force")? == Some(false) && version.has(66) {
        return Err(bad(
            "Since microversion 3.66 the 'force' flag is invalid for this request.  For backward compatability, \
             however, when the 'force' flag is passed with a value evaluating to True, it is silently ignored.",
        ));
    }
    let naming = Naming {
        name: name(fields)?.unwrap_or_default(),
        own: None,
        aliases: vec![Alias {
            api: Api::StorPool,
            scope: String::new(),
            name: format!("os--snap--snapshot-{id}"),
        }],
    };
    let attributes = attributes(fields, who, fields.texts("metadata")?)?;
    Ok((of, NewSnapshot { id: Some(id), naming, attributes, ..NewSnapshot::default() }))
}

/// The change that a `PUT` of a volume or snapshot makes to what is kept with it.
pub(crate) fn change(fields: &Fields) -> Result<Option<ChangeAttributes>, Condition> {
    let (description, metadata) = (description(fields)?, fields.texts("metadata")?);
    if description.is_none() && metadata.is_none() {
        return Ok(None);
    }
    Ok(Some(Box::new(move |attributes: &mut Attributes| {
        if let Some(description) = &description {
            attributes.entry(OWN).insert("description".into(), description.clone());
        }
        if let Some(metadata) = &metadata {
            attributes.set(METADATA, metadata.clone());
        }
    })))
}

/// `PUT /volumes/{id}`.
pub(crate) fn edit_volume(fields: &Fields) -> Result<volumes::Edit, Condition> {
    Ok(volumes::Edit { name: new_name(fields)?, attributes: change(fields)?, ..volumes::Edit::default() })
}

/// `os-extend`: the new size in bytes.
pub(crate) fn new_size(fields: &Fields) -> Result<u64, Condition> {
    bytes("new_size", fields.whole("new_size", 1)?.ok_or_else(|| required("new_size"))?)
}

/// The rights that an attachment asks for.
fn rights(fields: &Fields) -> Result<Rights, Condition> {
    match fields.text("mode", TEXT_MAX)?.as_deref() {
        None | Some("rw" | "null") => Ok(Rights::ReadWrite),
        Some("ro") => Ok(Rights::ReadOnly),
        Some(other) => Err(refuse("mode", &json!(other), "is not one of ['rw', 'ro']")),
    }
}

/// `POST /attachments`: what is announced, and who connects at once if a connector came with it.
pub(crate) fn new_attachment(
    fields: &Fields,
    version: Microversion,
) -> Result<(Reserve, Option<Connect>), Condition> {
    // Before 3.54 the connector said it, and it still may.
    let of_connector = match fields.get("connector") {
        Some(Value::Object(map)) => rights(&Fields(map.clone()))?,
        _ => Rights::ReadWrite,
    };
    let said = fields.get("mode").is_some_and(|m| m != "null") && version.has(54);
    let reserve = Reserve {
        volume: VolumeId(fields.required_id("volume_uuid")?),
        rights: if said { rights(fields)? } else { of_connector },
        instance: fields.text("instance_uuid", TEXT_MAX)?.filter(|i| !i.is_empty()),
        attributes: Attributes::default(),
    };
    Ok((reserve, connector(fields)?))
}

/// The connector of a document. Its host is the spelling by which every side knows the holder.
pub(crate) fn connector(fields: &Fields) -> Result<Option<Connect>, Condition> {
    let connector = match fields.get("connector") {
        None => return Ok(None),
        Some(Value::Object(map)) if map.is_empty() => return Ok(None),
        Some(Value::Object(map)) => Fields(map.clone()),
        Some(other) => return Err(refuse("connector", other, "is not of type 'object'")),
    };
    let host = connector.text("host", TEXT_MAX)?.or(connector.text("ip", TEXT_MAX)?);
    let host = host.filter(|h| !h.is_empty()).ok_or_else(|| required("host"))?;
    let mountpoint = connector.text("mountpoint", TEXT_MAX)?;
    let mut attributes = Attributes::default();
    attributes.set(CONNECTOR, connector.0);
    Ok(Some(Connect { host, mountpoint, attributes }))
}
