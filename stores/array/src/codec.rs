//! The array's records: small values that every disk of a store keeps beside its catalogue.
//!
//! Little-endian, the first byte is the version: 1; of the members 2, which says of each what it knows. Keys are made
//! from a fixed prefix, a kind and numbers, so that they can never be those of a volume.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::member::{About, Eject, Standing};
use crate::place::{PAGE, Policy, Table, Tree, Tuple};
use crate::witness::EraMark;

const PREFIX: u32 = 0x7061_7272;
const VERSION: u8 = 1;
const MEMBERS_VERSION: u8 = 2;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Members,
    Groups,
    Tree(u64),
    /// Tree and number of the page.
    Overrides(u64, u32),
    /// It is there while a plan of balancing is carried out.
    Balancing,
}

impl Key {
    pub(crate) fn uuid(self) -> Uuid {
        let (kind, tree, page) = match self {
            Key::Members => (1u8, 0, 0),
            Key::Groups => (2, 0, 0),
            Key::Tree(tree) => (3, tree, 0),
            Key::Overrides(tree, page) => (4, tree, page),
            Key::Balancing => (5, 0, 0),
        };
        let mut b = [0; 16];
        b[..4].copy_from_slice(&PREFIX.to_be_bytes());
        b[4] = kind;
        b[5..12].copy_from_slice(&tree.to_be_bytes()[1..]);
        b[12..].copy_from_slice(&page.to_be_bytes());
        Uuid::from_bytes(b)
    }

    fn of(uuid: Uuid) -> Option<Key> {
        let b = uuid.into_bytes();
        let mut tree = [0; 8];
        tree[1..].copy_from_slice(&b[5..12]);
        let tree = u64::from_be_bytes(tree);
        let page = u32::from_be_bytes([b[12], b[13], b[14], b[15]]);
        if b[..4] != PREFIX.to_be_bytes() {
            return None;
        }
        match b[4] {
            1 => Some(Key::Members),
            2 => Some(Key::Groups),
            3 => Some(Key::Tree(tree)),
            4 => Some(Key::Overrides(tree, page)),
            5 => Some(Key::Balancing),
            _ => None,
        }
    }
}

/// One disk in the members record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) number: u16,
    pub(crate) uuid: Uuid,
    pub(crate) standing: Standing,
    /// An era that it surely wrote down: what it holds is of this one or of a later one.
    pub(crate) knows: u32,
    pub(crate) eject: Eject,
    pub(crate) about: About,
}

/// Who belongs to the store, and how each stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Members {
    /// The era that this record begins.
    pub(crate) mark: EraMark,
    /// What the witness said when it was written.
    pub(crate) base: EraMark,
    /// The disk of trees without a record.
    pub(crate) home: u16,
    pub(crate) all: Vec<Entry>,
}

#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn new() -> Out {
        Out(vec![VERSION])
    }
    fn members() -> Out {
        Out(vec![MEMBERS_VERSION])
    }
    fn u8(&mut self, v: u8) {
        self.0.push(v);
    }
    fn u16(&mut self, v: u16) {
        self.0.extend(v.to_le_bytes());
    }
    fn u32(&mut self, v: u32) {
        self.0.extend(v.to_le_bytes());
    }
    fn u64(&mut self, v: u64) {
        self.0.extend(v.to_le_bytes());
    }
    fn text(&mut self, s: &str) {
        let end = (0..=s.len().min(usize::from(u16::MAX))).rev().find(|at| s.is_char_boundary(*at));
        let bytes = &s.as_bytes()[..end.unwrap_or(0)];
        self.u16(bytes.len() as u16);
        self.0.extend(bytes);
    }
    fn tuple(&mut self, t: &Tuple) {
        self.u8(t.disks().len() as u8);
        t.disks().iter().for_each(|d| self.u16(*d));
    }
    fn mark(&mut self, m: EraMark) {
        self.u32(m.era);
        self.u64(m.nonce);
    }
}

struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    fn new(bytes: &'a [u8]) -> Option<In<'a>> {
        In::of(bytes, VERSION).map(|(_, r)| r)
    }
    /// With its version, which is 1 to `newest`.
    fn of(bytes: &'a [u8], newest: u8) -> Option<(u8, In<'a>)> {
        let mut r = In(bytes);
        let version = r.u8()?;
        (1..=newest).contains(&version).then_some((version, r))
    }
    fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }
    fn u8(&mut self) -> Option<u8> {
        self.bytes(1).map(|b| b[0])
    }
    fn u16(&mut self) -> Option<u16> {
        self.bytes(2)?.try_into().ok().map(u16::from_le_bytes)
    }
    fn u32(&mut self) -> Option<u32> {
        self.bytes(4)?.try_into().ok().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Option<u64> {
        self.bytes(8)?.try_into().ok().map(u64::from_le_bytes)
    }
    fn text(&mut self) -> Option<String> {
        let n = self.u16()?;
        String::from_utf8(self.bytes(usize::from(n))?.to_vec()).ok()
    }
    fn tuple(&mut self) -> Option<Tuple> {
        let n = self.u8()?;
        let disks: Option<Vec<u16>> = (0..n).map(|_| self.u16()).collect();
        Tuple::new(&disks?)
    }
    fn mark(&mut self) -> Option<EraMark> {
        Some(EraMark { era: self.u32()?, nonce: self.u64()? })
    }
}

