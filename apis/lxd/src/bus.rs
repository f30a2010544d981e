//! What LXD's clients are told of operations beyond the job's own row, and the events that are no job's.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use parpen_identity::Actor;
use parpen_model::{Api, Job, JobId, Subject};
use parpen_service::{Ports, names, snapshots, volumes};
use tokio::sync::broadcast;

use crate::to_wire::{self, Event, Operation, Resources, Told};

/// How many operations are remembered; the oldest are forgotten first.
const MEMORY: usize = 1024;
/// How long an operation that needed no job can be asked for. LXD keeps finished ones for 5 seconds.
const KEEP: Duration = Duration::from_secs(6);
/// How many events a slow listener may lag behind before it is cut.
const BACKLOG: usize = 1024;

/// Shared by all requests.
pub(crate) struct Bus {
    ports: Ports,
    told: Mutex<VecDeque<(JobId, Told)>>,
    short: Mutex<VecDeque<(Duration, Operation)>>,
    events: broadcast::Sender<Event>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Bus {
    /// Nothing remembered yet.
    pub(crate) fn new(ports: Ports) -> Arc<Bus> {
        let (events, _) = broadcast::channel(BACKLOG);
        Arc::new(Bus { ports, told: Mutex::default(), short: Mutex::default(), events })
    }

    /// Events from now on, those of jobs not among them.
    pub(crate) fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn send(&self, event: Event) {
        let _ = self.events.send(event); // nobody listening is no fault
    }

    /// Remembers what a job is about.
    pub(crate) fn tell(&self, job: JobId, told: Told) {
        let mut all = lock(&self.told);
        if all.iter().any(|(id, _)| *id == job) {
            return;
        }
        all.push_back((job, told));
        let surplus = all.len().saturating_sub(MEMORY);
        all.drain(..surplus);
    }

    /// A job as an operation. What nobody has told of it is looked up, once.
    pub(crate) async fn operation(&self, actor: &Actor, job: &Job) -> Operation {
        let known = lock(&self.told).iter().find(|(id, _)| *id == job.id).map(|(_, t)| t.clone());
        let told = match known {
            Some(told) => told,
            None => {
                let resources = self.resources(actor, job.subject).await;
                let told = Told { description: to_wire::description(&job.kind), resources };
                self.tell(job.id, told.clone());
                told
            }
        };
        to_wire::operation(job, told)
    }

    /// The address of what a job is about; nothing if that is gone, for then it has no address.
    async fn resources(&self, actor: &Actor, subject: Option<Subject>) -> Resources {
        match subject {
            None => Resources::new(),
            Some(Subject::Volume(id)) => {
                match volumes::get(&self.ports, actor, &volumes::Key::Id(id)).await {
                    Ok(v) => {
                        let url = to_wire::volume_url(&v.pool.name, &v.volume.shown_in(Api::Lxd));
                        Resources::from([("storage_volumes", vec![url])])
                    }
                    Err(_) => Resources::new(),
                }
            }
            Some(Subject::Snapshot(id)) => {
                match snapshots::get(&self.ports, actor, &snapshots::Key::Id(id)).await {
                    Ok(snapshots::View { snapshot, origin: Some(v), pool, .. }) => {
                        let (volume, name) = (v.shown_in(Api::Lxd), names::short_in(&snapshot, Api::Lxd));
                        let url = to_wire::snapshot_url(&pool.name, &volume, &name);
                        Resources::from([("storage_volume_snapshots", vec![url])])
                    }
                    Ok(_) | Err(_) => Resources::new(),
                }
            }
        }
    }

    /// An operation that was done at once: remembered for a while, and told to listeners.
    pub(crate) fn done_at_once(&self, told: Told) -> Operation {
        let now = self.ports.clock.now();
        let operation = to_wire::done_at_once(self.ports.entropy.uuid().to_string(), now, told);
        let steady = self.ports.clock.steady();
        let mut short = lock(&self.short);
        short.retain(|(since, _)| steady.saturating_sub(*since) < KEEP);
        short.push_back((steady, operation.clone()));
        let surplus = short.len().saturating_sub(MEMORY);
        short.drain(..surplus);
        drop(short);
        self.send(to_wire::operation_event(now, &operation));
        operation
    }

    /// The operations that were done at once, not long ago.
    pub(crate) fn short(&self) -> Vec<Operation> {
        let steady = self.ports.clock.steady();
        let short = lock(&self.short);
        short
            .iter()
            .filter(|(since, _)| steady.saturating_sub(*since) < KEEP)
            .map(|(_, o)| o.clone())
            .collect()
    }

    /// Whether a job that is over still stands in lists.
    pub(crate) fn is_recent(&self, job: &Job) -> bool {
        let over = job.stamp.updated.unwrap_or(job.stamp.created);
        let since = self.ports.clock.now().duration_since(over);
        !job.is_final() || since < jiff::SignedDuration::try_from(KEEP).unwrap_or(jiff::SignedDuration::MAX)
    }

    /// Tells listeners what was made, changed or removed.
    pub(crate) fn lifecycle(&self, actor: &Actor, action: &str, source: &str) {
        self.send(to_wire::lifecycle_event(self.ports.clock.now(), action, source, &actor.name));
    }

    /// The same when a job is done; nothing if it fails.
    pub(crate) fn lifecycle_after(
        self: &Arc<Self>,
        job: JobId,
        actor: &Actor,
        action: &'static str,
        source: String,
    ) {
        let (bus, actor) = (self.clone(), actor.clone());
        tokio::spawn(async move {
            if bus.ports.jobs.wait(job).await.is_ok() {
                bus.lifecycle(&actor, action, &source);
            }
        });
    }
}
