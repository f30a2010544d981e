//! From bodies to what the core is asked for. Names are still to be looked up.

use parpen_model::{Condition, IoCeiling, WantedLimits};
use parpen_service::media::WantedPlacement;
use parpen_service::volumes::NewSize;
use serde_json::{Map, Value};

use crate::fields::Fields;
use crate::names::{self, CLIENT_MAX, client_spelling};
use crate::to_wire::{DESCRIPTION_MAX, describes};

/// Bytes in the unit of `bw`.
pub const BANDWIDTH_UNIT: u64 = 1024;

fn ceilings(f: &Fields<'_>) -> Result<WantedLimits, Condition> {
    let bytes_per_second = match f.ceiling("bw")? {
        Some(IoCeiling::At(n)) => Some(IoCeiling::At(
            n.checked_mul(BANDWIDTH_UNIT).ok_or_else(|| Condition::invalid("bw", "it is too large"))?,
        )),
        other => other,
    };
    Ok(WantedLimits { bytes_per_second, requests_per_second: f.ceiling("iops")? })
}

/// Names and values that a client hangs on a volume.
pub type Tags = Map<String, Value>;

fn tags(f: &Fields<'_>) -> Result<Option<Tags>, Condition> {
    let Some(value) = f.value("tags") else { return Ok(None) };
    let fits = |t: &str| t.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':'));
    let bad = || Condition::invalid("tags", "names and values are texts of A-Z a-z 0-9 _ - . :");
    let tags = value.as_object().ok_or_else(bad)?;
    let ok = |(k, v): (&String, &Value)| !k.is_empty() && fits(k) && v.as_str().is_some_and(fits);
    if tags.iter().all(ok) { Ok(Some(tags.clone())) } else { Err(bad()) }
}

fn placement(f: &Fields<'_>) -> Result<WantedPlacement, Condition> {
    let replication = match f.number("replication")? {
        None => None,
        Some(n @ 1..=3) => Some(n as u8),
        Some(_) => return Err(Condition::invalid("replication", "it is 1, 2 or 3")),
    };
    // The dash is how "none" is printed.
    let group = |field| Ok::<_, Condition>(f.name(field)?.filter(|g| *g != "-").map(str::to_string));
    let (all, head) = (group("placeAll")?, group("placeHead")?);
    if head.is_some() && head != all {
        let why = "a group of its own for the first replica is not implemented: placeHead must be placeAll";
        return Err(Condition::Unsupported(why.into()));
    }
    Ok(WantedPlacement { all, tail: group("placeTail")?, replication })
}

/// `VolumeCreate`.
#[derive(Debug, Default)]
pub struct VolumeCreate {
    /// None lets the service make one.
    pub name: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// A snapshot's name.
    pub parent: Option<String>,
    /// A volume's name.
    pub base_on: Option<String>,
    /// A template's name.
    pub template: Option<String>,
    /// Replicas.
    pub placement: WantedPlacement,
    /// Ceilings on I/O.
    pub ceilings: WantedLimits,
    /// What hangs on it.
    pub tags: Option<Tags>,
}

impl VolumeCreate {
    /// From a body.
    pub fn read(body: &Value) -> Result<VolumeCreate, Condition> {
        let f = Fields::of("body", body)?;
        let text = |field| Ok::<_, Condition>(f.name(field)?.map(str::to_string));
        let new = VolumeCreate {
            name: f.name("name")?.map(|n| names::volume_name("name", n)).transpose()?,
            size: f.size("size")?,
            parent: text("parent")?,
            base_on: text("baseOn")?,
            template: text("template")?,
            placement: placement(&f)?,
            ceilings: ceilings(&f)?,
            tags: tags(&f)?,
        };
        if new.parent.is_some() && new.base_on.is_some() {
            return Err(Condition::invalid("baseOn", "a volume has either a parent or a base"));
        }
        Ok(new)
    }
}

/// `VolumeUpdate`.
#[derive(Debug, Default)]
pub struct VolumeUpdate {
    /// The new name.
    pub rename: Option<String>,
    /// The new size.
    pub resize: Option<NewSize>,
    /// What lies beyond a smaller size may be lost.
    pub shrink_ok: bool,
    /// Ceilings on I/O.
    pub ceilings: WantedLimits,
    /// What hangs on it; an empty value takes a name off.
    pub tags: Option<Tags>,
}

