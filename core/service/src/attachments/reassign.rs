//! Moving volumes and snapshots between hosts, all or nothing, and taking them away. The order is the promise:
//! intent rows first (admitting nobody), then the gate cuts, then the final rows, then the new holders are let in.

use parpen_base::Boxed;
use parpen_block::{Admits, ExportId, Fenced, Whom};
use parpen_identity::{Actor, Power, may};
use parpen_model::lifecycle::{AttachEvent, AttachState, Standing, attachment};
use parpen_model::{
    Attachment, AttachmentId, Attributes, Condition, Host, Job, Kind, ProjectId, ReadTx, Rights, Scope,
    Snapshot, Stamp, Subject, Volume, WriteTx, read, write,
};
use serde::{Deserialize, Serialize};

use super::{export_name, free_slot, holder, refuse_conflict, refuse_in_use, settle};
use crate::jobs::{Commit, JobStep, StepCx, nothing, plan};
use crate::{Ports, Started, access, hosts};

pub(crate) const KIND: &str = "reassign@1";
pub(crate) const STEPS: &[&dyn JobStep] = &[&Fence, &Admit];

/// Which holders lose it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Detach {
    /// None.
    #[default]
    Nobody,
    /// All.
    Everyone,
    /// Those of these spellings.
    Hosts(Vec<String>),
}

/// What changes for one volume or snapshot.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which.
    pub subject: Subject,
    /// Who loses it.
    pub detach: Detach,
    /// Who gets it to read and write, by spelling.
    pub read_write: Vec<String>,
    /// Who gets it to read, by spelling.
    pub read_only: Vec<String>,
    /// Take it away even from those who have it open.
    pub force: bool,
}

#[derive(Serialize, Deserialize)]
struct Args {
    subjects: Vec<Subject>,
    leaving: Vec<AttachmentId>,
    coming: Vec<AttachmentId>,
    /// Those whose exports shut although the rows stay.
    #[serde(default)]
    shut: Vec<AttachmentId>,
}

/// A job that makes the gate follow the rows of `subjects` and ends the attachments that are leaving.
pub(crate) fn fence_job(
    ports: &Ports,
    project: ProjectId,
    subjects: Vec<Subject>,
    leaving: Vec<AttachmentId>,
) -> Result<Job, Condition> {
    let about = subjects.first().copied();
    let args = Args { subjects, leaving, coming: Vec::new(), shut: Vec::new() };
    plan(ports, KIND, project, about, &args)
}

/// The same for one subject, and shuts the exports of those who have given their connections back.
pub(crate) fn fence_job_with(
    ports: &Ports,
    project: ProjectId,
    subject: Subject,
    leaving: Vec<AttachmentId>,
    shut: Vec<AttachmentId>,
) -> Result<Job, Condition> {
    let args = Args { subjects: vec![subject], leaving, coming: Vec::new(), shut };
    plan(ports, KIND, project, Some(subject), &args)
}

/// What an API allows when it detaches.
#[derive(Clone, Copy, Debug, Default)]
pub struct DetachTerms {
    /// What a machine has open at this moment stays.
    pub respect_machines: bool,
}

/// Takes one attachment away, whatever its state; whoever has it open is cut.
pub async fn detach(
    ports: &Ports,
    actor: &Actor,
    id: AttachmentId,
    terms: DetachTerms,
) -> Result<Started<Attachment>, Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let ((now, job), generation) = write(&*ports.meta, move |tx| {
        let mut a: Attachment = tx.read().get(actor_in.scope, id)?;
        may(&actor_in, Power::Write, Some(a.project))?;
        refuse_in_use(&ports_in, &a, terms)?;
        leave(tx, &mut a)?;
        settle(tx, a.subject)?;
        let mut job = fence_job(&ports_in, a.project, vec![a.subject], vec![id])?;
        tx.insert(&mut job)?;
        Ok((a, job.id))
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now, job, generation })
}

/// Makes all the changes in one transaction, or none.
pub async fn reassign(ports: &Ports, actor: &Actor, changes: Vec<Change>) -> Result<Started<()>, Condition> {
    let (ports_in, actor_in) = (ports.clone(), actor.clone());
    let (job, generation) = write(&*ports.meta, move |tx| {
        let mut args =
            Args { subjects: Vec::new(), leaving: Vec::new(), coming: Vec::new(), shut: Vec::new() };
        for c in &changes {
            apply(tx, &ports_in, &actor_in, c, &mut args)?;
            args.subjects.push(c.subject);
        }
        let about = args.subjects.first().copied();
        let mut job = plan(&ports_in, KIND, actor_in.project, about, &args)?;
        tx.insert(&mut job)?;
        Ok(job.id)
    })
    .await?;
    ports.jobs.begin(job);
    Ok(Started { now: (), job, generation })
}

