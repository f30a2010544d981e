//! Where volumes live, to whom they belong and by which policy.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Attributes, Kind, Limits, Noun, PoolId, ProjectId, QosId, SnapshotId, Stamp, Subject, VolumeTypeId,
};

/// What keeps a pool's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// The engine on a file or block device.
    Local,
    /// The engine on memory; empty again after a restart.
    Memory,
}

impl Driver {
    /// Its word. Stable.
    pub fn word(self) -> &'static str {
        match self {
            Driver::Local => "local",
            Driver::Memory => "memory",
        }
    }
}

/// A disk of a pool: where it is found and what is said of it. How it fares is the store's to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskPlace {
    /// Its number, 1 to 4095, unique in the service.
    pub number: u16,
    /// A file or block device, absolute or relative to the data directory.
    pub path: String,
    /// How large its file is made, in bytes.
    pub capacity: u64,
    /// No moving parts; decides its placement groups.
    pub ssd: bool,
    /// In words.
    pub description: String,
    /// An operator said that nobody is to wait for it or to be warned of it while it is away.
    #[serde(default)]
    pub ignored: bool,
}

/// What a pool does by itself with the data on its disks. (Disks that came back get what they lack in any case.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upkeep {
    /// Data moves: off disks that are ejected, to where copies are missing, to where a balancing plan wants it.
    pub relocate: bool,
    /// A balancing plan is made, and carried out, with each new disk and when disks drift apart.
    pub balance: bool,
}

impl Default for Upkeep {
    fn default() -> Upkeep {
        Upkeep { relocate: true, balance: false }
    }
}

/// A place for volumes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "PoolDocument")]
pub struct Pool {
    /// Its id; also the id of its store.
    pub id: PoolId,
    /// Unique.
    pub name: String,
    /// What keeps the bytes.
    pub driver: Driver,
    /// Its disks, by number; none for memory.
    pub disks: Vec<DiskPlace>,
    /// Numbers of disks that were forgotten: what they held is still known by them, so no other disk gets them.
    pub spent: Vec<u16>,
    /// How far it may grow, in bytes: what its disks have together.
    pub capacity: u64,
    /// Replicas of a volume that asks for no number, 1 to 3.
    pub replication: u8,
    /// What it does by itself.
    pub upkeep: Upkeep,
    /// In words.
    pub description: String,
    /// What APIs keep with it.
    pub attributes: Attributes,
    /// Life axis.
    pub life: crate::lifecycle::Life,
    /// Why it is in error, in plain words.
    pub fault: Option<String>,
    /// Order, revision, times.
    pub stamp: Stamp,
}

/// A pool as rows hold it: the first version knew one disk, in two fields.
#[derive(Deserialize)]
struct PoolDocument {
    id: PoolId,
    name: String,
    driver: Driver,
    #[serde(default)]
    disks: Vec<DiskPlace>,
    #[serde(default)]
    spent: Vec<u16>,
    path: Option<String>,
    disk: Option<u16>,
    capacity: u64,
    #[serde(default = "one")]
    replication: u8,
    #[serde(default)]
    upkeep: Upkeep,
    description: String,
    attributes: Attributes,
    life: crate::lifecycle::Life,
    fault: Option<String>,
    stamp: Stamp,
}

impl From<PoolDocument> for Pool {
    fn from(d: PoolDocument) -> Pool {
        let mut disks = d.disks;
        if let (true, Some(path), Some(number)) = (disks.is_empty(), d.path, d.disk) {
            let description = d.description.clone();
            disks.push(DiskPlace {
                number,
                path,
                capacity: d.capacity,
                ssd: true,
                description,
                ignored: false,
            });
        }
        Pool {
            id: d.id,
            name: d.name,
            driver: d.driver,
            disks,
            spent: d.spent,
            capacity: d.capacity,
            replication: d.replication,
            upkeep: d.upkeep,
            description: d.description,
            attributes: d.attributes,
            life: d.life,
            fault: d.fault,
            stamp: d.stamp,
        }
    }
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Unique.
    pub name: String,
    /// In words.
    pub description: String,
    /// Who is in it may log in for it.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The type of its new volumes that name none.
    #[serde(default)]
    pub default_type: Option<VolumeTypeId>,
    /// Order, revision, times.
    pub stamp: Stamp,
}

fn one() -> u8 {
    1
}

fn yes() -> bool {
    true
}

