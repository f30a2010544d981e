//! What happens to disks, and what operators do with them.

use parpen_array::{About, NewDisk, Order, Policy};
use parpen_engine::{BLOCK, Format, Rules};
use uuid::Uuid;

use crate::content::read_cells;
use crate::disk::{Faults, SimDisk};
use crate::profile::Profile;
use crate::world::Failure;

use super::world::{Slot, What, World};

/// The store that all disks belong to.
pub(super) const STORE: Uuid = Uuid::from_u128(0x57);

impl<R: Rules> World<R> {
    /// A blank disk of some size.
    pub fn blank(&mut self) -> NewDisk<SimDisk> {
        let number = self.next_disk;
        self.next_disk += 1;
        let pages = match self.profile {
            Profile::ArrayFull => self.rng.between(120, 240) as u64,
            _ => *self.rng.pick(&[512, 768, 1024, 1536]),
        };
        let atomic = if self.rng.percent(70) { 512 } else { 4096 };
        let disk = SimDisk::new(pages * BLOCK, atomic, self.rng.fork(), self.trace.clone())
            .named(format!("disk {number}"));
        let slot = Slot {
            disk: disk.clone(),
            there: true,
            coming: false,
            slow: self.rng.percent(15),
            armed: false,
            forgotten: false,
        };
        self.slots.insert(number, slot);
        let id = Uuid::from_u128(0xd000 + u128::from(number));
        let format = Format { store: STORE, disk: id, layout: self.layout };
        NewDisk { number, disk, format, about: About::default() }
    }

    fn numbers(&self, wanted: impl Fn(&Slot) -> bool) -> Vec<u16> {
        self.slots.iter().filter(|(_, s)| wanted(s)).map(|(n, _)| *n).collect()
    }

    /// Something happens to a disk, or is done with one.
    pub fn some_event(&mut self) -> Result<(), Failure> {
        let there = self.numbers(|s| s.there && !s.forgotten);
        let away = self.numbers(|s| !s.there && !s.coming && !s.forgotten);
        match self.rng.below(100) {
            0..14 => self.lose_one(&there),
            14..42 => {
                if let Some(number) = self.one_number(&away) {
                    self.attach(number);
                }
                Ok(())
            }
            42..46 => {
                let slow = self.rng.percent(50);
                if let Some(number) = self.one_number(&there) {
                    self.slot(number).slow = slow;
                }
                Ok(())
            }
            46..50 => self.some_loss(&there, &away),
            50..56 => {
                self.some_policy();
                Ok(())
            }
            _ => {
                self.some_order(&there);
                Ok(())
            }
        }
    }

    fn one_number(&mut self, all: &[u16]) -> Option<u16> {
        if all.is_empty() { None } else { Some(*self.rng.pick(all)) }
    }

    /// A disk goes away, by its cable or with its power. Mostly one at a time, so that something can be promised.
    fn lose_one(&mut self, there: &[u16]) -> Result<(), Failure> {
        let out = self.out.len();
        if there.len() < 2 || (out > 0 && !self.rng.percent(15)) {
            return Ok(());
        }
        self.collect()?;
        let rotten = self.slots.values().any(|s| s.armed && s.disk.silent_faults() > 0);
        if rotten && !self.rng.percent(30) {
            return Ok(());
        }
        let number = *self.rng.pick(there);
        let power = self.rng.percent(50);
        self.trace.note(11, || format!("== disk {number} goes away, power lost: {power}"));
        self.slot(number).disk.vanish(power);
        self.slot(number).there = false;
        self.refresh();
        Ok(())
    }

    /// A disk that is away is plugged in again.
    pub fn attach(&mut self, number: u16) {
        let slot = self.slot(number);
        if slot.disk.failures() > 0 {
            slot.disk.vanish(true);
        }
        slot.disk = slot.disk.again();
        slot.disk.set_faults(Faults::default());
        slot.coming = true;
        let (disk, array) = (slot.disk.clone(), self.array());
        let future = async move { array.attach(disk).await.map(|_| None) };
        self.submitted(What::Attach(number), future, || format!("attach disk {number}"));
    }