/// Fields of an update that would move a volume or snapshot elsewhere.
const MOVES: [&str; 6] = ["template", "placeAll", "placeTail", "placeHead", "replication", "reuseServer"];

fn refuse_moves(f: &Fields<'_>) -> Result<(), Condition> {
    match MOVES.into_iter().find(|m| f.value(m).is_some()) {
        Some(field) => {
            Err(Condition::Unsupported(format!("changing {field} afterwards is not implemented yet")))
        }
        None => Ok(()),
    }
}

impl VolumeUpdate {
    /// From a body.
    pub fn read(body: &Value) -> Result<VolumeUpdate, Condition> {
        let f = Fields::of("body", body)?;
        refuse_moves(&f)?;
        let resize = match (f.size("size")?, f.size("sizeAdd")?) {
            (Some(_), Some(_)) => return Err(Condition::invalid("sizeAdd", "give either size or sizeAdd")),
            (to, by) => to.map(NewSize::To).or(by.map(NewSize::By)),
        };
        Ok(VolumeUpdate {
            rename: f.name("rename")?.map(|n| names::volume_name("rename", n)).transpose()?,
            resize,
            shrink_ok: f.flag("shrinkOk")?.unwrap_or(false),
            ceilings: ceilings(&f)?,
            tags: tags(&f)?,
        })
    }
}

/// `VolumeDelete`: whether those who have it attached are cut.
pub fn volume_delete(body: &Value) -> Result<bool, Condition> {
    match Fields::of("body", body)?.text("onAttached")? {
        None | Some("fail") => Ok(false),
        Some("detachForce") => Ok(true),
        Some("detach") => {
            Err(Condition::Unsupported("onAttached detach is not implemented yet; detach it first".into()))
        }
        Some(_) => Err(Condition::invalid("onAttached", "it is fail, detach or detachForce")),
    }
}

/// `VolumeRevert`: the snapshot's name.
pub fn volume_revert(body: &Value) -> Result<String, Condition> {
    let name = Fields::of("body", body)?.name("toSnapshot")?;
    name.map(str::to_string).ok_or_else(|| Condition::invalid("toSnapshot", "it is missing"))
}

/// `VolumeSnapshot`.
#[derive(Debug, Default)]
pub struct SnapshotCreate {
    /// None lets the service make one.
    pub name: Option<String>,
    /// It lives only as long as something was made from it.
    pub bind: bool,
    /// What hangs on it.
    pub tags: Option<Tags>,
}

/// A date at which a snapshot would vanish by itself.
fn refuse_dates(f: &Fields<'_>) -> Result<(), Condition> {
    for field in ["targetDeleteDate", "deleteAfter"] {
        if f.number(field)?.is_some_and(|n| n != 0) {
            return Err(Condition::Unsupported(format!("{field} is not implemented yet")));
        }
    }
    Ok(())
}

/// `VolumeFreeze`: nothing can be said but when it would vanish.
pub fn volume_freeze(body: &Value) -> Result<(), Condition> {
    refuse_dates(&Fields::of("body", body)?)
}

/// `VolumeRebase` and `SnapshotRebase`: the new parent's name; none: to base.
pub fn rebase(body: &Value) -> Result<Option<String>, Condition> {
    Ok(Fields::of("body", body)?.name("parentName")?.map(str::to_string))
}

/// One volume of [`GroupSnapshot`].
#[derive(Debug, Default)]
pub struct GroupMember {
    /// The volume's name.
    pub volume: String,
    /// The snapshot's; none lets the service make one.
    pub name: Option<String>,
    /// What hangs on it.
    pub tags: Option<Tags>,
}

/// `VolumesGroupSnapshot`.
#[derive(Debug, Default)]
pub struct GroupSnapshot {
    /// The volumes.
    pub volumes: Vec<GroupMember>,
    /// What hangs on all of the snapshots.
    pub tags: Option<Tags>,
}