fn apply(
    tx: &mut dyn WriteTx,
    ports: &Ports,
    actor: &Actor,
    c: &Change,
    args: &mut Args,
) -> Result<(), Condition> {
    let volume = match c.subject {
        Subject::Volume(id) => Some(tx.read().get::<Volume>(actor.scope, id)?),
        Subject::Snapshot(_) => None,
    };
    let project = match (&volume, c.subject) {
        (Some(v), _) => v.project,
        (None, subject) => tx.read().get::<Snapshot>(actor.scope, subject.uuid())?.project,
    };
    may(actor, Power::Write, Some(project))?;
    for mut a in leaving(tx.read(), c)? {
        refuse_open(tx.read(), ports, &a, c.force)?;
        leave(tx, &mut a)?;
        args.leaving.push(a.id);
    }
    let wanted = c.read_write.iter().map(|h| (h, Rights::ReadWrite));
    for (spelling, rights) in wanted.chain(c.read_only.iter().map(|h| (h, Rights::ReadOnly))) {
        let host = hosts::find_or_make(tx, &*ports.entropy, &*ports.clock, spelling)?;
        if let Some(id) = arrive(tx, ports, c.subject, volume.as_ref(), project, (&host, rights), args)? {
            args.coming.push(id);
        }
    }
    settle(tx, c.subject)
}

fn leaving(tx: &dyn ReadTx, c: &Change) -> Result<Vec<Attachment>, Condition> {
    let present: Vec<Attachment> = tx.children(c.subject.uuid())?;
    let hosts = match &c.detach {
        Detach::Nobody => return Ok(Vec::new()),
        Detach::Everyone => return Ok(present),
        Detach::Hosts(spellings) => spellings,
    };
    let mut out = Vec::new();
    for spelling in hosts {
        let host = hosts::find(tx, spelling)?;
        let of = present.iter().filter(|a| a.host.is_some() && a.host == host.as_ref().map(|h| h.id));
        out.extend(of.cloned());
    }
    Ok(out)
}

fn refuse_open(tx: &dyn ReadTx, ports: &Ports, a: &Attachment, force: bool) -> Result<(), Condition> {
    let open = !ports.sessions.of(ExportId(a.id.0)).is_empty();
    if !open || force {
        return Ok(());
    }
    Err(Condition::in_use(a.subject.kind(), access::title(tx, a.subject)?, vec![holder(tx, a)?]))
}

/// One holder is to leave: from now on its export admits nobody.
pub(crate) fn leave(tx: &mut dyn WriteTx, a: &mut Attachment) -> Result<(), Condition> {
    a.state = attachment(a.state, AttachEvent::Detach).map_err(|r| r.about(Kind::Attachment, a.id))?;
    if let Subject::Volume(id) = a.subject
        && let Some(mut v) = tx.read().find::<Volume>(Scope::All, id)?
        && v.declared == Some(Standing::Detaching)
    {
        // That somebody will leave was said of this one.
        v.declared = None;
        tx.update(&mut v)?;
    }
    tx.update(a)
}

/// A new shared attachment as an intent (reserved, admitting nobody); `None` when the host has it so already.
fn arrive(
    tx: &mut dyn WriteTx,
    ports: &Ports,
    subject: Subject,
    volume: Option<&Volume>,
    project: ProjectId,
    (host, rights): (&Host, Rights),
    args: &mut Args,
) -> Result<Option<AttachmentId>, Condition> {
    if let Some(v) = volume {
        access::check_lock(tx.read(), v, Some(host.id.into()))?;
        refuse_conflict(tx.read(), v, false, &args.leaving, None)?;
    }
    let readonly = volume.is_none_or(|v| v.readonly);
    let rights = if readonly { Rights::ReadOnly } else { rights };
    let present: Vec<Attachment> = tx.read().children(subject.uuid())?;
    let mut mine = present.into_iter().filter(|a| a.host == Some(host.id) && !args.leaving.contains(&a.id));
    let slot = match mine.next() {
        Some(a) if a.rights == rights => return Ok(None),
        // The same holder with other rights: the old attachment goes, the new one takes its slot.
        Some(mut a) => {
            leave(tx, &mut a)?;
            args.leaving.push(a.id);
            a.slot
        }
        None => None,
    };
    let slot = match slot {
        Some(s) => s,
        None => free_slot(tx.read(), host.id)?,
    };
    let mut a = Attachment {
        id: AttachmentId(ports.entropy.uuid()),
        subject,
        project,
        host: Some(host.id),
        rights,
        exclusive: false,
        state: AttachState::Reserved,
        export: export_name(&*ports.entropy),
        slot: Some(slot),
        mountpoint: None,
        instance: None,
        attached: None,
        by_volume: false,
        returned: false,
        attributes: Attributes::default(),
        stamp: Stamp::at(ports.clock.now()),
    };
    tx.insert(&mut a)?;
    Ok(Some(a.id))
}

