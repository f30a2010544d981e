//! Services, disks and placement groups.

use parpen_model::{Condition, Kind};
use parpen_service::{disks, media};
use serde_json::{Map, Value};

use super::{Call, Done};
use crate::to_wire;

/// `ServicesList` and `ServersListBlocked`: whoever gets an answer sees that all of this process runs.
pub async fn services(c: &Call<'_>) -> Result<Done, Condition> {
    let (missing, pending) = disks::incomplete(c.ports, c.actor).await?;
    c.shown(to_wire::services(&missing, &pending))
}

/// `DisksList`.
pub async fn disks(c: &Call<'_>) -> Result<Done, Condition> {
    let all = disks::list(c.ports, c.actor).await?;
    let by_id = all.iter().map(|d| (d.id.to_string(), to_wire::disk(d, c.generation)));
    c.shown(by_id.collect::<Map<String, Value>>())
}

/// `ServerDisksList`: one server has them all.
pub async fn server_disks(c: &Call<'_>) -> Result<Done, Condition> {
    let server = c.params.get("id");
    if server != to_wire::SERVER.to_string() {
        return Err(Condition::not_found(Kind::Other, format!("server {server}")));
    }
    disks(c).await
}

/// `PlacementGroupsList`.
pub async fn groups(c: &Call<'_>) -> Result<Done, Condition> {
    let all = media::groups(c.ports, c.actor).await?;
    let by_name = all.iter().map(|g| (g.name.clone(), to_wire::placement_group(g)));
    c.shown(by_name.collect::<Map<String, Value>>())
}

/// `PlacementGroupDescribe`.
pub async fn group(c: &Call<'_>) -> Result<Done, Condition> {
    let all = media::groups(c.ports, c.actor).await?;
    let found = all.iter().find(|g| g.name == c.name());
    c.shown(to_wire::placement_group(
        found.ok_or_else(|| Condition::not_found(Kind::PlacementGroup, c.name()))?,
    ))
}