impl GroupSnapshot {
    /// From a body.
    pub fn read(body: &Value) -> Result<GroupSnapshot, Condition> {
        let f = Fields::of("body", body)?;
        let bad = || Condition::invalid("volumes", "it is a list of objects, each with a volume");
        let list = f.value("volumes").and_then(Value::as_array).filter(|l| !l.is_empty()).ok_or_else(bad)?;
        let member = |one: &Value| {
            let f = Fields::of("volumes", one)?;
            Ok(GroupMember {
                volume: f.name("volume")?.ok_or_else(bad)?.to_string(),
                name: f.name("name")?.map(|n| names::snapshot_name("name", n)).transpose()?,
                tags: tags(&f)?,
            })
        };
        Ok(GroupSnapshot {
            volumes: list.iter().map(member).collect::<Result<_, Condition>>()?,
            tags: tags(&f)?,
        })
    }
}

impl SnapshotCreate {
    /// From a body.
    pub fn read(body: &Value) -> Result<SnapshotCreate, Condition> {
        let f = Fields::of("body", body)?;
        refuse_dates(&f)?;
        Ok(SnapshotCreate {
            name: f.name("name")?.map(|n| names::snapshot_name("name", n)).transpose()?,
            bind: f.flag("bind")?.unwrap_or(false),
            tags: tags(&f)?,
        })
    }
}

/// `SnapshotUpdate`.
#[derive(Debug, Default)]
pub struct SnapshotUpdate {
    /// The new name.
    pub rename: Option<String>,
    /// It lives only as long as something was made from it.
    pub bind: Option<bool>,
    /// What hangs on it; an empty value takes a name off.
    pub tags: Option<Tags>,
}

impl SnapshotUpdate {
    /// From a body.
    pub fn read(body: &Value) -> Result<SnapshotUpdate, Condition> {
        let f = Fields::of("body", body)?;
        refuse_moves(&f)?;
        refuse_dates(&f)?;
        if !ceilings(&f)?.is_empty() {
            return Err(Condition::Unsupported("ceilings of a snapshot are not implemented yet".into()));
        }
        Ok(SnapshotUpdate {
            rename: f.name("rename")?.map(|n| names::snapshot_name("rename", n)).transpose()?,
            bind: f.flag("bind")?,
            tags: tags(&f)?,
        })
    }
}

/// What is attached or detached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A volume's name.
    Volume(String),
    /// A snapshot's name.
    Snapshot(String),
}

/// Who loses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// Everybody.
    All,
    /// These, by spelling.
    These(Vec<String>),
}

/// One entry of `VolumesReassign`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassign {
    /// Which.
    pub target: Target,
    /// Who loses it.
    pub detach: Leaving,
    /// Who gets it to read, by spelling.
    pub ro: Vec<String>,
    /// Who gets it to read and write, by spelling.
    pub rw: Vec<String>,
    /// Also from those who have it open.
    pub force: bool,
}

impl Reassign {
    /// All entries of a list.
    pub fn read_all(list: &Value) -> Result<Vec<Reassign>, Condition> {
        let bad = || Condition::invalid("body", "it must be a list of volumes and snapshots");
        list.as_array().ok_or_else(bad)?.iter().map(Reassign::read).collect()
    }

    /// `VolumesReassignWait`: the list stands in a member. Our attachments are there when the call returns,
    /// so there is nothing for its timeout to limit.
    pub fn read_waiting(body: &Value) -> Result<Vec<Reassign>, Condition> {
        let f = Fields::of("body", body)?;
        f.number("attachTimeout")?;
        let list = f.value("reassign");
        Reassign::read_all(list.ok_or_else(|| Condition::invalid("reassign", "it is missing"))?)
    }

