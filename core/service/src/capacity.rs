//! How much room a pool has: raw, and by the copies that its volumes get.

use parpen_identity::{Actor, Power, may};
use parpen_model::{Condition, Disk, DiskState, Pool, Space};

use crate::{Ports, disks, media};

/// The room of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// On its disks.
    pub raw: Space,
    /// Bytes of volumes and snapshots on its disks, every copy counted.
    pub stored: u64,
    /// Copies of a volume that asks for no number of its own.
    pub copies: u8,
    /// What such volumes could hold together if the pool was empty.
    pub usable: u64,
    /// What they can still take.
    pub usable_free: u64,
}

/// The room of a pool.
pub async fn of(ports: &Ports, actor: &Actor, pool: &Pool) -> Result<Room, Condition> {
    may(actor, Power::Read, None)?;
    let raw = ports.figures.space(pool).await?;
    Ok(room(pool, raw, &disks::of_pool(ports, pool).await?))
}

/// [`of`] from what the store tells.
pub(crate) fn room(pool: &Pool, raw: Space, disks: &[Disk]) -> Room {
    let copies = pool.replication;
    if disks.is_empty() {
        return Room { raw, stored: raw.used, copies, usable: raw.capacity, usable_free: raw.free };
    }
    let placed = media::default_disks(pool);
    // What comes back takes new data at once; what is being emptied takes none.
    let open = |d: &Disk| matches!(d.state, DiskState::Up | DiskState::Resyncing);
    let takes = |d: &&Disk| placed.contains(&d.id) && open(d);
    let of = |figure: fn(&Disk) -> u64| disks.iter().filter(takes).map(figure).collect::<Vec<u64>>();
    Room {
        raw,
        stored: disks.iter().map(|d| d.stored).sum(),
        copies,
        usable: apart(of(|d| d.size), copies),
        usable_free: apart(of(|d| d.free), copies),
    }
}

/// How many bytes fit that many times on disks of these sizes, when no disk gets the same byte twice.
fn apart(mut disks: Vec<u64>, copies: u8) -> u64 {
    disks.sort_unstable_by_key(|d| std::cmp::Reverse(*d));
    let copies = u64::from(copies);
    // The largest disks may hold one copy of everything; the rest have to hold the other copies.
    let left = |full: u64| disks.iter().skip(full as usize).sum::<u64>() / (copies - full);
    (0..copies).map(left).min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_holds_no_byte_twice() {
        assert_eq!(apart(vec![10, 10, 10], 1), 30);
        assert_eq!(apart(vec![10, 10, 10], 2), 15);
        assert_eq!(apart(vec![10, 10, 10], 3), 10);
        assert_eq!(apart(vec![100, 10, 5], 2), 15, "the large one cannot be filled");
        assert_eq!(apart(vec![5, 100, 10], 3), 5);
        assert_eq!(apart(vec![100], 2), 0, "two copies need two disks");
        assert_eq!(apart(vec![], 1), 0);
    }
}
