//! Changing what a volume is called and what is kept with it.

use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::When;
use parpen_model::{
    Alias, Api, Attributes, Condition, Handle, JobId, Kind, Label, Scope, Subject, Volume, VolumeId,
    WantedLimits, WriteTx, write,
};

use super::resize::{self, NewSize, ResizeTerms};
use crate::names::{self, Rename};
use crate::{Ports, access};

/// Changes the attributes; may be run again.
pub type ChangeAttributes = Box<dyn FnMut(&mut Attributes) + Send>;

/// What is to be different; absent parts stay.
#[derive(Default)]
pub struct Edit {
    /// The free-text name, where it is not unique.
    pub name: Option<String>,
    /// Ceilings on I/O.
    pub limits: WantedLimits,
    /// Later attachments are read-only.
    pub readonly: Option<bool>,
    /// What APIs keep with it.
    pub attributes: Option<ChangeAttributes>,
    /// Only if it is still at this revision.
    pub expect: Option<i64>,
    /// The states it is allowed from.
    pub when: When,
}

impl Edit {
    fn apply(&mut self, v: &mut Volume) {
        if let Some(name) = &self.name {
            v.name = name.clone();
        }
        v.limits = self.limits.over(v.limits);
        v.readonly = self.readonly.unwrap_or(v.readonly);
        if let Some(change) = &mut self.attributes {
            change(&mut v.attributes);
        }
        v.epoch += 1;
    }
}

/// Everything that can be different at once: it is refused or accepted as one.
#[derive(Default)]
pub struct Change {
    /// What needs no job.
    pub edit: Edit,
    /// The name within one side's space of unique names. The native side moves name and handle; every other side moves
    /// its own alias only.
    pub rename: Option<Rename>,
    /// The size.
    pub size: Option<(NewSize, ResizeTerms)>,
}

/// What a change came to.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The volume after the transaction.
    pub now: Volume,
    /// The job that brings it to its new size, where one was asked for.
    pub job: Option<JobId>,
    /// The configuration generation after the transaction.
    pub generation: u64,
}

/// Changes a volume in one transaction. Who has it open is bound by new ceilings at once.
pub async fn change(
    ports: &Ports,
    actor: &Actor,
    id: VolumeId,
    mut change: Change,
) -> Result<Changed, Condition> {
    if let Some(name) = &change.edit.name {
        names::check(name)?;
    }
    if let Some(Rename { space, to, .. }) = &change.rename {
        names::check(to)?;
        if space.api == Api::Native {
            Handle::parse(to)?;
        }
    }
    let renamed = change.rename.is_some();
    let open = ports.sessions.of(access::plain_export(id.into()));
    let (ports_in, actor, at) = (ports.clone(), actor.clone(), ports.clock.now());
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut v: Volume = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Write, Some(v.project))?;
        if let Some(expected) = change.edit.expect.filter(|e| *e != v.stamp.revision) {
            return Err(Condition::PreconditionFailed {
                expected: expected.to_string(),
                actual: v.stamp.revision.to_string(),
            });
        }
        change.edit.when.check(Kind::Volume, v.id, v.standing())?;
        if let Some(rename) = &change.rename {
            rename_in(tx, actor.scope, &mut v, rename)?;
        }
        change.edit.apply(&mut v);
        let job = match change.size {
            Some((size, terms)) => Some(resize::begin(tx, &ports_in, &mut v, size, terms, &open)?),
            None => None,
        };
        v.stamp.updated = Some(at);
        tx.update(&mut v)?;
        Ok((v, job))
    })
    .await?;
    ports.bind(&now);
    if let Some(job) = job {
        ports.jobs.begin(job);
    }
    if renamed {
        relabel(ports, &now).await;
    }
    Ok(Changed { now, job, generation })
}

/// Changes what needs no job, in one transaction.
pub async fn edit(
    ports: &Ports,
    actor: &Actor,
    id: VolumeId,
    edit: Edit,
) -> Result<(Volume, u64), Condition> {
    let changed = change(ports, actor, id, Change { edit, ..Change::default() }).await?;
    Ok((changed.now, changed.generation))
}

/// Renames a volume within one side's space of unique names. The native side moves name and handle; every other side
/// moves its own alias only.
pub async fn rename(
    ports: &Ports,
    actor: &Actor,
    id: VolumeId,
    rename: Rename,
) -> Result<(Volume, u64), Condition> {
    let changed = change(ports, actor, id, Change { rename: Some(rename), ..Change::default() }).await?;
    Ok((changed.now, changed.generation))
}

fn rename_in(tx: &mut dyn WriteTx, scope: Scope, v: &mut Volume, rename: &Rename) -> Result<(), Condition> {
    let Rename { space, to, .. } = rename;
    rename.check_meant(v.id.into(), |from| names::find(tx.read(), scope, space, from))?;
    match names::find(tx.read(), Scope::All, space, to)? {
        Some(s) if s == Subject::Volume(v.id) => return Ok(()),
        Some(_) => return Err(Condition::exists(Kind::Volume, to)),
        None => {}
    }
    v.aliases.retain(|a| a.api != space.api);
    if space.api == Api::Native {
        let handle = Handle::parse(to)?;
        if v.handle != handle && !names::is_free(tx.read(), &handle, &[v.pool.0, v.project.0])? {
            return Err(Condition::exists(Kind::Volume, to));
        }
        v.handle = handle;
        v.name = to.clone();
    } else if v.handle.as_str() != to {
        v.aliases.push(Alias { api: space.api, scope: space.within.clone(), name: to.clone() });
    }
    Ok(())
}

/// Labels follow the rows; a store that does not answer now gets the label at the next start, so this is no failure.
async fn relabel(ports: &Ports, v: &Volume) {
    if let Err(e) = ports.figures.relabel(v.pool, Label::of_volume(v)).await {
        tracing::warn!(volume = %v.id, error = ?e, "the label on disk is older than the row; the next start renews it");
    }
}
