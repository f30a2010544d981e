//! Long work that outlives its request.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Condition, JobId, Kind, Noun, ProjectId, Stamp, Subject};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Its steps run, or will again after a restart.
    Running,
    /// A step failed; what was done is being undone.
    Undoing,
    /// All steps are done.
    Done,
    /// It failed and was undone.
    Failed,
}

/// One piece of long work. The row holds no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// `kind@version`; the key of its table of steps. Stable.
    pub kind: String,
    /// The project it works for.
    pub project: ProjectId,
    /// What it is about.
    pub subject: Option<Subject>,
    /// What it needs to know, with every id that its steps use.
    pub args: serde_json::Value,
    /// Names of the steps that are done, in order.
    pub done: Vec<String>,
    /// Where it stands.
    pub state: JobState,
    /// Units done and in all, where a step counts (bytes).
    pub progress: Option<(u64, u64)>,
    /// The request that began it, where its side names requests.
    #[serde(default)]
    pub origin: Option<String>,
    /// Why it failed.
    pub error: Option<Condition>,
    /// Order, revision, times.
    pub stamp: Stamp,
}

impl Job {
    /// Whether nothing more will happen.
    pub fn is_final(&self) -> bool {
        matches!(self.state, JobState::Done | JobState::Failed)
    }
}

impl Noun for Job {
    const KIND: Kind = Kind::Job;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        self.id.to_string()
    }
    fn project(&self) -> Option<ProjectId> {
        Some(self.project)
    }
    fn parent(&self) -> Option<Uuid> {
        self.subject.map(Subject::uuid)
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}
