//! How much room a pool has: raw, and by the copies that its volumes get.

use parpen_identity::{Actor, Power, may};
use parpen_model::{Condition, Disk, DiskState, Placement, Pool, Space};

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
    let open = |d: &&Disk| placed.contains(&d.id) && takes(d);
    let of = |figure: fn(&Disk) -> u64| disks.iter().filter(open).map(figure).collect::<Vec<u64>>();
    Room {
        raw,
        stored: disks.iter().map(|d| d.stored).sum(),
        copies,
        usable: apart(of(|d| d.size), copies),
        usable_free: apart(of(|d| d.free), copies),
    }
}

/// The room where volumes of one placement go, in bytes: free, and of empty disks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupRoom {
    /// On the disks of all copies but the last.
    pub all: (u64, u64),
    /// On the disks of the last one.
    pub tail: (u64, u64),
    /// For volumes, however often they are stored.
    pub volumes: (u64, u64),
}

/// The room for volumes of a placement.
pub(crate) async fn for_placement(
    ports: &Ports,
    pool: &Pool,
    placement: &Placement,
) -> Result<GroupRoom, Condition> {
    let disks = disks::of_pool(ports, pool).await?;
    if disks.is_empty() {
        let raw = ports.figures.space(pool).await?;
        let room = (raw.free, raw.capacity);
        return Ok(GroupRoom { all: room, tail: room, volumes: room });
    }
    let members = |group: &str| {
        let numbers = media::members(group, pool);
        disks.iter().filter(move |d| numbers.contains(&d.id) && takes(d))
    };
    let sizes = |group: &str| members(group).map(|d| (d.free, d.size)).collect::<Vec<_>>();
    Ok(group_room(
        &sizes(&placement.all),
        &sizes(&placement.tail),
        placement.all == placement.tail,
        placement.replication,
    ))
}

/// Of the room on the disks of both groups.
fn group_room(all: &[(u64, u64)], tail: &[(u64, u64)], is_one: bool, copies: u8) -> GroupRoom {
    let of = |disks: &[(u64, u64)], copies: u8| {
        let fits = |figure: fn(&(u64, u64)) -> u64| apart(disks.iter().map(figure).collect(), copies);
        (fits(|d| d.0), fits(|d| d.1))
    };
    let volumes = match copies {
        _ if is_one => of(all, copies),
        0 | 1 => of(tail, 1),
        // The last copy is on the ones, the others on the others.
        _ => {
            let (last, others) = (of(tail, 1), of(all, copies - 1));
            (last.0.min(others.0), last.1.min(others.1))
        }
    };
    GroupRoom { all: of(all, 1), tail: of(tail, 1), volumes }
}

/// What comes back takes new data at once; what is being emptied takes none.
fn takes(d: &Disk) -> bool {
    matches!(d.state, DiskState::Up | DiskState::Resyncing)
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
    fn the_last_copy_has_room_of_its_own() {
        let (hdd, ssd) = ([(10, 20), (10, 20)], [(3, 5)]);
        let room = group_room(&hdd, &ssd, false, 2);
        assert_eq!((room.all, room.tail, room.volumes), ((20, 40), (3, 5), (3, 5)));
        assert_eq!(group_room(&hdd, &ssd, false, 1).volumes, (3, 5), "one copy is the last");
        assert_eq!(group_room(&ssd, &hdd, false, 2).volumes, (3, 5));
        assert_eq!(group_room(&hdd, &hdd, true, 2).volumes, (10, 20), "no disk holds both");
    }

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
