//! A database that was put back from a copy: what was under way when the copy was made.
//!
//! The jobs in it may have ended long ago, and their volumes have lived on. Taken up, or undone, they would remove or
//! overwrite what is there now: the undoing of a move, for example, deletes the only copy. So none of them runs again.

use parpen_model::lifecycle::{
    BackupEvent, BackupState, ImageState, Life, LifeEvent, Migration, Work, backup, life,
};
use parpen_model::{
    Backup, Condition, Group, GroupSnapshot, Image, Job, JobState, Noun, Pool, Query, Scope, Snapshot,
    Volume, WriteTx,
};

use crate::images;

const WHY: &str = "the database was put back from a copy that was made while this was under way: nobody knows what \
                   became of it; look at it before it is declared ready";

/// Ends every job without running or undoing it, and puts what it was about in error.
pub(crate) fn settle(tx: &mut dyn WriteTx, now: jiff::Timestamp) -> Result<(), Condition> {
    let every = Query::default();
    for mut job in tx.read().list::<Job>(Scope::All, &every)?.into_iter().filter(|j| !j.is_final()) {
        tracing::warn!(id = %job.id, kind = %job.kind, "a job of the time when the copy was made is not taken up");
        job.state = JobState::Failed;
        job.error = Some(Condition::Conflict(WHY.into()));
        job.stamp.updated = Some(now);
        tx.update(&mut job)?;
    }
    for mut v in tx.read().list::<Volume>(Scope::All, &every)? {
        let worked_on = v.work.iter().any(|w| changes_bytes(*w));
        if v.work.is_empty() && v.life != Life::Creating && v.life != Life::Deleting {
            continue;
        }
        v.work.clear();
        if v.migration.is_some_and(Migration::is_under_way) {
            v.migration = Some(Migration::Error);
        }
        if broken(&mut v.life) || worked_on && spoiled(&mut v.life) {
            v.fault = Some(WHY.into());
        }
        tx.update(&mut v)?;
    }
    each(tx, |s: &mut Snapshot| broken(&mut s.life).then(|| s.fault = Some(WHY.into())))?;
    each(tx, |g: &mut Group| broken(&mut g.life).then(|| g.fault = Some(WHY.into())))?;
    each(tx, |g: &mut GroupSnapshot| broken(&mut g.life).then(|| g.fault = Some(WHY.into())))?;
    each(tx, |p: &mut Pool| broken(&mut p.life).then(|| p.fault = Some(WHY.into())))?;
    settle_copies(tx)
}

/// Stores the rows that `change` changes.
fn each<N: Noun>(
    tx: &mut dyn WriteTx,
    mut change: impl FnMut(&mut N) -> Option<()>,
) -> Result<(), Condition> {
    for mut row in tx.read().list::<N>(Scope::All, &Query::default())? {
        if change(&mut row).is_some() {
            tx.update(&mut row)?;
        }
    }
    Ok(())
}

fn settle_copies(tx: &mut dyn WriteTx) -> Result<(), Condition> {
    let every = Query::default();
    for mut b in tx.read().list::<Backup>(Scope::All, &every)? {
        let event = match b.state {
            BackupState::Restoring => BackupEvent::Restored,
            BackupState::Creating | BackupState::Deleting => BackupEvent::Broke,
            BackupState::Available | BackupState::Error => continue,
        };
        b.state = backup(b.state, event).map_err(|r| r.about(parpen_model::Kind::Backup, b.id))?;
        if b.state == BackupState::Error {
            b.fault = Some(WHY.into());
        }
        tx.update(&mut b)?;
    }
    // Bytes that came in the end are kept: only the row waits for others.
    let saving = tx.read().list::<Image>(Scope::All, &every)?.into_iter();
    let saving: Vec<_> = saving.filter(|i| i.state == ImageState::Saving).map(|i| i.id).collect();
    images::forget(tx, &saving)
}

/// What was being made or removed is in error.
fn broken(of: &mut Life) -> bool {
    step(of, LifeEvent::Broke)
}

/// What was ready and worked on, too.
fn spoiled(of: &mut Life) -> bool {
    step(of, LifeEvent::Spoiled)
}

fn step(of: &mut Life, event: LifeEvent) -> bool {
    match life(*of, event) {
        Ok(next) => {
            *of = next;
            true
        }
        Err(_) => false,
    }
}

/// Whether work leaves a volume with other bytes, size or place than its row says.
fn changes_bytes(work: Work) -> bool {
    match work {
        Work::Copying | Work::Uploading | Work::Rebasing => false,
        Work::Resizing | Work::RollingBack | Work::Restoring => true,
        Work::Downloading | Work::Moving | Work::Freezing => true,
    }
}
