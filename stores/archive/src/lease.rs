//! One sweep of a volume's backups at a time, whoever shares the store.

use jiff::{SignedDuration, Timestamp};
use object_store::PutMode;
use object_store::path::Path;
use parpen_model::Condition;
use parpen_model::ports::Place;
use serde::{Deserialize, Serialize};

use crate::ObjectArchive;

/// How long a lease holds that nobody released. Far longer than a sweep takes, as clocks differ.
const HOLDS: SignedDuration = SignedDuration::from_mins(30);
/// How often, and after how many milliseconds, a lease of somebody else is asked for again.
const TRIES: u32 = 60;
const PAUSE: u64 = 500;

#[derive(Serialize, Deserialize)]
struct Note {
    owner: String,
    until: Timestamp,
}

/// A lease that is held.
pub(crate) struct Lease<'a> {
    archive: &'a ObjectArchive,
    path: Path,
}

impl Lease<'_> {
    /// Ends it.
    pub(crate) async fn release(self) -> Result<(), Condition> {
        self.archive.delete(&self.path).await
    }
}

impl ObjectArchive {
    /// Takes the lease on a volume's folder, waiting a while for another's. One's own is taken over: one process at a
    /// time is this owner, and it sweeps one volume at a time.
    pub(crate) async fn lease(&self, at: &Place) -> Result<Lease<'_>, Condition> {
        let path = self.path(at, &["lease"]);
        for _ in 0..TRIES {
            let until = self.clock.now() + HOLDS;
            let note = Note { owner: self.owner.clone(), until };
            let bytes = serde_json::to_vec(&note).map_err(Condition::internal)?;
            match self.put(&path, bytes.into(), PutMode::Create).await {
                Ok(()) => return Ok(Lease { archive: self, path }),
                Err(Condition::Exists { .. }) => {}
                Err(e) => return Err(e),
            }
            let held = match self.get(&path).await {
                Ok(bytes) => serde_json::from_slice::<Note>(&bytes).ok(),
                Err(Condition::NotFound { .. }) => continue,
                Err(e) => return Err(e),
            };
            // What cannot be read holds nothing.
            let stale = held.is_none_or(|n| n.owner == self.owner || n.until < self.clock.now());
            if stale {
                self.delete(&path).await?;
            } else {
                tokio::time::sleep(std::time::Duration::from_millis(PAUSE)).await;
            }
        }
        Err(Condition::Unavailable("another service is sweeping these backups; try again later".into()))
    }
}
