//! A volume that is filled from outside of its pool, by a backup or an image: a new one, or one that loses its bytes.

use parpen_block::Whom;
use parpen_model::lifecycle::Life;
use parpen_model::{Condition, Label, NewBytes, Scope, Source, Volume, VolumeId, read};

use crate::jobs::World;
use crate::{access, seal};

/// Makes a new one's bytes, or shuts everybody out of one that is there.
pub(crate) async fn prepare(world: &World, id: VolumeId, new: bool) -> Result<(), Condition> {
    if !new {
        let _fenced = access::shut(&world.gate, &*world.meta, id.into(), Whom::Everyone, true).await?;
        return Ok(());
    }
    let v = seal::ensure(world, id).await?;
    let want = NewBytes { size: v.size, placement: v.placement.clone() };
    world.store(v.pool).await?.create(v.id, &Source::Blank, &want, &Label::of_volume(&v)).await?;
    Ok(())
}

/// Gives the bytes of a new one back that could not be filled. The row stays, in error; a store that does not answer may
/// still hold bytes of it until it is deleted.
pub(crate) async fn give_up(world: &World, id: VolumeId, new: bool) -> Result<(), Condition> {
    let v: Option<Volume> = read(&*world.meta, move |tx| tx.find(Scope::All, id)).await?;
    if let Some(v) = v.filter(|v| new && v.life == Life::Creating)
        && let Err(e) = world.store(v.pool).await?.delete(v.id.into()).await
    {
        tracing::warn!(volume = %v.id, error = %e, "a volume that could not be filled keeps its space");
    }
    Ok(())
}