    /// A disk whose medium failed is pulled out, so that it can be plugged in again.
    pub fn pull_failed(&mut self) {
        for number in self.numbers(|s| s.there && s.disk.failures() > 0) {
            self.trace.note(12, || format!("== disk {number} failed and is pulled out"));
            self.slot(number).disk.vanish(true);
            self.slot(number).there = false;
        }
    }

    /// A disk is forgotten, or a new one comes.
    fn some_loss(&mut self, there: &[u16], away: &[u16]) -> Result<(), Failure> {
        if self.rng.percent(50) {
            if self.slots.len() < 7 {
                self.add();
            }
            return Ok(());
        }
        // Mostly only what is elsewhere, too.
        let careful = self.trees.values().all(|t| self.out.len() < t.copies);
        if there.len() < 3 || (!careful && !self.rng.percent(4)) {
            return Ok(());
        }
        if let Some(number) = self.one_number(away) {
            let array = self.array();
            let future =
                async move { array.order(Order::Forget { disk: number, lose: true }).await.map(|()| None) };
            self.submitted(What::Forget(number), future, || format!("forget disk {number}"));
        }
        Ok(())
    }

    fn add(&mut self) {
        let new = self.blank();
        let number = new.number;
        let array = self.array();
        let future = async move { array.add_disk(new).await.map(|()| None) };
        self.submitted(What::Add, future, || format!("add disk {number}"));
    }

    /// A bit of some data on the one disk that rots flips. (Only after an opening, when all is checkpointed: what rots
    /// in the tail of a log looks like a write that never arrived.)
    pub fn rot(&mut self) {
        let Some(number) = self.numbers(|s| s.armed).first().copied() else { return };
        if self.trees.values().any(|t| self.injured() >= t.copies) {
            return;
        }
        let disk = self.slots[&number].disk.clone();
        let is_data = |page: &usize| {
            let bytes = disk.peek(*page);
            read_cells(&bytes).is_ok_and(|stamps| stamps.iter().any(|s| *s != 0))
        };
        let data: Vec<usize> =
            (0..(parpen_engine::Disk::size(&disk) / BLOCK) as usize).filter(is_data).collect();
        for _ in 0..self.rng.between(1, 6) {
            if !data.is_empty() {
                disk.rot(*self.rng.pick(&data));
            }
        }
    }

    /// A tree gets another number of copies.
    fn some_policy(&mut self) {
        // (Of a volume that is being rolled back nobody knows which tree the policy is for.)
        let all = self.ids(|d| d.held == 0 && !d.closed);
        let Some(id) = self.one_of(&all) else { return };
        self.model.get(id).held += 1;
        let replicas = self.some_copies();
        let t = self.trees.get_mut(&self.tree_of[&id]).expect("every device has a tree");
        // Fewer count at once, more when they are made.
        (t.copies, t.asked) = (t.copies.min(usize::from(replicas)), usize::from(replicas));
        let array = self.array();
        let future = async move {
            let policy = Policy { replicas, ..Policy::default() };
            array.set_policy(id.uuid(), &policy).await.map(|()| None)
        };
        self.submitted(What::Policy(id), future, || format!("{replicas} copies of {id:?}"));
    }

    fn some_order(&mut self, there: &[u16]) {
        let Some(disk) = self.one_number(there) else { return };
        let order = match self.rng.below(22) {
            // Only while nothing gets out of reach by it.
            0 if self.out.is_empty() && self.trees.values().all(|t| t.copies > 1) => {
                Order::Eject { disk, force: self.rng.percent(50) }
            }
            0..5 => Order::SoftEject(disk),
            5..7 => Order::PauseEject(disk),
            7..10 => Order::CancelEject(disk),
            10..14 => Order::Scrub(disk),
            14 => Order::PauseScrub(disk),
            15 => Order::StopScrub(disk),
            16..19 => Order::CommitBalance,
            19 => Order::StopBalance,
            20 => Order::Retry(disk),
            _ => Order::AutoBalance(self.rng.percent(50)),
        };
        let array = self.array();
        let text = format!("{order:?}");
        let future = async move {
            if order == Order::CommitBalance {
                array.compute_balance().await;
            }
            array.order(order).await.map(|()| None)
        };
        self.submitted(What::Verb, future, || text);
    }
}