/// A named policy that volumes stay linked to. Absent fields fall back to the pool's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VolumeType {
    /// Its id.
    pub id: VolumeTypeId,
    /// Unique.
    pub name: String,
    /// In words.
    pub description: Option<String>,
    /// Everybody may use it.
    pub public: bool,
    /// The pool of new volumes.
    pub pool: Option<PoolId>,
    /// Placement group of all replicas but the last.
    pub place_all: Option<String>,
    /// Placement group of the last replica.
    pub place_tail: Option<String>,
    /// Number of replicas.
    pub replication: Option<u8>,
    /// Ceilings on I/O.
    pub limits: Limits,
    /// Size of new volumes that name none, in bytes.
    pub size: Option<u64>,
    /// What new volumes grow from.
    pub parent: Option<SnapshotId>,
    /// How its volumes are encrypted; `None`: they are not.
    #[serde(default)]
    pub encryption: Option<TypeEncryption>,
    /// The quality-of-service specs that it points at.
    #[serde(default)]
    pub qos: Option<QosId>,
    /// Who may use it while it is not public.
    #[serde(default)]
    pub access: Vec<ProjectId>,
    /// What it demands of its volumes.
    #[serde(default)]
    pub rules: TypeRules,
    /// What APIs keep with it.
    pub attributes: Attributes,
    /// Order, revision, times.
    pub stamp: Stamp,
}

/// What a volume type demands of its volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeRules {
    /// They are in the pool of this name, whenever there is one.
    pub pool: Option<String>,
    /// What they demand, in words, and no pool has: there can be none.
    #[serde(default)]
    pub lacking: Option<String>,
    /// More than one host may attach them.
    pub shared: bool,
    /// Smallest size, in bytes.
    pub smallest: Option<u64>,
    /// Largest size, in bytes.
    pub largest: Option<u64>,
}

/// Who encrypts the bytes of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlLocation {
    /// The host that attaches it; the store keeps what it is given.
    FrontEnd,
    /// The service, before the bytes reach a disk.
    BackEnd,
}

impl ControlLocation {
    /// Its word. Stable.
    pub fn word(self) -> &'static str {
        match self {
            ControlLocation::FrontEnd => "front-end",
            ControlLocation::BackEnd => "back-end",
        }
    }
}

/// How the volumes of a type are encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeEncryption {
    /// Its own id.
    pub id: Uuid,
    /// Who can do it, as the administrator said (`luks`, a class name).
    pub provider: String,
    /// `aes-xts-plain64` and the like; `None`: the provider's default.
    pub cipher: Option<String>,
    /// Bits; `None`: the provider's default.
    pub key_size: Option<u32>,
    /// Who does it.
    pub control_location: ControlLocation,
    /// Order, revision, times.
    pub stamp: Stamp,
}

/// What a new volume gets its bytes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Zeros.
    Blank,
    /// A snapshot.
    Snapshot(SnapshotId),
}

/// What a store must know to make a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBytes {
    /// Size in bytes; at least the source's.
    pub size: u64,
    /// Where its replicas are to be.
    pub placement: crate::Placement,
}

/// What a store holds.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which.
    pub subject: Subject,
    /// Size in bytes.
    pub size: u64,
    /// Bytes that stand in the store on its account alone.
    pub stored: u64,
    /// The nearest snapshot it shares blocks with that still has a name.
    pub parent: Option<SnapshotId>,
    /// Its label, as the store kept it.
    pub label: Vec<u8>,
}

/// Capacity and use of a pool, in bytes on its disks: every copy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// How far it may grow.
    pub capacity: u64,
    /// Used.
    pub used: u64,
    /// Still to be had.
    pub free: u64,
}

impl VolumeType {
    /// Whether the service encrypts its volumes before their bytes reach a disk.
    pub fn is_sealed(&self) -> bool {
        self.encryption.as_ref().is_some_and(|e| e.control_location == ControlLocation::BackEnd)
    }
}

impl Noun for Pool {
    const KIND: Kind = Kind::Pool;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        self.name.clone()
    }
    fn names(&self) -> Vec<(String, String)> {
        vec![("pool".into(), self.name.clone())]
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}

impl Noun for Project {
    const KIND: Kind = Kind::Project;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        self.name.clone()
    }
    fn project(&self) -> Option<ProjectId> {
        Some(self.id)
    }
    fn names(&self) -> Vec<(String, String)> {
        vec![("project".into(), self.name.clone())]
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}

impl Noun for VolumeType {
    const KIND: Kind = Kind::VolumeType;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        self.name.clone()
    }
    fn names(&self) -> Vec<(String, String)> {
        vec![("volume type".into(), self.name.clone())]
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_first_version_has_one_disk() {
        let old = r#"{"id":"00000000-0000-0000-0000-000000000007","name":"local","driver":"local",
            "path":"pools/local.disk","disk":1,"capacity":1024,"description":"d","attributes":{},"life":"ready",
            "fault":null,"stamp":{"created":"2026-01-01T00:00:00Z","updated":null}}"#;
        let pool: Pool = serde_json::from_str(old).unwrap();
        let disk = DiskPlace {
            number: 1,
            path: "pools/local.disk".into(),
            capacity: 1024,
            ssd: true,
            description: "d".into(),
            ignored: false,
        };
        assert_eq!(pool.disks, [disk]);
        let again: Pool = serde_json::from_str(&serde_json::to_string(&pool).unwrap()).unwrap();
        assert_eq!(again, pool);
    }
}