impl Members {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Out::members();
        w.mark(self.mark);
        w.mark(self.base);
        w.u16(self.home);
        w.u16(self.all.len() as u16);
        for e in &self.all {
            w.u16(e.number);
            w.0.extend(e.uuid.as_bytes());
            let (standing, era) = match e.standing {
                Standing::InSync => (0, 0),
                Standing::Out { era } => (1, era),
                Standing::Forgotten => (2, 0),
            };
            w.u8(standing);
            w.u32(era);
            w.u32(e.knows);
            w.u8(match e.eject {
                Eject::No => 0,
                Eject::Running => 1,
                Eject::Paused => 2,
            });
            w.u8(u8::from(e.about.ssd));
            w.text(&e.about.description);
        }
        w.0
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Members> {
        let (version, mut r) = In::of(bytes, MEMBERS_VERSION)?;
        let (mark, base, home, n) = (r.mark()?, r.mark()?, r.u16()?, r.u16()?);
        let mut all = Vec::new();
        for _ in 0..n {
            let number = r.u16()?;
            let uuid = Uuid::from_slice(r.bytes(16)?).ok()?;
            let standing = match (r.u8()?, r.u32()?) {
                (0, _) => Standing::InSync,
                (1, era) => Standing::Out { era },
                (2, _) => Standing::Forgotten,
                _ => return None,
            };
            let knows = match (version, standing) {
                // Nobody noted it: it was there when the era before began, and each disk that failed in between costs one.
                (1, Standing::Out { era }) => era.saturating_sub(1 + u32::from(n)),
                (1, _) => 0,
                _ => r.u32()?,
            };
            let eject = match r.u8()? {
                0 => Eject::No,
                1 => Eject::Running,
                2 => Eject::Paused,
                _ => return None,
            };
            let about = About { ssd: r.u8()? != 0, description: r.text()? };
            all.push(Entry { number, uuid, standing, knows, eject, about });
        }
        r.0.is_empty().then_some(Members { mark, base, home, all })
    }
}

pub(crate) fn encode_tree(t: &Tree) -> Vec<u8> {
    let mut w = Out::new();
    w.u8(t.policy.replicas);
    w.text(&t.policy.all);
    w.text(&t.policy.tail);
    w.u16(t.sets.len() as u16);
    t.sets.iter().for_each(|s| w.tuple(s));
    w.0
}

fn decode_tree(bytes: &[u8]) -> Option<Tree> {
    let mut r = In::new(bytes)?;
    let policy = Policy { replicas: r.u8()?, all: r.text()?, tail: r.text()? };
    let n = r.u16()?;
    let sets: Option<Vec<Tuple>> = (0..n).map(|_| r.tuple()).collect();
    r.0.is_empty().then_some(Tree { policy, sets: sets? })
}

/// A page of overrides; empty bytes when it has none, so that the record goes.
pub(crate) fn encode_page(page: &[(u64, Tuple)]) -> Vec<u8> {
    if page.is_empty() {
        return Vec::new();
    }
    let mut w = Out::new();
    w.u16(page.len() as u16);
    for (index, t) in page {
        w.u16((index % PAGE) as u16);
        w.tuple(t);
    }
    w.0
}

fn decode_page(bytes: &[u8], page: u32) -> Option<Vec<(u64, Tuple)>> {
    let mut r = In::new(bytes)?;
    let n = r.u16()?;
    let all: Option<Vec<(u64, Tuple)>> =
        (0..n).map(|_| Some((u64::from(page) * PAGE + u64::from(r.u16()?), r.tuple()?))).collect();
    if r.0.is_empty() { all } else { None }
}

pub(crate) fn encode_groups(groups: &BTreeMap<String, Vec<u16>>) -> Vec<u8> {
    let mut w = Out::new();
    w.u16(groups.len() as u16);
    for (name, disks) in groups {
        w.text(name);
        w.u16(disks.len() as u16);
        disks.iter().for_each(|d| w.u16(*d));
    }
    w.0
}

fn decode_groups(bytes: &[u8]) -> Option<BTreeMap<String, Vec<u16>>> {
    let mut r = In::new(bytes)?;
    let n = r.u16()?;
    let mut all = BTreeMap::new();
    for _ in 0..n {
        let name = r.text()?;
        let disks = r.u16()?;
        let disks: Option<Vec<u16>> = (0..disks).map(|_| r.u16()).collect();
        all.insert(name, disks?);
    }
    r.0.is_empty().then_some(all)
}

/// The members record among all records of a disk; `Err`: it makes no sense.
pub(crate) fn members_of(records: &[(Uuid, Vec<u8>)]) -> Result<Option<Members>, ()> {
    let found = records.iter().find(|(key, _)| *key == Key::Members.uuid());
    found.map(|(_, value)| Members::decode(value).ok_or(())).transpose()
}

