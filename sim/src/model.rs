//! The oracle's catalogue: which devices exist, and what one operation on it means.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::image::Image;

/// A device's number in this history; its UUID is made of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u32);

impl Id {
    /// The UUID under which the engine knows the device.
    pub fn uuid(self) -> Uuid {
        Uuid::from_u128(0x7061_7270_656e_0000_0000_0000_0000_0000 | u128::from(self.0))
    }
}

impl std::fmt::Debug for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Writable.
    Volume,
    /// Frozen.
    Snapshot,
}

/// One volume or snapshot.
#[derive(Clone, Debug)]
pub struct Device {
    /// What it is.
    pub kind: Kind,
    /// What it holds.
    pub image: Image,
    /// The version of its label.
    pub label: u64,
    /// Data requests under way.
    pub io: usize,
    /// Catalogue operations under way that touch it, as object or as source.
    pub held: usize,
    /// One of them takes it away or turns it upside down: no data requests meanwhile.
    pub closed: bool,
}

impl Device {
    fn new(kind: Kind, image: Image, label: u64) -> Device {
        Device { kind, image, label, io: 0, held: 0, closed: false }
    }
}

/// An operation on the catalogue.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new empty volume.
    Create {
        /// Its number.
        id: Id,
        /// Bytes.
        size: u64,
    },
    /// Snapshots of several volumes at one instant: `(volume, snapshot)`.
    Snapshot(Vec<(Id, Id)>),
    /// A volume with the content of a snapshot.
    Clone {
        /// The snapshot.
        from: Id,
        /// The new volume.
        id: Id,
        /// Its size in bytes, at least the snapshot's.
        size: u64,
    },
    /// The volume has the snapshot's content and size again.
    Rollback {
        /// The volume.
        id: Id,
        /// The snapshot.
        to: Id,
    },
    /// A new size.
    Resize {
        /// The volume.
        id: Id,
        /// Bytes.
        size: u64,
    },
    /// The device is gone.
    Delete(Id),
    /// The volume goes on as a snapshot.
    Freeze {
        /// The volume.
        id: Id,
        /// What it becomes.
        snapshot: Id,
    },
    /// The device shares with this snapshot that it comes from, or with none, and with nothing between. Nobody reads
    /// anything else than before.
    Rebase {
        /// The device.
        id: Id,
        /// The snapshot.
        onto: Option<Id>,
    },
    /// A new label.
    Relabel {
        /// The device.
        id: Id,
        /// The label's version.
        version: u64,
    },
}

impl Change {
    /// Devices that it touches, as object or as source.
    pub fn touches(&self) -> Vec<Id> {
        match self {
            Change::Create { .. } => Vec::new(),
            Change::Snapshot(pairs) => pairs.iter().map(|(volume, _)| *volume).collect(),
            Change::Clone { from, .. } => vec![*from],
            Change::Rollback { id, to } => vec![*id, *to],
            Change::Rebase { id, onto } => onto.iter().copied().chain([*id]).collect(),
            Change::Resize { id, .. }
            | Change::Delete(id)
            | Change::Freeze { id, .. }
            | Change::Relabel { id, .. } => vec![*id],
        }
    }

    /// The device that takes no data requests meanwhile.
    pub fn closes(&self) -> Option<Id> {
        match self {
            Change::Rollback { id, .. }
            | Change::Resize { id, .. }
            | Change::Freeze { id, .. }
            | Change::Delete(id) => Some(*id),
            _ => None,
        }
    }

    /// Devices that it makes.
    pub fn makes(&self) -> Vec<Id> {
        match self {
            Change::Create { id, .. } | Change::Clone { id, .. } => vec![*id],
            Change::Snapshot(pairs) => pairs.iter().map(|(_, snapshot)| *snapshot).collect(),
            Change::Freeze { snapshot, .. } => vec![*snapshot],
            _ => Vec::new(),
        }
    }
}

/// All devices.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// By number.
    pub devices: BTreeMap<Id, Device>,
}

impl Catalogue {
    /// The device, which exists: the driver names no others.
    pub fn get(&mut self, id: Id) -> &mut Device {
        self.devices.get_mut(&id).expect("the driver names only devices that exist")
    }

    /// The change is put to the engine.
    pub fn hold(&mut self, change: &Change) {
        for id in change.touches() {
            let device = self.get(id);
            if device.io == 0 {
                device.image.trim();
            }
            device.held += 1;
        }
        if let Some(id) = change.closes() {
            self.get(id).closed = true;
        }
    }

    /// A flush that was submitted at `submitted` was answered well.
    pub fn flushed(&mut self, submitted: u64) {
        for device in self.devices.values_mut() {
            device.image.flushed(submitted);
            if device.held == 0 && device.io == 0 {
                device.image.trim();
            }
        }
    }

    /// The change's outcome is known.
    pub fn release(&mut self, change: &Change) {
        change.touches().into_iter().for_each(|id| self.get(id).held -= 1);
        if let Some(id) = change.closes() {
            self.get(id).closed = false;
        }
    }

    /// The change happened. If its answer came, `submitted` is when it was asked for: what a snapshot
    /// shares with its volume is durable then.
    pub fn apply(&mut self, change: &Change, submitted: Option<u64>) {
        match change {
            Change::Create { id, size } => {
                self.devices.insert(*id, Device::new(Kind::Volume, Image::zeros(*size), 0));
            }
            Change::Snapshot(pairs) => {
                for (volume, snapshot) in pairs {
                    let source = &mut self.get(*volume).image;
                    let frozen = source.frozen(submitted);
                    if let Some(time) = submitted {
                        source.flushed(time);
                    }
                    self.devices.insert(*snapshot, Device::new(Kind::Snapshot, frozen, 0));
                }
            }
            Change::Clone { from, id, size } => {
                let mut image = self.get(*from).image.clone();
                image.resize(*size);
                self.devices.insert(*id, Device::new(Kind::Volume, image, 0));
            }
            Change::Rollback { id, to } => self.get(*id).image = self.devices[to].image.clone(),
            Change::Resize { id, size } => self.get(*id).image.resize(*size),
            Change::Delete(id) => {
                self.devices.remove(id);
            }
            Change::Freeze { id, snapshot } => {
                let frozen = self.get(*id).image.frozen(submitted);
                self.devices.remove(id);
                self.devices.insert(*snapshot, Device::new(Kind::Snapshot, frozen, 0));
            }
            Change::Rebase { .. } => {}
            Change::Relabel { id, version } => self.get(*id).label = *version,
        }
    }
}
