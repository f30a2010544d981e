//! Ending a backup.
//!
//! First its manifest becomes a note below `deleting/`: from then on nobody can read it, and what it needed is known even
//! after a crash. Then, under the volume's lease, segments of the note that no other manifest lists are removed, and the
//! note last. A backup that is being written lists no segments yet; the service keeps its base from being removed.

use std::collections::HashSet;

use object_store::path::Path;
use parpen_model::Condition;
use parpen_model::ports::Place;

use crate::ObjectArchive;
use crate::manifest::Manifest;

pub(crate) async fn remove(archive: &ObjectArchive, at: &Place) -> Result<(), Condition> {
    let _alone = archive.sweeping.lock().await;
    let lease = archive.lease(at).await?;
    let swept = sweep(archive, at).await;
    let released = lease.release().await;
    swept.and(released)
}

async fn sweep(archive: &ObjectArchive, at: &Place) -> Result<(), Condition> {
    let (manifest, note) =
        (archive.manifest_path(at), archive.path(at, &["deleting", &at.backup.to_string()]));
    match archive.get(&manifest).await {
        Ok(bytes) => {
            archive.put(&note, bytes, object_store::PutMode::Overwrite).await?;
            archive.delete(&manifest).await?;
        }
        Err(Condition::NotFound { .. }) => {}
        Err(e) => return Err(e),
    }
    let mut candidates: HashSet<Path> = HashSet::new();
    match archive.get(&note).await {
        // A damaged note names nothing; its own folder is listed all the same.
        Ok(bytes) => match Manifest::from_bytes(&bytes) {
            Ok(m) => candidates.extend(m.needs().map(|name| archive.segment_path(at, name))),
            Err(e) => tracing::warn!(backup = %at.backup, error = %e, "segments it shared may stay behind"),
        },
        Err(Condition::NotFound { .. }) => {}
        Err(e) => return Err(e),
    }
    let own = archive.segment_path(at, &at.backup.to_string());
    candidates.extend(archive.list(&own).await?.into_iter().map(|o| o.location));
    for needed in needed(archive, at).await? {
        candidates.remove(&needed);
    }
    for segment in candidates {
        archive.delete(&segment).await?;
    }
    archive.delete(&note).await
}

/// Every segment that a manifest of this volume lists. One that cannot be read ends the sweep: nothing is removed on a
/// guess.
async fn needed(archive: &ObjectArchive, at: &Place) -> Result<HashSet<Path>, Condition> {
    let mut all = HashSet::new();
    for object in archive.list(&archive.path(at, &["manifests"])).await? {
        let bytes = archive.get(&object.location).await?;
        let manifest = Manifest::from_bytes(&bytes)?;
        all.extend(manifest.needs().map(|name| archive.segment_path(at, name)));
    }
    Ok(all)
}