/// Ends the exports of those who leave and cuts from the plain exports whom the rules no longer let in.
struct Fence;
impl JobStep for Fence {
    fn name(&self) -> &'static str {
        "fence"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            let mut fenced = Vec::new();
            for id in args.leaving.iter().chain(&args.shut) {
                fenced.push(cut_attachment(cx, *id).await?);
            }
            for s in &args.subjects {
                cut_plain(cx, *s, &mut fenced).await?;
            }
            let now = cx.world.clock.now();
            let commit: Commit = Box::new(move |tx| finish(tx, &args, &fenced, now));
            Ok(commit)
        })
    }
    fn undo<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        // Fencing cannot be taken back and need not be: what was to leave leaves, what was to come does not.
        Box::pin(async move {
            let args: Args = cx.args()?;
            let mut fenced = Vec::new();
            for id in args.leaving.iter().chain(&args.coming) {
                fenced.push(cut_attachment(cx, *id).await?);
            }
            let now = cx.world.clock.now();
            let args = Args { leaving: args.leaving.iter().chain(&args.coming).copied().collect(), ..args };
            let args = Args { coming: Vec::new(), ..args };
            let commit: Commit = Box::new(move |tx| finish(tx, &args, &fenced, now));
            Ok(commit)
        })
    }
}

/// Shuts an attachment's own export; the answer is the proof that no byte of its holder can land any more.
async fn cut_attachment(cx: &mut StepCx, id: AttachmentId) -> Result<Fenced, Condition> {
    let a: Option<Attachment> = read(&*cx.world.meta, move |tx| tx.find(Scope::All, id)).await?;
    let epoch = a.map_or(u64::MAX, |a| a.stamp.revision as u64);
    cx.world.gate.close(ExportId(id.0), Whom::Everyone, epoch);
    Ok(cx.world.gate.cut(ExportId(id.0), Whom::Everyone).await)
}

/// Publishes the plain export's rules and cuts whom they no longer let in.
async fn cut_plain(cx: &mut StepCx, subject: Subject, fenced: &mut Vec<Fenced>) -> Result<(), Condition> {
    let rule = read(&*cx.world.meta, move |tx| access::plain_rule(tx, subject)).await?;
    let Some(rule) = rule else { return Ok(()) };
    let whom = match &rule.table.admits {
        Admits::Everyone => None,
        Admits::Only(h) => Some(Whom::AllBut(*h)),
        Admits::Nobody(_) => Some(Whom::Everyone),
    };
    cx.world.gate.publish(rule.export, rule.table, rule.epoch);
    if let Some(whom) = whom {
        fenced.push(cx.world.gate.cut(rule.export, whom).await);
    }
    Ok(())
}

/// The final rows. Each attachment that leaves needs its proof of fencing.
fn finish(
    tx: &mut dyn WriteTx,
    args: &Args,
    fenced: &[Fenced],
    now: jiff::Timestamp,
) -> Result<(), Condition> {
    for id in &args.leaving {
        if !fenced.iter().any(|f| f.export() == ExportId(id.0)) {
            return Err(Condition::internal(format!("attachment {id} was not fenced")));
        }
        tx.delete::<Attachment>(*id)?;
    }
    for id in &args.coming {
        let Some(mut a) = tx.read().find::<Attachment>(Scope::All, *id)? else { continue };
        // A later change takes it away already: that one has the last word.
        if a.state == AttachState::Detaching {
            continue;
        }
        for event in [AttachEvent::Connect, AttachEvent::Complete] {
            a.state = attachment(a.state, event).map_err(|r| r.about(Kind::Attachment, a.id))?;
        }
        a.attached = Some(now);
        tx.update(&mut a)?;
    }
    args.subjects.iter().try_for_each(|s| settle(tx, *s))
}

/// Lets in whom the final rows name.
struct Admit;
impl JobStep for Admit {
    fn name(&self) -> &'static str {
        "admit"
    }
    fn run<'a>(&'a self, cx: &'a mut StepCx) -> Boxed<'a, Result<Commit, Condition>> {
        Box::pin(async move {
            let args: Args = cx.args()?;
            for id in &args.leaving {
                cx.world.gate.forget(ExportId(id.0));
            }
            for s in args.subjects {
                access::republish(&cx.world.gate, &*cx.world.meta, s).await?;
            }
            Ok(nothing())
        })
    }
}
