//! Rows from labels: what a store holds and the database does not know comes back under its own id and names.

use std::collections::HashSet;

use parpen_model::lifecycle::{Health, Life, Usage};
use parpen_model::ports::MetaStore;
use parpen_model::{
    Alias, Attributes, Condition, Found, Handle, Label, Limits, Placement, Pool, Project, ProjectId, Query,
    Scope, Snapshot, Stamp, Subject, Volume, VolumeId, WriteTx, write,
};
use uuid::Uuid;

use crate::{media, names};

/// What [`adopt`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Volumes that have a row again.
    pub volumes: usize,
    /// Snapshots that have a row again.
    pub snapshots: usize,
    /// Projects that were made because labels name them; their own names are lost.
    pub projects: Vec<Uuid>,
    /// What came back under another name, and why, in plain words.
    pub remarks: Vec<String>,
}

/// Gives a row to everything in `found` that has none. Rows that are there stay as they are. The pool's own row is
/// made when it is missing.
pub async fn adopt(
    meta: &dyn MetaStore,
    now: jiff::Timestamp,
    pool: Pool,
    found: Vec<Found>,
) -> Result<Adopted, Condition> {
    let (adopted, _) = write(meta, move |tx| {
        let mut done = Adopted::default();
        let pool = match tx.read().find::<Pool>(Scope::All, pool.id)? {
            Some(p) => p,
            None => {
                let mut p = pool.clone();
                tx.insert(&mut p)?;
                p
            }
        };
        let default = first_project(tx)?;
        // Volumes first: a snapshot's place in the names is within its volume.
        for wants_volume in [true, false] {
            for f in &found {
                if matches!(f.subject, Subject::Volume(_)) == wants_volume {
                    one(tx, &pool, f, default, now, &mut done)?;
                }
            }
        }
        Ok(done)
    })
    .await?;
    Ok(adopted)
}

fn first_project(tx: &dyn WriteTx) -> Result<ProjectId, Condition> {
    let all = tx.read().list::<Project>(Scope::All, &Query::default())?;
    all.first().map(|p| p.id).ok_or_else(|| Condition::internal("a database without any project"))
}

fn one(
    tx: &mut dyn WriteTx,
    pool: &Pool,
    f: &Found,
    default: ProjectId,
    now: jiff::Timestamp,
    done: &mut Adopted,
) -> Result<(), Condition> {
    let id = f.subject.uuid();
    let there = match f.subject {
        Subject::Volume(v) => tx.read().find::<Volume>(Scope::All, v)?.is_some(),
        Subject::Snapshot(s) => tx.read().find::<Snapshot>(Scope::All, s)?.is_some(),
    };
    if there {
        return Ok(());
    }
    let label = Label::from_bytes(&f.label).filter(|l| l.id == id);
    if label.is_none() {
        done.remarks.push(format!("{id} has no label that can be read; it came back without its name"));
    }
    let project = match &label {
        Some(l) => project(tx, ProjectId(l.project), now, done)?,
        None => default,
    };
    let origin = label.as_ref().and_then(|l| l.origin).unwrap_or_default();
    let handle = handle(tx, label.as_ref(), id, &[pool.id.0, project.0, origin], done)?;
    let aliases = free_aliases(tx, label.as_ref(), done)?;
    let name = label.as_ref().map_or_else(|| handle.to_string(), |l| l.name.clone());
    let (_, placement) = media::place(tx.read(), Some(pool.id), &media::WantedPlacement::default())?;
    let common = Common { name, handle, aliases, project, placement, stamp: Stamp::at(now) };
    match f.subject {
        Subject::Volume(v) => {
            tx.insert(&mut volume(v, pool, f, common))?;
            done.volumes += 1;
        }
        Subject::Snapshot(_) => {
            tx.insert(&mut snapshot(pool, f, common, origin, label.is_some_and(|l| l.transient)))?;
            done.snapshots += 1;
        }
    }
    Ok(())
}

/// What a volume and a snapshot have alike.
struct Common {
    name: String,
    handle: Handle,
    aliases: Vec<Alias>,
    project: ProjectId,
    placement: Placement,
    stamp: Stamp,
}

fn volume(id: VolumeId, pool: &Pool, f: &Found, c: Common) -> Volume {
    Volume {
        id,
        name: c.name,
        handle: c.handle,
        aliases: c.aliases,
        project: c.project,
        pool: pool.id,
        size: f.size,
        volume_type: None,
        placement: c.placement,
        limits: Limits::default(),
        readonly: false,
        shared: false,
        parent: f.parent,
        made_from: None,
        life: Life::Ready,
        usage: Usage::Free,
        work: Vec::new(),
        health: Health::Up,
        declared: None,
        migration: None,
        group: None,
        hidden: Vec::new(),
        epoch: 1,
        attributes: Attributes::default(),
        fault: None,
        stamp: c.stamp,
    }
}

fn snapshot(pool: &Pool, f: &Found, c: Common, origin: Uuid, transient: bool) -> Snapshot {
    Snapshot {
        id: f.subject.uuid().into(),
        name: c.name,
        handle: c.handle,
        aliases: c.aliases,
        project: c.project,
        pool: pool.id,
        origin: origin.into(),
        parent: f.parent,
        size: f.size,
        volume_type: None,
        placement: c.placement,
        limits: Limits::default(),
        auto_named: false,
        bound: false,
        transient,
        life: Life::Ready,
        health: Health::Up,
        declared: None,
        group_snapshot: None,
        hidden: Vec::new(),
        attributes: Attributes::default(),
        fault: None,
        stamp: c.stamp,
    }
}

fn project(
    tx: &mut dyn WriteTx,
    id: ProjectId,
    now: jiff::Timestamp,
    done: &mut Adopted,
) -> Result<ProjectId, Condition> {
    if tx.read().find::<Project>(Scope::All, id)?.is_none() {
        let description = "found on a disk; its name is lost".to_string();
        let name = format!("project-{id}");
        tx.insert(&mut Project {
            id,
            name,
            description,
            enabled: true,
            default_type: None,
            stamp: Stamp::at(now),
        })?;
        done.projects.push(id.0);
    }
    Ok(id)
}

/// Its own handle if that is free and well-formed, else the next free one made from its name.
fn handle(
    tx: &dyn WriteTx,
    label: Option<&Label>,
    id: Uuid,
    places: &[Uuid],
    done: &mut Adopted,
) -> Result<Handle, Condition> {
    let kept = label.and_then(|l| Handle::kept(&l.handle));
    if let Some(kept) = &kept
        && names::is_free(tx.read(), kept, places)?
    {
        return Ok(kept.clone());
    }
    let name = kept.as_ref().map_or(String::new(), |h| h.as_str().replace('@', "-"));
    let made = names::free_handle(tx.read(), places, |attempt| Handle::from_name(&name, id, attempt))?;
    if let Some(kept) = kept {
        done.remarks.push(format!("{id} was {kept}, which is taken; it is {made} now"));
    }
    Ok(made)
}

/// Aliases that nobody has taken meanwhile.
fn free_aliases(
    tx: &dyn WriteTx,
    label: Option<&Label>,
    done: &mut Adopted,
) -> Result<Vec<Alias>, Condition> {
    let (mut free, mut seen) = (Vec::new(), HashSet::new());
    for alias in label.iter().flat_map(|l| &l.aliases) {
        if tx.read().named(&alias.space(), &alias.name)?.is_none() && seen.insert(alias.space()) {
            free.push(alias.clone());
        } else {
            done.remarks.push(format!("the {} name {:?} is taken by now", alias.api.word(), alias.name));
        }
    }
    Ok(free)
}
