//! How volumes and snapshots fare, and how templates are used.

use parpen_model::Condition;
use parpen_service::{objects, snapshots};

use super::{Call, Done, volumes};
use crate::to_wire;

/// `VolumesGetStatus`.
pub async fn volumes(c: &Call<'_>) -> Result<Done, Condition> {
    let volumes = volumes::all(c).await?;
    let snapshots = snapshots::list(c.ports, c.actor, None, true).await?;
    let kept = objects::kept(c.ports, c.actor).await?;
    c.shown(to_wire::statuses(&volumes, &snapshots, &kept))
}
