//! What is declared over a volume's other axes: announcements of its users, and what an operator says it is.

use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{Declaration, Life, LifeEvent, Migration, Standing, declare as declared, life};
use parpen_model::{Attachment, Condition, Kind, Pool, Scope, Volume, VolumeId, read, write};

use crate::attachments::{leave, reassign, settle};
use crate::{Ports, access};

/// Declares something over a volume, if its standing allows it.
pub async fn declare(
    ports: &Ports,
    actor: &Actor,
    id: VolumeId,
    what: Declaration,
) -> Result<(Volume, u64), Condition> {
    let actor = actor.clone();
    write(&*ports.meta, move |tx| {
        let mut v: Volume = tx.read().get(actor.scope, id)?;
        may(&actor, Power::Write, Some(v.project))?;
        if v.migration.is_some_and(Migration::is_under_way) {
            // Whoever moves it has the say over how it stands.
            return Ok(v);
        }
        v.declared = declared(v.standing(), what).map_err(|r| r.about(Kind::Volume, v.id))?;
        tx.update(&mut v)?;
        Ok(v)
    })
    .await
}

/// What an operator says of a volume; absent parts stay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    /// How it stands.
    pub standing: Option<Standing>,
    /// Nobody holds it: whoever does loses it.
    pub nobody_holds_it: bool,
    /// How its last move stands; `Some(None)`: there was none.
    pub migration: Option<Option<Migration>>,
}

/// Lets an operator say how a volume stands. That it is sound again is believed when its bytes are there.
pub async fn say(ports: &Ports, actor: &Actor, id: VolumeId, said: Said) -> Result<(), Condition> {
    let sound = match said.standing {
        Some(Standing::Free | Standing::Attached) => has_bytes(ports, actor, id).await?,
        _ => false,
    };
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let (job, _) = write(&*ports.meta, move |tx| {
        let mut v: Volume = tx.read().get(actor_in.scope, id)?;
        may(&actor_in, Power::Operate, Some(v.project))?;
        if sound && v.life == Life::Error {
            v.life = life(v.life, LifeEvent::Mend).map_err(|r| r.about(Kind::Volume, &v.handle))?;
            v.fault = None;
        }
        if let Some(migration) = said.migration {
            v.migration = migration;
        }
        v.epoch += 1;
        tx.update(&mut v)?;
        let mut gone = Vec::new();
        if said.nobody_holds_it {
            for mut a in tx.read().children::<Attachment>(id)? {
                leave(tx, &mut a)?;
                gone.push(a.id);
            }
            settle(tx, id.into())?;
            v = tx.read().get(Scope::All, id)?;
        }
        if let Some(standing) = said.standing {
            v.declared = Some(standing).filter(|s| *s != v.axes());
            tx.update(&mut v)?;
        }
        if gone.is_empty() {
            return Ok(None);
        }
        let mut job = reassign::fence_job(&ports_in, v.project, vec![id.into()], gone)?;
        tx.insert(&mut job)?;
        Ok(Some(job.id))
    })
    .await?;
    if let Some(job) = job {
        ports.jobs.begin(job);
        ports.jobs.wait(job).await?;
    }
    Ok(())
}

/// Whether the store of its pool holds a volume.
async fn has_bytes(ports: &Ports, actor: &Actor, id: VolumeId) -> Result<bool, Condition> {
    let scope = actor.scope;
    let (v, pool) = read(&*ports.meta, move |tx| {
        let v: Volume = tx.get(scope, id)?;
        let pool: Pool = tx.get(Scope::All, v.pool)?;
        Ok((v, pool))
    })
    .await?;
    if v.life != Life::Error {
        return Ok(false);
    }
    let found = ports.figures.inventory(&pool).await?;
    Ok(found.iter().any(|f| access::plain_export(f.subject) == access::plain_export(id.into())))
}
