//! The calls that are built: each looks names up, calls one use case and prints.

mod attachments;
mod cluster;
mod disks;
mod lineage;
mod moves;
mod snapshots;
mod status;
mod templates;
mod volumes;
mod whereabouts;

use parpen_http::path::Params;
use parpen_identity::Actor;
use parpen_model::{Attributes, Condition, DiskVerb, Handle, JobId, Kind, ScrubVerb};
use parpen_service::names::Rename;
use parpen_service::volumes::ChangeAttributes;
use parpen_service::{Ports, projects};
use serde::Serialize;
use serde_json::{Value, json};

use crate::endpoint::Endpoint;
use crate::from_wire::Tags;
use crate::names::{parse_global_id, space};
use crate::to_wire::{ATTRIBUTES, Amounts, TAGS};

/// One request, read as far as every call needs it.
pub struct Call<'a> {
    /// The use cases' ports.
    pub ports: &'a Ports,
    /// Who calls.
    pub actor: &'a Actor,
    /// The arguments in the path.
    pub params: &'a Params,
    /// The body; an empty object if there was none.
    pub body: &'a Value,
    /// The generation before the call.
    pub generation: u64,
}

/// What a call answers.
#[derive(Debug)]
pub struct Done {
    /// The document.
    pub data: Value,
    /// The generation that it shows.
    pub generation: u64,
}

/// The function of a call.
pub type Handler = for<'a> fn(&'a Call<'a>) -> parpen_http::Boxed<'a, Result<Done, Condition>>;

impl Call<'_> {
    /// The name in the path.
    fn name(&self) -> &str {
        self.params.get("name")
    }

    /// Another name for what is named in the path, which a global id means whatever it is called.
    fn renamed(&self, to: String) -> Rename {
        let name = self.name();
        let by_id = name.strip_prefix('~').and_then(parse_global_id).is_some();
        Rename { space: space(), from: (!by_id).then(|| unmarked(name).to_string()), to }
    }

    /// What was looked at.
    fn shown(&self, data: impl Serialize) -> Result<Done, Condition> {
        Ok(Done {
            data: serde_json::to_value(data).map_err(Condition::internal)?,
            generation: self.generation,
        })
    }

    /// `ok`, with the generation after everything that was done, and what else there is to say.
    async fn done(&self, more: Value) -> Result<Done, Condition> {
        let generation = projects::generation(self.ports).await?;
        let mut data = json!({ "ok": true, "generation": generation });
        if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
            data.extend(more.into_iter().filter(|(_, v)| !v.is_null()));
        }
        Ok(Done { data, generation })
    }

    async fn wait(&self, job: JobId) -> Result<(), Condition> {
        self.ports.jobs.wait(job).await.map(|_| ())
    }

    /// A volume by name or global id.
    async fn volume(&self, name: &str) -> Result<parpen_service::volumes::View, Condition> {
        use parpen_service::volumes::{Key, get};
        let key = match name.strip_prefix('~').and_then(parse_global_id) {
            Some(id) => Key::Id(id.into()),
            None => Key::Named(space(), name.to_string()),
        };
        let found = get(self.ports, self.actor, &key).await;
        found.map_err(|e| called(e, Kind::Volume, name)).and_then(|v| volumes::present(v, name))
    }

    /// A snapshot by name or global id.
    async fn snapshot(&self, name: &str) -> Result<parpen_service::snapshots::View, Condition> {
        use parpen_service::snapshots::{Key, get};
        let key = match name.strip_prefix('~').and_then(parse_global_id) {
            Some(id) => Key::Id(id.into()),
            None => Key::Named(space(), unmarked(name).to_string()),
        };
        get(self.ports, self.actor, &key).await.map_err(|e| called(e, Kind::Snapshot, name))
    }
}

/// A name without the mark of a snapshot that is being deleted, which is no part of it.
fn unmarked(name: &str) -> &str {
    name.strip_prefix('*').unwrap_or(name)
}

/// What is missing is named as the client named it.
fn called(e: Condition, what: Kind, name: &str) -> Condition {
    match e {
        Condition::NotFound { .. } => Condition::not_found(what, name),
        other => other,
    }
}

/// What is held is named as the client named it, not by its handle.
fn held_as_called(e: Condition, handle: &Handle, called: &str) -> Condition {
    match e {
        Condition::InUse { what, name, by } if name == handle.as_str() => Condition::in_use(what, called, by),
        other => other,
    }
}