    fn read(entry: &Value) -> Result<Reassign, Condition> {
        let f = Fields::of("body", entry)?;
        let clients = |field| {
            let ids = f.numbers(field, 1, CLIENT_MAX)?;
            Ok::<_, Condition>(ids.into_iter().map(client_spelling).collect::<Vec<_>>())
        };
        let target = match (f.name("volume")?, f.name("snapshot")?) {
            (Some(v), None) => Target::Volume(v.to_string()),
            (None, Some(s)) => Target::Snapshot(s.to_string()),
            _ => return Err(Condition::invalid("volume", "each entry names one volume or one snapshot")),
        };
        let detach = match f.value("detach").and_then(Value::as_str) {
            Some("all") => Leaving::All,
            _ => Leaving::These(clients("detach")?),
        };
        let (ro, rw) = (clients("ro")?, clients("rw")?);
        if !rw.is_empty() && matches!(target, Target::Snapshot(_)) {
            return Err(Condition::invalid("rw", "a snapshot is attached ro only"));
        }
        if let Some(both) = rw.iter().find(|c| ro.contains(c)) {
            return Err(Condition::invalid("rw", format!("{both} cannot get both ro and rw")));
        }
        Ok(Reassign { target, detach, ro, rw, force: f.flag("force")?.unwrap_or(false) })
    }
}

/// `VolumeTemplateCreate`.
#[derive(Debug)]
pub struct TemplateCreate {
    /// Its name.
    pub name: String,
    /// The snapshot that new volumes grow from.
    pub parent: Option<String>,
    /// Bytes of new volumes that name none.
    pub size: Option<u64>,
    /// Replicas.
    pub placement: WantedPlacement,
    /// Ceilings on I/O.
    pub ceilings: WantedLimits,
}

impl TemplateCreate {
    /// From a body.
    pub fn read(body: &Value) -> Result<TemplateCreate, Condition> {
        let f = Fields::of("body", body)?;
        let name = f.text("name")?.ok_or_else(|| Condition::invalid("name", "it is missing"))?;
        Ok(TemplateCreate {
            name: names::template_name("name", name)?,
            parent: f.name("parent")?.map(str::to_string),
            size: f.size("size")?,
            placement: placement(&f)?,
            ceilings: ceilings(&f)?,
        })
    }
}

/// `VolumeTemplateUpdate`.
#[derive(Debug)]
pub struct TemplateUpdate {
    /// Another name.
    pub rename: Option<String>,
    /// The snapshot that new volumes grow from.
    pub parent: Option<String>,
    /// Bytes of new volumes that name none.
    pub size: Option<u64>,
    /// Replicas.
    pub placement: WantedPlacement,
    /// Ceilings on I/O.
    pub ceilings: WantedLimits,
    /// What exists already is changed, too.
    pub propagate: bool,
}

impl TemplateUpdate {
    /// From a body.
    pub fn read(body: &Value) -> Result<TemplateUpdate, Condition> {
        let f = Fields::of("body", body)?;
        Ok(TemplateUpdate {
            rename: f.name("rename")?.map(|n| names::template_name("rename", n)).transpose()?,
            parent: f.name("parent")?.map(str::to_string),
            size: f.size("size")?,
            placement: placement(&f)?,
            ceilings: ceilings(&f)?,
            propagate: f.flag("propagate")?.unwrap_or(false),
        })
    }
}

/// `DiskSetDescription`: 30 characters at most, of letters, digits, blanks and `_-`.
pub fn disk_description(body: &Value) -> Result<String, Condition> {
    let text = Fields::of("the body", body)?.text("description")?;
    let text = text.ok_or_else(|| Condition::invalid("description", "it is missing"))?;
    if text.len() > DESCRIPTION_MAX || !text.chars().all(describes) {
        let why = "it may have 30 characters: A-Z a-z 0-9 _ - and blanks";
        return Err(Condition::invalid("description", why));
    }
    Ok(text.to_string())
}

/// What `VolumeBalancerStatus` is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalancerCommand {
    /// Make plans.
    Start,
    /// Give them up.
    Stop,
    /// Carry them out.
    Commit,
    /// Make them and carry them out, now and by itself later.
    Auto,
}

/// `VolumeBalancerStatus`.
pub fn balancer_command(body: &Value) -> Result<BalancerCommand, Condition> {
    match Fields::of("the body", body)?.text("cmd")? {
        Some("start") => Ok(BalancerCommand::Start),
        Some("stop") => Ok(BalancerCommand::Stop),
        Some("commit") => Ok(BalancerCommand::Commit),
        Some("auto") => Ok(BalancerCommand::Auto),
        _ => Err(Condition::invalid("cmd", "it is start, stop, commit or auto")),
    }
}
