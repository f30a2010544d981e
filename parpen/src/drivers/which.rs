//! Which disk lies in which file: the disks say it themselves, whatever their files are called.

use std::fs;
use std::io;
use std::path::Path;

use parpen_array::MemberInfo;
use parpen_engine::{FileDisk, FileError, OpenError, identify};
use parpen_model::{Condition, DiskPlace, Pool};
use uuid::Uuid;

use super::{LocalDrivers, files, refused};

/// The paths of a pool's disks, as its row has them, with what lies there; without those at which none of its disks is.
pub(super) struct Seen(Vec<(String, Uuid)>);

impl Seen {
    /// Another path at which the same disk lies.
    fn twin_of(&self, path: &str) -> Option<&str> {
        let (_, uuid) = self.0.iter().find(|(p, _)| p == path)?;
        self.0.iter().find(|(p, u)| u == uuid && p != path).map(|(p, _)| p.as_str())
    }

    /// Where a disk lies, if that is one place.
    fn path_of(&self, uuid: Uuid) -> Option<&str> {
        let mut all = self.0.iter().filter(|(_, u)| *u == uuid).map(|(p, _)| p.as_str());
        all.next().filter(|_| all.next().is_none())
    }
}

/// Where the members of a store were seen, by the rows of their disks.
fn seen_at<'a>(place: &DiskPlace, seen: &'a Seen, members: &[MemberInfo]) -> Option<&'a str> {
    members.iter().find(|m| m.number == place.number).and_then(|m| seen.path_of(m.uuid))
}

/// The places of a pool's disks with each path where its disk is. Who was not seen is looked for where it was, or else
/// where nobody is: no two disks share a path.
pub(super) fn found(places: &[DiskPlace], seen: &Seen, members: &[MemberInfo]) -> Vec<DiskPlace> {
    let at = |p: &DiskPlace| seen_at(p, seen, members).map(str::to_string);
    let taken: Vec<String> = places.iter().filter_map(at).collect();
    let is_away = |p: &&DiskPlace| at(p).is_none();
    let stays = |p: &&DiskPlace| is_away(p) && !taken.contains(&p.path);
    let kept: Vec<&String> = places.iter().filter(stays).map(|p| &p.path).collect();
    let mut left = places.iter().map(|p| &p.path).filter(|p| !taken.contains(p) && !kept.contains(p));
    let path = |p: &DiskPlace| match at(p) {
        Some(path) => path,
        None if kept.contains(&&p.path) => p.path.clone(),
        None => left.next().unwrap_or(&p.path).clone(),
    };
    let paths: Vec<String> = places.iter().map(path).collect();
    places.iter().zip(paths).map(|(p, path)| DiskPlace { path, ..p.clone() }).collect()
}

impl LocalDrivers {
    pub(super) async fn is_of(&self, path: &Path, pool: &Pool) -> Result<bool, Condition> {
        Ok(self.identity(path).await?.is_some_and(|(store, _)| store == pool.id.0))
    }

    /// The store that a disk belongs to, and its own id; `None`: no disk of ours, or nothing is there.
    pub(super) async fn identity(&self, path: &Path) -> Result<Option<(Uuid, Uuid)>, Condition> {
        if fs::symlink_metadata(path).is_err() {
            return Ok(None);
        }
        if !files::unlocked(path).await {
            return Err(refused(format!(
                "{} is in use by another process; stop that one first",
                path.display()
            )));
        }
        let (tell, told) = tokio::sync::oneshot::channel();
        let at = path.to_path_buf();
        self.homes.any().run(Box::new(move || {
            parpen_ring::spawn_local(async move {
                let found = match FileDisk::open(&at) {
                    Ok(disk) => identify(&disk).await.map_err(StoreErrorKind::Open),
                    Err(e) => Err(StoreErrorKind::File(e.to_string())),
                };
                // Nobody waits when the service is ending.
                let _ = tell.send(found);
            });
        }));
        match told.await {
            Ok(Ok(ids)) => Ok(Some(ids)),
            Ok(Err(StoreErrorKind::Open(OpenError::NotOurs))) => Ok(None),
            Ok(Err(StoreErrorKind::Open(e))) => Err(refused(format!("{}: {e}", path.display()))),
            Ok(Err(StoreErrorKind::File(e))) => Err(refused(e)),
            Err(_) => Err(refused("the reactor has ended")),
        }
    }

    /// Looks at what lies where the disks of a pool are to be. What cannot be looked at is told by its opening.
    pub(super) async fn look(&self, pool: &Pool) -> Seen {
        let mut seen = Vec::new();
        for place in &pool.disks {
            match self.identity(&self.at(place)).await {
                Ok(Some((store, disk))) if store == pool.id.0 => seen.push((place.path.clone(), disk)),
                _ => {}
            }
        }
        Seen(seen)
    }