/// Hangs tags on something; an empty value takes a name off.
fn change_tags(tags: Option<Tags>) -> Option<ChangeAttributes> {
    let tags = tags?;
    Some(Box::new(move |attributes: &mut Attributes| {
        let entry = attributes.entry(ATTRIBUTES);
        let mut all = entry.get(TAGS).and_then(Value::as_object).cloned().unwrap_or_default();
        for (name, value) in &tags {
            match value.as_str() {
                Some("") => all.shift_remove(name),
                _ => all.insert(name.clone(), value.clone()),
            };
        }
        match all.is_empty() {
            true => entry.shift_remove(TAGS),
            false => entry.insert(TAGS.into(), Value::Object(all)),
        };
    }))
}

/// The attributes of something new.
fn new_attributes(tags: Option<Tags>) -> Attributes {
    let mut attributes = Attributes::default();
    if let Some(mut change) = change_tags(tags) {
        change(&mut attributes);
    }
    attributes
}

/// The function of a call; none where it is not built yet, which the coverage table shows.
pub fn handler(endpoint: Endpoint) -> Option<Handler> {
    use Endpoint as E;
    let handler: Handler = match endpoint {
        E::ServicesList | E::ServersListBlocked => |c| Box::pin(cluster::services(c)),
        E::DisksList => |c| Box::pin(cluster::disks(c)),
        E::ServerDisksList => |c| Box::pin(cluster::server_disks(c)),
        E::DiskDescribe => |c| Box::pin(whereabouts::disk_describe(c)),
        E::ServerDiskDescribe => |c| Box::pin(whereabouts::server_disk_describe(c)),
        E::DiskGetInfo => |c| Box::pin(whereabouts::disk_info(c)),
        E::VolumeDescribe => |c| Box::pin(whereabouts::volume_describe(c)),
        E::VolumeGetInfo => |c| Box::pin(whereabouts::volume_info(c)),
        E::SnapshotDescribe => |c| Box::pin(whereabouts::snapshot_describe(c)),
        E::SnapshotGetInfo => |c| Box::pin(whereabouts::snapshot_info(c)),
        E::TasksList => |c| Box::pin(disks::tasks(c)),
        E::DiskSoftEject => |c| Box::pin(disks::change(c, DiskVerb::SoftEject)),
        E::DiskSoftEjectPause => |c| Box::pin(disks::change(c, DiskVerb::PauseEject)),
        E::DiskSoftEjectCancel => |c| Box::pin(disks::change(c, DiskVerb::CancelEject)),
        E::DiskEject => |c| Box::pin(disks::change(c, DiskVerb::Eject)),
        E::DiskForget => |c| Box::pin(disks::change(c, DiskVerb::Forget)),
        E::DiskScrubStart => |c| Box::pin(disks::change(c, DiskVerb::Scrub(ScrubVerb::Start))),
        E::DiskScrubPause => |c| Box::pin(disks::change(c, DiskVerb::Scrub(ScrubVerb::Pause))),
        E::DiskScrubContinue => |c| Box::pin(disks::change(c, DiskVerb::Scrub(ScrubVerb::Continue))),
        E::DiskIgnore => |c| Box::pin(disks::ignore(c)),
        E::DiskSetDescription => |c| Box::pin(disks::describe(c)),
        E::VolumeRelocatorOn => |c| Box::pin(disks::relocate(c, true)),
        E::VolumeRelocatorOff => |c| Box::pin(disks::relocate(c, false)),
        E::VolumeRelocatorStatus => |c| Box::pin(disks::relocator(c)),
        E::VolumeBalancerStatusGet => |c| Box::pin(disks::balancer(c)),
        E::VolumeBalancerStatusSet => |c| Box::pin(disks::balance(c)),
        E::VolumeRelocatorDisksList => |c| Box::pin(moves::relocated(c)),
        E::VolumeRelocatorVolumeDisks => |c| Box::pin(moves::of_volume(c, Amounts::part_by_due)),
        E::VolumeRelocatorSnapshotDisks => |c| Box::pin(moves::of_snapshot(c, Amounts::part_by_due)),
        E::VolumeBalancerDisksList => |c| Box::pin(moves::balanced(c)),
        E::VolumeBalancerVolumeDisks => |c| Box::pin(moves::of_volume(c, Amounts::part_by_plan)),
        E::VolumeBalancerSnapshotDisks => |c| Box::pin(moves::of_snapshot(c, Amounts::part_by_plan)),
        E::VolumeBalancerVolumesStatus => |c| Box::pin(moves::volumes_status(c)),
        E::VolumeBalancerVolumeDiskSets => |c| Box::pin(moves::volume_disk_sets(c)),
        E::VolumeBalancerSnapshotDiskSets => |c| Box::pin(moves::snapshot_disk_sets(c)),
        E::VolumeBalancerGroups => |c| Box::pin(moves::groups(c)),
        E::PlacementGroupsList => |c| Box::pin(cluster::groups(c)),
        E::PlacementGroupDescribe => |c| Box::pin(cluster::group(c)),
        E::VolumesList => |c| Box::pin(volumes::list(c)),
        E::Volume => |c| Box::pin(volumes::one(c)),
        E::VolumesGetStatus => |c| Box::pin(status::volumes(c)),
        E::VolumeCreate => |c| Box::pin(volumes::create(c)),
        E::VolumeUpdate => |c| Box::pin(volumes::update(c)),
        E::VolumeDelete => |c| Box::pin(volumes::delete(c)),
        E::VolumeRevert => |c| Box::pin(volumes::revert(c)),
        E::VolumeFreeze => |c| Box::pin(lineage::freeze(c)),
        E::VolumeRebase => |c| Box::pin(lineage::volume_rebase(c)),
        E::SnapshotRebase => |c| Box::pin(lineage::snapshot_rebase(c)),
        E::VolumesGroupSnapshot => |c| Box::pin(lineage::group(c)),
        E::SnapshotsSpace => |c| Box::pin(lineage::snapshots_space(c)),
        E::VolumesSpace => |c| Box::pin(lineage::volumes_space(c)),
        E::VolumeListSnapshots => |c| Box::pin(snapshots::chain(c)),
        E::VolumeSnapshot => |c| Box::pin(snapshots::create(c)),
        E::SnapshotsList => |c| Box::pin(snapshots::list(c)),
        E::Snapshot => |c| Box::pin(snapshots::one(c)),
        E::SnapshotUpdate => |c| Box::pin(snapshots::update(c)),
        E::SnapshotDelete | E::SnapshotDeleteById => |c| Box::pin(snapshots::delete(c)),
        E::AttachmentsList => |c| Box::pin(attachments::list(c)),
        E::VolumesReassign => |c| Box::pin(attachments::reassign(c)),
        E::VolumesReassignWait => |c| Box::pin(attachments::reassign_wait(c)),
        E::VolumeTemplatesList => |c| Box::pin(templates::list(c)),
        E::VolumeTemplateDescribe => |c| Box::pin(templates::one(c)),
        E::VolumeTemplateCreate => |c| Box::pin(templates::create(c)),
        E::VolumeTemplatesStatus => |c| Box::pin(templates::status(c)),
        E::VolumeTemplateUpdate => |c| Box::pin(templates::update(c)),
        E::VolumeTemplateDelete => |c| Box::pin(templates::delete(c)),
        _ => return None,
    };
    Some(handler)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Since;

    #[test]
    fn coverage_is_as_documented() {
        let (mut rows, mut built) = (String::new(), 0);
        for endpoint in Endpoint::ALL {
            let (method, call) = endpoint.line();
            let bindings = match endpoint.since() {
                Since::Gone => "2.0.0",
                Since::Kept => "2.0.0 and 7.3.0",
                Since::Later => "7.3.0",
            };
            let state = if handler(*endpoint).is_some() { "built" } else { "listed" };
            built += usize::from(state == "built");
            rows += &format!("| {method} | `{call}` | {bindings} | {state} |\n");
        }
        let text = format!(
            "# Coverage of the StorPool API\n\nWritten by a test from `apis/storpool/src/calls.rs`; \
             `UPDATE_EXPECT=1 cargo test -p parpen-storpool` renews it. A call that is only listed answers \
             `notImplemented`.\n\nBuilt: {built} of {} calls.\n\n\
             | method | call | bindings | state |\n| --- | --- | --- | --- |\n{rows}",
            Endpoint::ALL.len()
        );
        expect_test::expect_file!["../../../docs/coverage/storpool.md"].assert_eq(&text);
    }
}
