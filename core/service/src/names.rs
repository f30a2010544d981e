//! From names to nouns and back: handles, every side's aliases, and what is taken.

use parpen_model::{
    Alias, Api, Condition, HANDLES, Handle, NAME_MAX, ReadTx, Scope, Snapshot, Subject, Volume, alias_space,
};
use uuid::Uuid;

/// Where a side's names are unique: service-wide (empty), or within a pool, project or volume (its id).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// Whose names.
    pub api: Api,
    /// Empty, or the id of a pool, project or volume.
    pub within: String,
}

impl Space {
    /// Service-wide names of `api`.
    pub fn global(api: Api) -> Space {
        Space { api, within: String::new() }
    }

    /// Names of `api` within one pool, project or volume.
    pub fn within(api: Api, id: impl Into<Uuid>) -> Space {
        Space { api, within: id.into().to_string() }
    }

    fn holds_volume(&self, v: &Volume) -> bool {
        self.within.is_empty() || self.within == v.pool.to_string() || self.within == v.project.to_string()
    }

    fn holds_snapshot(&self, s: &Snapshot) -> bool {
        self.within.is_empty()
            || [s.pool.0, s.project.0, s.origin.0].iter().any(|id| self.within == id.to_string())
    }
}

/// How something new is called.
#[derive(Clone, Debug, Default)]
pub struct Naming {
    /// The free-text name; the handle is made from it.
    pub name: String,
    /// The space in which the name must be free. It becomes that side's alias where the handle differs from it.
    pub own: Option<Space>,
    /// Names for other sides.
    pub aliases: Vec<Alias>,
}

impl Naming {
    /// A name that must be free in `space`.
    pub fn unique(name: impl Into<String>, space: Space) -> Naming {
        Naming { name: name.into(), own: Some(space), aliases: Vec::new() }
    }
}

/// Another name for a volume or snapshot within one side's space of unique names.
#[derive(Clone, Debug)]
pub struct Rename {
    /// The space, in which the name must be free.
    pub space: Space,
    /// The name in that space by which the caller means it; none: its id.
    pub from: Option<String>,
    /// The new name.
    pub to: String,
}

impl Rename {
    /// Of what is meant by its id.
    pub fn by_id(space: Space, to: impl Into<String>) -> Rename {
        Rename { space, from: None, to: to.into() }
    }

    /// Refuses when the name by which the caller means `this` has meanwhile moved: of several who rename one thing by
    /// one name, one succeeds. `named` says what bears a name now.
    pub(crate) fn check_meant(
        &self,
        this: Subject,
        named: impl FnOnce(&str) -> Result<Option<Subject>, Condition>,
    ) -> Result<(), Condition> {
        match &self.from {
            Some(from) if named(from)? != Some(this) => Err(Condition::not_found(this.kind(), from)),
            _ => Ok(()),
        }
    }
}

/// The part of a snapshot's handle that names it within its volume.
pub fn short(s: &Snapshot) -> &str {
    s.handle.as_str().rsplit_once('@').map_or(s.handle.as_str(), |(_, n)| n)
}

/// The name of a snapshot within its volume, as one side shows it.
pub fn short_in(s: &Snapshot, api: Api) -> String {
    s.aliases.iter().find(|a| a.api == api).map_or_else(|| short(s).to_string(), |a| a.name.clone())
}

fn has_alias(aliases: &[Alias], api: Api) -> bool {
    aliases.iter().any(|a| a.api == api)
}

/// The volume or snapshot that one side knows by `name`: its own alias first, then the handle of what has no alias
/// there. UUIDs are left to the caller.
pub fn find(tx: &dyn ReadTx, scope: Scope, space: &Space, name: &str) -> Result<Option<Subject>, Condition> {
    let by_alias = tx.named(&alias_space(space.api, &space.within), name)?;
    let Some((kind, id)) = by_alias.map_or_else(|| tx.named(HANDLES, name), |hit| Ok(Some(hit)))? else {
        return Ok(None);
    };
    let through_handle = by_alias.is_none();
    Ok(match kind {
        parpen_model::Kind::Volume => tx
            .find::<Volume>(scope, id)?
            .filter(|v| space.holds_volume(v) && !(through_handle && has_alias(&v.aliases, space.api)))
            .map(|v| Subject::Volume(v.id)),
        parpen_model::Kind::Snapshot => tx
            .find::<Snapshot>(scope, id)?
            .filter(|s| space.holds_snapshot(s) && !(through_handle && has_alias(&s.aliases, space.api)))
            .map(|s| Subject::Snapshot(s.id)),
        _ => None,
    })
}

/// A volume by the name that one side knows.
pub fn volume(tx: &dyn ReadTx, scope: Scope, space: &Space, name: &str) -> Result<Option<Volume>, Condition> {
    match find(tx, scope, space, name)? {
        Some(Subject::Volume(id)) => tx.find(scope, id),
        _ => Ok(None),
    }
}

/// A snapshot of a volume by its name within the volume, as one side knows it.
pub fn snapshot_of(
    tx: &dyn ReadTx,
    volume: &Volume,
    api: Api,
    name: &str,
) -> Result<Option<Snapshot>, Condition> {
    let all = tx.children::<Snapshot>(volume.id)?;
    Ok(all.into_iter().find(|s| !s.transient && short_in(s, api) == name))
}

/// Refuses a name that its side would take for somebody's id.
pub(crate) fn check_in(space: &Space, name: &str) -> Result<(), Condition> {
    if space.api == Api::Native && Uuid::parse_str(name).is_ok() {
        return Err(Condition::invalid("name", "a UUID is no name: it would be taken for somebody's id"));
    }
    Ok(())
}

/// Refuses names that no side can bear.
pub fn check(name: &str) -> Result<(), Condition> {
    if name.chars().count() > NAME_MAX {
        return Err(Condition::invalid("name", format!("a name has at most {NAME_MAX} characters")));
    }
    if name.chars().any(char::is_control) {
        return Err(Condition::invalid("name", "a name has no control characters"));
    }
    Ok(())
}

/// Whether something that lives in these places (pool, project, volume) may show `handle`: nobody has it, and no side
/// knows something else there by that name.
pub(crate) fn is_free(tx: &dyn ReadTx, handle: &Handle, places: &[Uuid]) -> Result<bool, Condition> {
    if tx.named(HANDLES, handle.as_str())?.is_some() {
        return Ok(false);
    }
    let scopes: Vec<String> =
        std::iter::once(String::new()).chain(places.iter().map(Uuid::to_string)).collect();
    for api in Api::ALL {
        for scope in &scopes {
            if tx.named(&alias_space(api, scope), handle.as_str())?.is_some() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The first handle in the series that `make` numbers (from 1) which is free in these places.
pub(crate) fn free_handle(
    tx: &dyn ReadTx,
    places: &[Uuid],
    make: impl Fn(u32) -> Handle,
) -> Result<Handle, Condition> {
    for attempt in 1..100_000 {
        let handle = make(attempt);
        if is_free(tx, &handle, places)? {
            return Ok(handle);
        }
    }
    Err(Condition::Conflict("too many things bear this name; take another".into()))
}

/// The aliases of something new: the given ones, and the own space's where `shown` is not the wanted name.
pub(crate) fn aliases(naming: &Naming, shown: &str) -> Vec<Alias> {
    let own = naming.own.iter().filter(|_| shown != naming.name).map(|s| Alias {
        api: s.api,
        scope: s.within.clone(),
        name: naming.name.clone(),
    });
    naming.aliases.iter().cloned().chain(own).collect()
}
