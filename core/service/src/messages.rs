//! What went wrong after its request was answered.

use jiff::SignedDuration;
use parpen_identity::{Actor, Power, may};
use parpen_model::{
    Condition, Job, JobState, Message, MessageId, Query, Scope, Stamp, Subject, VolumeId, WriteTx, read,
    write,
};
use serde::de::DeserializeOwned;

use crate::Ports;
use crate::jobs::World;

/// How long a message is kept at least.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Notes the failure of a job that is about a volume or snapshot, or about a backup of one, in the transaction that ends
/// it. Old messages leave.
pub(crate) fn note(
    tx: &mut dyn WriteTx,
    id: MessageId,
    now: jiff::Timestamp,
    job: &Job,
) -> Result<(), Condition> {
    let of_backup = || arg::<VolumeId>(job, "volume").map(Subject::Volume);
    let subject = job.subject.or_else(of_backup);
    let (Some(subject), Some(why), JobState::Failed) = (subject, job.error.clone(), job.state) else {
        return Ok(());
    };
    for old in tx.read().list::<Message>(Scope::Project(job.project), &Query::default())? {
        if old.expires <= now {
            tx.delete::<Message>(old.id)?;
        }
    }
    let mut message = Message {
        id,
        project: job.project,
        work: job.kind.clone(),
        subject,
        backup: arg(job, "backup"),
        why,
        origin: job.origin.clone(),
        expires: now.checked_add(KEPT).map_err(Condition::internal)?,
        stamp: Stamp::at(now),
    };
    tx.insert(&mut message)
}

/// What a job was told by that name, where its kind is told such a thing.
fn arg<T: DeserializeOwned>(job: &Job, name: &str) -> Option<T> {
    job.args.get(name).and_then(|value| serde_json::from_value(value.clone()).ok())
}

/// An id and the moment for [`note`].
pub(crate) fn mark(world: &World) -> (MessageId, jiff::Timestamp) {
    (MessageId(world.entropy.uuid()), world.clock.now())
}

/// The messages of the actor's project, the oldest first.
pub async fn list(ports: &Ports, actor: &Actor) -> Result<Vec<Message>, Condition> {
    may(actor, Power::Read, Some(actor.project))?;
    let project = Scope::Project(actor.project);
    read(&*ports.meta, move |tx| tx.list(project, &Query::default())).await
}

/// A message.
pub async fn get(ports: &Ports, actor: &Actor, id: MessageId) -> Result<Message, Condition> {
    let scope = actor.scope;
    let message: Message = read(&*ports.meta, move |tx| tx.get(scope, id)).await?;
    may(actor, Power::Read, Some(message.project))?;
    Ok(message)
}

/// Removes a message.
pub async fn delete(ports: &Ports, actor: &Actor, id: MessageId) -> Result<(), Condition> {
    let message = get(ports, actor, id).await?;
    may(actor, Power::Write, Some(message.project))?;
    write(&*ports.meta, move |tx| tx.delete::<Message>(id).map(|_| ())).await.map(|_| ())
}