    /// Why a disk is not opened of which there are two: an older copy that is believed costs what was written since.
    pub(super) fn twin(&self, seen: &Seen, place: &DiskPlace) -> Option<FileError> {
        let twin = self.data.join(seen.twin_of(&place.path)?);
        let why = format!(
            "{} is the same disk, and one of them is a copy: move the older one away, then start again",
            twin.display()
        );
        Some(FileError::System { path: self.at(place), error: io::Error::other(why) })
    }

    /// Says which disks lie under the names of others.
    pub(super) fn note_moved(&self, pool: &Pool, seen: &Seen, members: &[MemberInfo]) {
        for place in &pool.disks {
            let Some(path) = seen_at(place, seen, members).filter(|path| *path != place.path) else {
                continue;
            };
            let Some(other) = pool.disks.iter().find(|p| p.path == path) else { continue };
            self.note(format!(
                "pool {:?}: disk {} was found at {}, where disk {} was: files or devices have changed names; \
                 each serves as the disk that it is",
                pool.name,
                place.number,
                self.at(other).display(),
                other.number
            ));
        }
    }

    /// Removes the file of a disk that was forgotten, unless something else has its name by now.
    pub(super) async fn remove_disk(&self, place: &DiskPlace, disk: Uuid) -> Result<(), Condition> {
        let path = self.at(place);
        let why = match self.identity(&path).await {
            Ok(Some((_, there))) if there == disk => return files::remove(&path),
            Ok(_) => "that disk is not there".to_string(),
            Err(e) => e.to_string(),
        };
        tracing::warn!(disk = place.number, path = %path.display(), why, "the file of a forgotten disk is left alone");
        Ok(())
    }
}

/// Why it is not known what is on a disk.
enum StoreErrorKind {
    Open(OpenError),
    File(String),
}

#[cfg(test)]
mod tests {
    use parpen_array::{Faults, State};

    use super::*;

    fn id(n: u16) -> Uuid {
        Uuid::from_u128(u128::from(n))
    }

    fn member(number: u16) -> MemberInfo {
        let (about, faults) = (parpen_array::About::default(), Faults::default());
        let (trouble, space, objects, unclean) = (None, None, 0, 0);
        MemberInfo {
            number,
            uuid: id(number),
            state: State::InSync,
            about,
            trouble,
            space,
            objects,
            unclean,
            faults,
        }
    }

    /// The paths of three disks named a, b and c, of which these were seen.
    fn paths(seen: &[(&str, u16)]) -> String {
        let place = |(number, path): (u16, &str)| DiskPlace {
            number,
            path: path.into(),
            capacity: 0,
            ssd: false,
            description: String::new(),
            ignored: false,
        };
        let places = [(1, "a"), (2, "b"), (3, "c")].map(place);
        let seen = Seen(seen.iter().map(|(path, n)| (path.to_string(), id(*n))).collect());
        let found = found(&places, &seen, &[1, 2, 3].map(member));
        assert!(found.iter().zip(1..).all(|(p, n)| p.number == n));
        found.into_iter().map(|p| p.path).collect()
    }

    #[test]
    fn a_disk_has_the_path_where_it_was_seen_and_no_two_have_one() {
        assert_eq!(paths(&[]), "abc");
        assert_eq!(paths(&[("a", 1), ("c", 3)]), "abc");
        assert_eq!(paths(&[("a", 2), ("b", 1), ("c", 3)]), "bac");
        assert_eq!(paths(&[("a", 2), ("b", 3), ("c", 1)]), "cab");
        assert_eq!(paths(&[("b", 1), ("c", 3)]), "bac", "the second is away, and its name is another's");
        assert_eq!(paths(&[("b", 1), ("c", 2)]), "bca");
        assert_eq!(paths(&[("a", 9), ("b", 1)]), "bac", "what the store does not know has no say");
        assert_eq!(paths(&[("a", 1), ("b", 1), ("c", 3)]), "abc", "nobody knows which one is the copy");
    }

    #[test]
    fn a_copy_is_seen_from_both_sides() {
        let seen = Seen(vec![("a".into(), id(1)), ("b".into(), id(2)), ("c".into(), id(1))]);
        assert_eq!(["a", "b", "c", "d"].map(|p| seen.twin_of(p)), [Some("c"), None, Some("a"), None]);
        assert_eq!([1, 2, 3].map(|n| seen.path_of(id(n))), [None, Some("b"), None]);
    }
}