/// What is kept while a plan of balancing is carried out. The plan itself follows from what the disks hold, so it is
/// made anew when it has to go on after a restart.
pub(crate) fn encode_balancing(is_on: bool) -> Vec<u8> {
    if is_on { Out::new().0 } else { Vec::new() }
}

/// Whether a plan of balancing was being carried out.
pub(crate) fn is_balancing(records: &[(Uuid, Vec<u8>)]) -> bool {
    records.iter().any(|(key, value)| *key == Key::Balancing.uuid() && !value.is_empty())
}

/// The placement that the records say; `Err`: one makes no sense.
pub(crate) fn table_of(home: u16, records: &[(Uuid, Vec<u8>)]) -> Result<Table, ()> {
    let mut table = Table::new(home);
    for (key, value) in records {
        match Key::of(*key) {
            Some(Key::Members | Key::Balancing) | None => {}
            Some(Key::Groups) => table.groups = decode_groups(value).ok_or(())?,
            Some(Key::Tree(tree)) => {
                table.trees.insert(tree, decode_tree(value).ok_or(())?);
            }
            Some(Key::Overrides(tree, page)) => {
                let all = decode_page(value, page).ok_or(())?;
                table.overrides.extend(all.into_iter().map(|(index, t)| ((tree, index), t)));
            }
        }
    }
    Ok(table)
}

/// The keys of records about these trees.
pub(crate) fn keys_of(records: &[(Uuid, Vec<u8>)], trees: &BTreeSet<u64>) -> Vec<Uuid> {
    let about = |key: &Uuid| match Key::of(*key) {
        Some(Key::Tree(tree) | Key::Overrides(tree, _)) => trees.contains(&tree),
        _ => false,
    };
    records.iter().map(|(key, _)| *key).filter(about).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members() -> Members {
        let about = About { ssd: true, description: "first".into() };
        let entry = |number, standing, eject| Entry {
            number,
            uuid: Uuid::from_u128(u128::from(number)),
            standing,
            knows: 6,
            eject,
            about: about.clone(),
        };
        Members {
            mark: EraMark { era: 7, nonce: 8 },
            base: EraMark { era: 6, nonce: 5 },
            home: 1,
            all: vec![
                entry(1, Standing::InSync, Eject::Paused),
                entry(2, Standing::Out { era: 7 }, Eject::No),
                entry(3, Standing::Forgotten, Eject::Running),
            ],
        }
    }

    #[test]
    fn records_read_back_as_they_were_written() {
        assert_eq!(Members::decode(&members().encode()), Some(members()));
        let tree = Tree {
            policy: Policy { replicas: 2, all: "hdd".into(), tail: "ssd".into() },
            sets: vec![Tuple::new(&[1, 2]).unwrap(), Tuple::one(3)],
        };
        let page = vec![(PAGE * 3 + 5, Tuple::new(&[3, 1, 2]).unwrap())];
        let groups = BTreeMap::from([("hdd".to_string(), vec![1, 2])]);
        let records = vec![
            (Key::Members.uuid(), members().encode()),
            (Key::Tree(77).uuid(), encode_tree(&tree)),
            (Key::Overrides(77, 3).uuid(), encode_page(&page)),
            (Key::Groups.uuid(), encode_groups(&groups)),
            (Uuid::from_u128(5), vec![1, 2, 3]),
        ];
        let table = table_of(1, &records).unwrap();
        assert_eq!(table.trees[&77], tree);
        assert_eq!(table.overrides, BTreeMap::from([((77, page[0].0), page[0].1)]));
        assert_eq!(table.groups, groups);
        assert_eq!(members_of(&records).unwrap(), Some(members()));
        assert_eq!(encode_page(&[]), Vec::<u8>::new());
    }

    #[test]
    fn members_as_the_first_version_wrote_them_are_read() {
        let mut w = Out::new();
        let Members { mark, base, home, .. } = members();
        w.mark(mark);
        w.mark(base);
        [home, 1, 2].into_iter().for_each(|n| w.u16(n));
        w.0.extend(Uuid::from_u128(2).as_bytes());
        w.u8(1);
        w.u32(7);
        w.u8(0);
        w.u8(1);
        w.text("first");
        let entry = Entry { knows: 5, ..members().all[1].clone() };
        assert_eq!(Members::decode(&w.0), Some(Members { all: vec![entry], ..members() }));
        w.0[0] = MEMBERS_VERSION + 1;
        assert_eq!(Members::decode(&w.0), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 1u8..6) {
            let mut key = Key::Members.uuid().into_bytes();
            key[4] = kind;
            let records = [(Uuid::from_bytes(key), bytes)];
            let _ = members_of(&records);
            let _ = table_of(1, &records);
        }

        #[test]
        fn cut_records_are_refused(len in 0usize..100) {
            let whole = members().encode();
            prop_assume!(len < whole.len());
            prop_assert_eq!(Members::decode(&whole[..len]), None);
        }
    }
}
