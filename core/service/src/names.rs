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

/// The first handle in the series that `make` numbers (from 1) which nobody has.
pub(crate) fn free_handle(tx: &dyn ReadTx, make: impl Fn(u32) -> Handle) -> Result<Handle, Condition> {
    for attempt in 1..100_000 {
        let handle = make(attempt);
        if tx.named(HANDLES, handle.as_str())?.is_none() {
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
