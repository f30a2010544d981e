//! Linking a volume to another type.

use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{Declaration, Migration, Standing, When, declare};
use parpen_model::{
    Condition, JobId, Kind, Scope, Snapshot, Volume, VolumeId, VolumeType, VolumeTypeId, write,
};

use super::migrate::{self, NewType};
use super::resize::at_rest;
use crate::quotas::{self, Need};
use crate::{Ports, parts, seal, types};

/// What a volume is linked to from now on.
#[derive(Clone, Copy, Debug)]
pub struct Retype {
    /// The type; `None`: no type at all.
    pub to: Option<VolumeTypeId>,
    /// It may be moved to the type's pool.
    pub may_move: bool,
}

const ALLOWED: When = When::Only(&[Standing::Free, Standing::Attached]);

/// Links a volume to another type. Where the type names another pool, a job moves it there.
pub async fn retype(
    ports: &Ports,
    actor: &Actor,
    id: VolumeId,
    want: Retype,
) -> Result<(Volume, Option<JobId>), Condition> {
    let (ports_in, actor_in, now) = (ports.clone(), actor.clone(), ports.clock.now());
    let ((volume, job), _) = write(&*ports.meta, move |tx| {
        let mut v: Volume = tx.read().get(actor_in.scope, id)?;
        may(&actor_in, Power::Write, Some(v.project))?;
        parts::refuse_frozen(tx.read(), v.pool)?;
        let old: Option<VolumeType> =
            v.volume_type.map(|t| tx.read().find(Scope::All, t)).transpose()?.flatten();
        let new = want.to.map(|t| types::usable(tx.read(), actor_in.scope, v.project, t)).transpose()?;
        types::check_size(new.as_ref(), v.size)?;
        seal::check_retype(&v, new.as_ref())?;
        let shared = new.as_ref().is_some_and(|t| t.rules.shared);
        if v.shared != shared && v.standing() != Standing::Free {
            When::Only(&[Standing::Free]).check(Kind::VolumeType, v.id, v.standing())?;
        }
        ALLOWED.check(Kind::Volume, v.id, v.standing())?;
        at_rest(&v)?;
        if want.to == v.volume_type {
            return Err(Condition::in_use(Kind::Volume, &v.handle, vec!["that type already".into()]));
        }
        if v.group.is_some() || v.migration.is_some_and(Migration::is_under_way) {
            return Err(Condition::in_use(Kind::Volume, &v.handle, vec!["its group or a move".into()]));
        }
        let mut snapshots: Vec<Snapshot> = tx.read().children(v.id)?;
        snapshots.retain(|s| !s.transient);
        quotas::admit(tx.read(), v.project, &Need::retype(&v, &snapshots, want.to))?;
        // Ceilings of its own stay; those that came with the old type go with it.
        let follows = v.limits == types::limits_of(tx.read(), old.as_ref())?;
        let limits = if follows { types::limits_of(tx.read(), new.as_ref())? } else { v.limits };
        let named = new.as_ref().map(|t| types::named_pool(tx.read(), t)).transpose()?.flatten();
        let target = named.map(|p| p.id).or(new.as_ref().and_then(|t| t.pool)).filter(|p| *p != v.pool);
        let change = NewType { volume_type: want.to, shared, limits };
        v.stamp.updated = Some(now);
        if let Some(pool) = target {
            if !want.may_move {
                return Err(Condition::invalid("pool", "the type's volumes live in another pool"));
            }
            v.declared =
                declare(v.standing(), Declaration::Retype).map_err(|r| r.about(Kind::Volume, v.id))?;
            let job = migrate::begin(tx, &ports_in, &mut v, pool, Some(change))?;
            return Ok((v, Some(job)));
        }
        (v.volume_type, v.shared, v.limits) = (change.volume_type, change.shared, change.limits);
        v.epoch += 1;
        tx.update(&mut v)?;
        Ok((v, None))
    })
    .await?;
    if let Some(job) = job {
        ports.jobs.begin(job);
    }
    Ok((volume, job))
}
