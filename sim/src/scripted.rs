//! Histories that chance finds too seldom, written down: each shows one rule.

use parpen_engine::{BLOCK, Layout, Rules};

use crate::content::CELLS;
use crate::model::{Change, Id};
use crate::profile::Profile;
use crate::trace::Trace;
use crate::world::{Failure, World};

/// The page behind the log on a disk with [`Layout::tiny`].
const LOG_END: usize = 10;

impl<R: Rules> World<R> {
    fn scripted(seed: u64, layout: Layout) -> Result<World<R>, Failure> {
        let mut world = World::new(seed, Profile::CrashAtomic, Trace::new(false));
        world.format(layout)?;
        world.reopened()?;
        Ok(world)
    }

    /// Recovery without further power cuts.
    fn reopened(&mut self) -> Result<(), Failure> {
        self.crashed_recoveries = 0;
        self.recover().map(|_| ())
    }

    /// A volume with data in each of its blocks, flushed.
    fn filled(&mut self, blocks: usize) -> Result<Id, Failure> {
        let id = self.fresh_id();
        self.change(Change::Create { id, size: blocks as u64 * BLOCK });
        self.drain()?;
        let stamps = self.fresh_stamps(blocks * CELLS);
        self.write(id, 0, &stamps);
        self.drain()?;
        self.flush();
        self.drain()?;
        Ok(id)
    }

    /// Runs tasks only; disk requests stand still.
    fn run_tasks(&mut self) {
        while self.exec.step(&mut self.rng) {}
    }
}

/// A commit of two records loses the first; the next life writes that very record again. The second one,
/// which nobody asked for any more, must not follow it.
pub fn stale_successor<R: Rules>() -> Result<(), Failure> {
    let mut world = World::<R>::scripted(1, Layout::tiny())?;
    let id = world.filled(2)?;
    for version in 1..4 {
        world.change(Change::Relabel { id, version });
        world.drain()?;
    }
    world.close_now()?;
    world.zero(id, 0, CELLS);
    world.drain()?;
    world.change(Change::Relabel { id, version: 4 });
    world.run_tasks();
    let mut records = world.disk.waiting_writes();
    records.sort_unstable();
    let [_, second] = records[..] else {
        return Err(format!("the script expects a commit of two records, not writes at {records:?}"));
    };
    world.crash_keeping(|page| (second..LOG_END).contains(&page));
    world.reopened()?;
    world.zero(id, 0, CELLS);
    world.drain()?;
    world.flush();
    world.drain()?;
    world.crash_keeping(|_| false);
    world.reopened()
}

/// While one deletion is taking back its space, another one is asked for, whose record is then lost: what
/// it had held must still be there.
pub fn deletion_undone<R: Rules>(seed: u64) -> Result<(), Failure> {
    // One group, so that what was freed is the next to be taken.
    let layout = Layout { object_blocks: 1, ag_blocks: 256, ..Layout::tiny() };
    let mut world = World::<R>::scripted(seed, layout)?;
    let (second, first, third) = (world.filled(8)?, world.filled(24)?, world.filled(2)?);
    world.change(Change::Delete(first));
    world.change(Change::Delete(second));
    // The first one's record is written and flushed; the second one's stands still at the disk.
    world.run_tasks();
    for _ in 0..2 {
        world.disk.step();
        world.run_tasks();
    }
    let stamps = world.fresh_stamps(2 * CELLS);
    world.write(third, 0, &stamps);
    world.run_tasks();
    world.crash_keeping(|page| page >= LOG_END);
    world.reopened()
}

/// A shrink is cut off after `first` disk requests and a growth after `second`; of what no flush covered
/// only the log arrived. What was cut off must not show again behind the old end.
pub fn shrunk_and_grown<R: Rules>(first: usize, second: usize) -> Result<(), Failure> {
    let mut world = World::<R>::scripted(1, Layout::tiny())?;
    let id = world.filled(2)?;
    for (size, steps) in [(BLOCK + 512, first), (3 * BLOCK, second)] {
        world.change(Change::Resize { id, size });
        world.run_tasks();
        for _ in 0..steps {
            world.disk.step();
            world.run_tasks();
        }
        world.collect()?;
        world.crash_keeping(|page| page < LOG_END);
        world.reopened()?;
    }
    Ok(())
}
