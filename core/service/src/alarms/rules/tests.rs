use parpen_base::GIB;
use parpen_model::lifecycle::Life;
use parpen_model::{DiskPlace, Driver, PoolId, Scrubbed, Space, Stamp};
use uuid::Uuid;

use super::*;
use crate::capacity;

fn pool(disks: u16) -> Pool {
    let place = |number| DiskPlace {
        number,
        path: format!("/dev/{number}"),
        capacity: 100 * GIB,
        ssd: false,
        description: String::new(),
        ignored: false,
    };
    Pool {
        id: PoolId(Uuid::from_u128(1)),
        name: "local".into(),
        driver: Driver::Local,
        disks: (1..=disks).map(place).collect(),
        spent: Vec::new(),
        capacity: u64::from(disks) * 100 * GIB,
        replication: 1,
        upkeep: parpen_model::Upkeep::default(),
        description: String::new(),
        attributes: Default::default(),
        life: Life::Ready,
        fault: None,
        stamp: Stamp::at(jiff::Timestamp::UNIX_EPOCH),
    }
}

fn disk(id: u16, used: u64) -> Disk {
    Disk {
        id,
        uuid: Uuid::from_u128(u128::from(id)),
        pool: PoolId(Uuid::from_u128(1)),
        path: format!("/dev/{id}"),
        description: String::new(),
        ssd: false,
        state: DiskState::Up,
        fault: None,
        size: 100 * GIB,
        used: used * GIB,
        free: (100 - used) * GIB,
        stored: used * GIB,
        ignored: false,
        objects: 0,
        objects_max: 0,
        entries: 0,
        entries_max: 0,
        group_size: GIB,
        scrub: Scrubbed::default(),
    }
}

fn facts(pool: &Pool, disks: Vec<Disk>) -> Facts {
    let sum = |figure: fn(&Disk) -> u64| disks.iter().map(figure).sum();
    let raw = Space { capacity: sum(|d| d.size), used: sum(|d| d.used), free: sum(|d| d.free) };
    Facts { room: capacity::room(pool, raw, &disks), disks, health: PoolHealth::default() }
}

/// What is found: id, severity and level.
fn found(pool: &Pool, facts: &Facts, before: Option<u8>) -> Vec<(String, Severity, u8)> {
    of_pool(pool, facts, |_| before).iter().map(|f| (f.id(), f.severity, f.level)).collect()
}

#[test]
fn a_pool_fills_in_steps_and_does_not_flap() {
    let p = pool(2);
    // Uneven, so that no disk is full by itself.
    let at = |used: u64, before| {
        let facts = facts(&p, vec![disk(1, used), disk(2, used)]);
        let all = found(&p, &facts, before);
        all.into_iter().find(|(id, ..)| id == "pool-full:local").map(|(_, s, l)| (s, l))
    };
    assert_eq!(at(79, None), None);
    assert_eq!(at(80, None), Some((Severity::Warning, 80)));
    assert_eq!(at(89, Some(80)), Some((Severity::Warning, 80)));
    assert_eq!(at(90, Some(80)), Some((Severity::Warning, 90)));
    assert_eq!(at(95, Some(90)), Some((Severity::Critical, 95)));
    assert_eq!(at(94, Some(95)), Some((Severity::Critical, 95)), "one percent of slack");
    assert_eq!(at(94, Some(90)), Some((Severity::Warning, 90)), "none on the way up");
    assert_eq!(at(93, Some(95)), Some((Severity::Warning, 90)));
    assert_eq!(at(78, Some(80)), None);
}

#[test]
fn a_pool_is_full_when_its_copies_have_no_room() {
    let twice = Pool { replication: 2, ..pool(2) };
    let disks = vec![disk(1, 0), disk(2, 96)];
    let said = found(&twice, &facts(&twice, disks.clone()), None);
    assert_eq!(
        said[0],
        ("pool-full:local".into(), Severity::Critical, 95),
        "half of its bytes are of no use"
    );
    let once = pool(2);
    let said = found(&once, &facts(&once, disks), None);
    assert_eq!(said, [("disk-full:2".into(), Severity::Critical, 95)]);
}

#[test]
fn a_pool_with_fewer_disks_than_copies_has_no_room() {
    let twice = Pool { replication: 2, ..pool(1) };
    let all = of_pool(&twice, &facts(&twice, vec![disk(1, 10)]), |_| None);
    assert_eq!(
        all.iter().map(|f| (f.id(), f.severity)).collect::<Vec<_>>(),
        [("pool-full:local".into(), Severity::Critical)]
    );
    assert!(all[0].text.contains("too few disks for 2 copies"), "{}", all[0].text);
}

#[test]
fn a_disk_that_is_away_is_told_unless_it_is_ignored() {
    let p = pool(2);
    let away = |state, ignored| {
        let gone = Disk { state, ignored, free: 0, ..disk(2, 100) };
        let all = of_pool(&p, &facts(&p, vec![disk(1, 10), gone]), |_| None);
        all.into_iter().map(|f| (f.id(), f.text)).collect::<Vec<_>>()
    };
    for state in [DiskState::Absent, DiskState::Failed] {
        let said = away(state, false);
        assert_eq!(said.len(), 1, "a disk that is away is not full besides: {said:?}");
        assert_eq!(said[0].0, "disk-away:2");
        assert!(said[0].1.contains("parpen disk ignore 2"), "{}", said[0].1);
        assert_eq!(away(state, true), []);
    }
    assert!(away(DiskState::Resyncing, false).iter().all(|(id, _)| id != "disk-away:2"));
}

#[test]
fn objects_and_blocks_that_are_not_as_they_should_be_are_told() {
    let p = pool(1);
    let mut d = disk(1, 10);
    d.scrub = Scrubbed { bad: 5, repaired: 4, lost: 1, ..Scrubbed::default() };
    let health = PoolHealth { objects: 10, short: 3, away: 2, lost: 1 };
    let facts = Facts { health, ..facts(&p, vec![d]) };
    let all = of_pool(&p, &facts, |_| None);
    let ids: Vec<(String, Severity)> = all.iter().map(|f| (f.id(), f.severity)).collect();
    use Severity::{Critical, Warning};
    let want = [
        ("data-lost:local", Critical),
        ("objects-away:local", Critical),
        ("objects-short:local", Warning),
        ("blocks-lost:1", Critical),
        ("bad-blocks:1", Warning),
    ];
    assert_eq!(ids, want.map(|(id, s)| (id.to_string(), s)));
    assert!(all[2].text.starts_with("3 objects of pool"), "{}", all[2].text);
    assert!(all[4].text.starts_with("5 blocks on disk 1"), "{}", all[4].text);
}

#[test]
fn a_pool_without_room_at_all_divides_by_nothing() {
    let p = pool(1);
    let gone = Disk { state: DiskState::Absent, size: 0, free: 0, ..disk(1, 0) };
    let ids: Vec<String> = found(&p, &facts(&p, vec![gone]), None).into_iter().map(|(id, ..)| id).collect();
    assert_eq!(ids, ["disk-away:1"]);
}
