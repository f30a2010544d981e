//! From nouns to documents.

use parpen_block::SessionInfo;
use parpen_model::{Api, BalancePlan, Disk, Host, Job, JobState, Pool, Rights, Task};
use parpen_service::{names, snapshots, volumes};

use crate::doc::{
    BalanceDoc, DiskDoc, FillDoc, HolderDoc, HostDoc, JobDoc, PoolDoc, SessionDoc, SnapshotDoc, TaskDoc,
    VolumeDoc,
};

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
        description: p.description.clone(),
        fault: p.fault.clone(),
        remark: None,
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
        state: v.life.to_string(),
        usage: v.usage.to_string(),
        work: v.work.iter().map(|w| w.to_string()).collect(),
        health: v.health.to_string(),
        parent: view.parent.as_ref().map(|s| s.handle.to_string()),
        lock: view.lock.as_ref().map(|l| l.spelling.clone()),
        holders: view.attachments.iter().map(holder).collect(),
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
        nbd: uri(nbd, s.handle.as_str()),
        created: s.stamp.created.to_string(),
    }
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

pub(crate) fn disk(d: &Disk, pool: String) -> DiskDoc {
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
        objects: d.objects,
        scrub: scrub.into(),
        scrubbed: [d.scrub.bytes, d.scrub.of],
        bad_blocks: d.scrub.bad,
        repaired_blocks: d.scrub.repaired,
        description: d.description.clone(),
        fault: d.fault.clone(),
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
    let fill = |(disk, used, after): &(u16, u64, u64)| FillDoc { disk: *disk, used: *used, after: *after };
    BalanceDoc {
        moves: p.moves,
        bytes: p.bytes,
        running: p.running,
        disks: p.disks.iter().map(fill).collect(),
    }
}
