//! Changing what a volume type gives to new volumes while it is used, and, where asked for, the ceilings of those that
//! are linked to it already.

use parpen_identity::{Actor, Power, may};
use parpen_model::{
    Condition, Kind, Query, Scope, Snapshot, SnapshotId, Volume, VolumeType, VolumeTypeId, WantedLimits,
    write,
};

use crate::media::{WantedPlacement, place};
use crate::{Ports, names};

/// What is to be different; absent parts stay.
#[derive(Clone, Debug, Default)]
pub struct Retune {
    /// The unique name.
    pub name: Option<String>,
    /// Where new volumes are placed.
    pub placement: WantedPlacement,
    /// Ceilings on I/O.
    pub limits: WantedLimits,
    /// Bytes of new volumes that name no size.
    pub size: Option<u64>,
    /// The snapshot that new volumes grow from.
    pub parent: Option<SnapshotId>,
    /// Volumes and snapshots that are linked to the type get the ceilings, too.
    pub propagate: bool,
}

impl Retune {
    fn apply(&self, t: &mut VolumeType) {
        let WantedPlacement { all, tail, replication } = self.placement.clone();
        t.name = self.name.clone().unwrap_or_else(|| t.name.clone());
        t.place_all = all.or(t.place_all.take());
        t.place_tail = tail.or(t.place_tail.take());
        t.replication = replication.or(t.replication);
        t.limits = self.limits.over(t.limits);
        t.size = self.size.or(t.size);
        t.parent = self.parent.or(t.parent);
    }

    /// Nothing moves what exists to another placement, so that those who have another one cannot be told to.
    fn check_reach(&self, linked: &[Volume], snapshots: &[Snapshot]) -> Result<(), Condition> {
        let want = &self.placement;
        let differs = |p: &parpen_model::Placement| {
            let [all, tail] = [(&want.all, &p.all), (&want.tail, &p.tail)]
                .map(|(w, is)| w.as_ref().is_some_and(|w| w != is));
            all || tail || want.replication.is_some_and(|r| r != p.replication)
        };
        match linked.iter().map(|v| &v.placement).chain(snapshots.iter().map(|s| &s.placement)).any(differs) {
            true => Err(Condition::Unsupported(
                "volumes and snapshots that exist keep their placement; change the type without them".into(),
            )),
            false => Ok(()),
        }
    }
}

/// Changes a type in one transaction. Who has a volume open is bound by new ceilings at once.
pub async fn retune(
    ports: &Ports,
    actor: &Actor,
    id: VolumeTypeId,
    want: Retune,
) -> Result<(VolumeType, u64), Condition> {
    may(actor, Power::Operate, None)?;
    if let Some(name) = &want.name {
        names::check(name)?;
    }
    let now = ports.clock.now();
    let ((t, bound), generation) = write(&*ports.meta, move |tx| {
        let mut t: VolumeType = tx.read().get(Scope::All, id)?;
        let renamed = want.name.as_ref().filter(|n| **n != t.name);
        if let Some(name) = renamed
            && tx.read().named("volume type", name)?.is_some()
        {
            return Err(Condition::exists(Kind::VolumeType, name));
        }
        want.apply(&mut t);
        let (all, tail) = (t.place_all.clone(), t.place_tail.clone());
        place(tx.read(), t.pool, &WantedPlacement { all, tail, replication: t.replication })?;
        t.stamp.updated = Some(now);
        tx.update(&mut t)?;
        if !want.propagate {
            return Ok((t, Vec::new()));
        }
        let mut volumes: Vec<Volume> = tx.read().list(Scope::All, &Query::default())?;
        volumes.retain(|v| v.volume_type == Some(id));
        let mut snapshots: Vec<Snapshot> = tx.read().list(Scope::All, &Query::default())?;
        snapshots.retain(|s| s.volume_type == Some(id));
        want.check_reach(&volumes, &snapshots)?;
        for v in &mut volumes {
            v.limits = want.limits.over(v.limits);
            v.stamp.updated = Some(now);
            tx.update(v)?;
        }
        for s in &mut snapshots {
            s.limits = want.limits.over(s.limits);
            s.stamp.updated = Some(now);
            tx.update(s)?;
        }
        Ok((t, volumes))
    })
    .await?;
    bound.iter().for_each(|v| ports.bind(v));
    Ok((t, generation))
}
