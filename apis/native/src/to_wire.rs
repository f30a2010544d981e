//! From nouns to documents.

use parpen_block::SessionInfo;
use parpen_model::ports::Figures;
use parpen_model::{Api, BalancePlan, BalanceShare, Disk, Host, Job, JobState, Pool, Rights, Task};
use parpen_service::alarms::Alarm;
use parpen_service::{names, snapshots, volumes};

use parpen_model::Image;
use parpen_service::backups;

use crate::doc::{
    AlarmDoc, BalanceDoc, CostDoc, DiskDoc, FillDoc, HolderDoc, HostDoc, JobDoc, PoolDoc, SessionDoc,
    SnapshotDoc, TaskDoc, VolumeDoc,
};
use crate::doc::{BackupDoc, ImageDoc};

/// The sides that know things by a name of their own.
const SHOWN: [Api; 5] = [Api::StorPool, Api::Lxd, Api::Cern, Api::Rapyuta, Api::Native];

fn rights(r: Rights) -> String {
    match r {
        Rights::ReadOnly => "read-only".into(),
        Rights::ReadWrite => "read-write".into(),
    }
}

fn uri(nbd: &str, name: &str) -> String {
    format!("nbd://{nbd}/{name}")
}

/// A pool without its figures.
pub(crate) fn pool(p: &Pool) -> PoolDoc {
    PoolDoc {
        id: p.id.0,
        name: p.name.clone(),
        driver: p.driver.word().into(),
        state: p.life.to_string(),
        disks: p.disks.iter().map(|d| d.path.clone()).collect(),
        capacity: p.capacity,
        used: None,
        free: None,
        stored: None,
        replication: p.replication,
        usable: None,
        usable_free: None,
        relocate: p.upkeep.relocate,
        auto_balance: p.upkeep.balance,
        description: p.description.clone(),
        fault: p.fault.clone(),
        remark: None,
        alarms: Vec::new(),
    }
}

pub(crate) fn volume(view: &volumes::View, nbd: &str) -> VolumeDoc {
    let v = &view.volume;
    let by_id = (Api::OpenStack.word().to_string(), v.id.to_string());
    let aliases = SHOWN.iter().map(|api| (api.word().to_string(), v.shown_in(*api)));
    let holder = |a: &volumes::Attached| HolderDoc {
        host: a.host.as_ref().map(|h| h.name.clone()).or(a.attachment.instance.clone()).unwrap_or_default(),
        rights: rights(a.attachment.rights),
        state: a.attachment.state.to_string(),
    };
    VolumeDoc {
        id: v.id.0,
        handle: v.handle.to_string(),
        name: v.name.clone(),
        aliases: aliases.chain([by_id]).collect(),
        pool: view.pool.name.clone(),
        project: v.project.0,
        size: v.size,
        replication: v.placement.replication,
        place: v.placement.all.clone(),
        place_tail: v.placement.tail.clone(),
        state: v.life.to_string(),
        usage: v.usage.to_string(),
        work: v.work.iter().map(|w| w.to_string()).collect(),
        health: v.health.to_string(),
        bytes_per_second: v.limits.bytes_per_second,
        requests_per_second: v.limits.requests_per_second,
        parent: view.parent.as_ref().map(|s| s.handle.to_string()),
        lock: view.lock.as_ref().map(|l| l.spelling.clone()),
        holders: view.attachments.iter().map(holder).collect(),
        space: None,
        nbd: uri(nbd, v.handle.as_str()),
        created: v.stamp.created.to_string(),
        fault: v.fault.clone(),
    }
}

pub(crate) fn snapshot(view: &snapshots::View, nbd: &str) -> SnapshotDoc {
    let s = &view.snapshot;
    let within = |api: Api| match api {
        Api::StorPool => s.shown_in(api),
        _ => names::short_in(s, api),
    };
    let by_id = (Api::OpenStack.word().to_string(), s.id.to_string());
    let sides = [Api::StorPool, Api::Lxd, Api::Cern, Api::Native];
    SnapshotDoc {
        id: s.id.0,
        handle: s.handle.to_string(),
        name: names::short(s).to_string(),
        aliases: sides.iter().map(|api| (api.word().to_string(), within(*api))).chain([by_id]).collect(),
        volume: view.origin.as_ref().map_or_else(|| s.origin.to_string(), |v| v.handle.to_string()),
        pool: view.pool.name.clone(),
        size: s.size,
        state: s.life.to_string(),
        space: None,
        nbd: uri(nbd, s.handle.as_str()),
        created: s.stamp.created.to_string(),
    }
}

