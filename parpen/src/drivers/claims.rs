//! What the files of all pools may still take of the file systems that they are on.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use parpen_base::GIB;
use uuid::Uuid;

use super::{files, medium};

/// A file that a pool has as its disk.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// Where it is.
    pub(super) path: PathBuf,
    /// How far it may grow, in bytes.
    pub(super) capacity: u64,
}

impl Claim {
    /// Bytes that it may take besides those that it has; none where it is a device.
    fn growth(&self) -> u64 {
        match fs::metadata(&self.path) {
            Ok(meta) if meta.is_file() => self.capacity.saturating_sub(meta.blocks() * 512),
            Ok(_) => 0,
            Err(_) => self.capacity,
        }
    }

    fn is_file(&self) -> bool {
        fs::metadata(&self.path).map_or(true, |meta| meta.is_file())
    }
}

/// The claims of every pool that was opened.
#[derive(Default)]
pub(super) struct Claims(Mutex<BTreeMap<Uuid, (String, Vec<Claim>)>>);

impl Claims {
    /// What a pool has now.
    pub(super) fn note(&self, pool: Uuid, name: &str, claims: Vec<Claim>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(pool, (name.to_string(), claims));
    }

    /// A pool is gone.
    pub(super) fn forget(&self, pool: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&pool);
    }

    /// Says so where the room of a pool is promised to others, too, and does not suffice for all of them.
    pub(super) fn remark(&self, pool: Uuid) -> Option<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (_, own) = all.get(&pool)?;
        let on = |c: &Claim| medium::device_of(&c.path);
        for claim in own.iter().filter(|c| c.is_file()) {
            let device = on(claim);
            let here = |c: &&Claim| c.is_file() && on(c) == device;
            let growth: u64 = all.values().flat_map(|(_, all)| all).filter(here).map(Claim::growth).sum();
            let free = files::free_bytes(&claim.path).ok()?;
            if device.is_none() || growth <= free {
                continue;
            }
            let shares = |(id, (name, all)): (&Uuid, &(String, Vec<Claim>))| {
                (*id != pool && all.iter().any(|c| here(&c))).then(|| format!("{name:?}"))
            };
            let others: Vec<String> = all.iter().filter_map(shares).collect();
            let with = match others.is_empty() {
                true => "its files may grow".into(),
                false => format!("its files and those of the pools {} may grow", others.join(", ")),
            };
            let gib = |bytes: u64| bytes as f64 / GIB as f64;
            return Some(format!(
                "{with} by {:.1}GiB together, and their file system has {:.1}GiB free",
                gib(growth),
                gib(free)
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_is_promised_twice_is_said_by_both_who_promise_it() {
        let dir = tempfile::tempdir().unwrap();
        let free = files::free_bytes(dir.path()).unwrap();
        let claim = |name: &str, capacity| Claim { path: dir.path().join(name), capacity };
        let (one, two, none) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let claims = Claims::default();
        claims.note(one, "one", vec![claim("a", free / 3), claim("b", free / 3)]);
        claims.note(none, "none", Vec::new());
        assert_eq!(claims.remark(one), None, "there is room for both of its files");
        claims.note(two, "two", vec![claim("c", free / 3 * 2)]);
        let said = claims.remark(one).unwrap();
        assert!(said.starts_with("its files and those of the pools \"two\" may grow by"), "{said}");
        assert!(claims.remark(two).unwrap().contains("\"one\""));
        assert_eq!(claims.remark(none), None);
        claims.forget(two);
        assert_eq!(claims.remark(one), None);
        claims.note(one, "one", vec![claim("a", free * 2)]);
        assert!(claims.remark(one).unwrap().starts_with("its files may grow by"));
    }

    #[test]
    fn what_a_file_has_already_is_no_more_to_be_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, vec![1; 1 << 20]).unwrap();
        let taken = fs::metadata(&path).unwrap().blocks() * 512;
        assert_eq!(Claim { path: path.clone(), capacity: 4 << 20 }.growth(), (4 << 20) - taken);
        assert_eq!(Claim { path, capacity: 1 }.growth(), 0);
    }
}