pub(crate) fn cost(f: &Figures) -> CostDoc {
    CostDoc { stored: f.stored, unique: f.unique, shared: f.shared, freed_if_deleted: f.freed }
}

pub(crate) fn host(h: &Host) -> HostDoc {
    HostDoc { id: h.id.0, name: h.name.clone(), spellings: h.spellings.clone() }
}

pub(crate) fn job(j: &Job) -> JobDoc {
    let state = match j.state {
        JobState::Running => "running",
        JobState::Undoing => "undoing",
        JobState::Done => "done",
        JobState::Failed => "failed",
    };
    JobDoc {
        id: j.id.0,
        kind: j.kind.clone(),
        subject: j.subject.map(|s| s.uuid()),
        state: state.into(),
        done: j.done.clone(),
        error: j.error.as_ref().map(|e| e.to_string()),
        progress: j.progress,
        created: j.stamp.created.to_string(),
    }
}

pub(crate) fn session(s: &SessionInfo) -> SessionDoc {
    SessionDoc {
        export: s.export.0,
        transport: s.peer.transport.into(),
        address: s.peer.address.to_string(),
        rights: match s.rights {
            parpen_block::Rights::ReadOnly => "read-only".into(),
            parpen_block::Rights::ReadWrite => "read-write".into(),
        },
    }
}

pub(crate) fn alarm(a: &Alarm) -> AlarmDoc {
    AlarmDoc {
        id: a.id.clone(),
        kind: a.kind.into(),
        pool: a.pool.clone(),
        disk: a.disk,
        severity: a.severity.word().into(),
        text: a.text.clone(),
        since: a.since.to_string(),
    }
}

pub(crate) fn disk(d: &Disk, pool: String, alarms: &[Alarm]) -> DiskDoc {
    let scrub = match (d.scrub.running, d.scrub.paused) {
        (_, true) => "paused",
        (true, false) => "running",
        (false, false) => "idle",
    };
    DiskDoc {
        disk: d.id,
        uuid: d.uuid,
        pool,
        state: d.state.word().into(),
        medium: if d.ssd { "ssd" } else { "hdd" }.into(),
        path: d.path.clone(),
        size: d.size,
        used: d.used,
        free: d.free,
        objects: d.objects,
        scrub: scrub.into(),
        scrubbed: [d.scrub.bytes, d.scrub.of],
        bad_blocks: d.scrub.bad,
        repaired_blocks: d.scrub.repaired,
        description: d.description.clone(),
        fault: d.fault.clone(),
        ignored: d.ignored,
        alarms: alarms.iter().filter(|a| a.disk == Some(d.id)).map(alarm).collect(),
    }
}

pub(crate) fn task(t: &Task) -> TaskDoc {
    TaskDoc {
        disk: t.disk,
        transaction: t.transaction,
        class: t.class.word().into(),
        objects: t.objects,
        done: t.done,
        under_way: t.under_way,
        bytes: t.bytes,
        paused: t.paused,
    }
}

pub(crate) fn balance(p: &BalancePlan) -> BalanceDoc {
    let fill = |d: &BalanceShare| FillDoc { disk: d.disk, used: d.before, after: d.after };
    BalanceDoc {
        moves: p.moves,
        bytes: p.bytes,
        running: p.running,
        disks: p.disks.iter().map(fill).collect(),
    }
}

pub(crate) fn backup(view: &backups::View) -> BackupDoc {
    let b = &view.backup;
    BackupDoc {
        id: b.id.0,
        name: b.name.clone(),
        volume: b.handle.clone(),
        volume_id: b.volume.0,
        size: b.size,
        stored: b.stored,
        state: b.shown().to_string(),
        base: b.base.map(|b| b.0),
        has_dependents: view.has_dependents,
        container: b.container.clone(),
        data: b.data.to_string(),
        fault: b.fault.clone(),
    }
}

pub(crate) fn image(i: &Image) -> ImageDoc {
    ImageDoc {
        id: i.id.0,
        name: i.name.clone(),
        format: i.disk_format.clone(),
        size: i.size,
        virtual_size: i.virtual_size,
        state: i.state.to_string(),
        visibility: i.visibility.word().into(),
        protected: i.protected,
        sha512: i.sha512.clone(),
        created: i.stamp.created.to_string(),
    }
}
