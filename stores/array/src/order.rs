//! What an operator can ask for, as values: one way in for the handle, the simulator and tests.

use parpen_engine::{Disk, EngineError, Rules};

use crate::Array;
use crate::member::About;

/// A wish about the disks. All are remembered or refused at once; what takes time happens behind the scenes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// [`Array::eject`].
    Eject {
        /// The disk.
        disk: u16,
        /// Also when objects are out of reach then.
        force: bool,
    },
    /// [`Array::forget`].
    Forget {
        /// The disk.
        disk: u16,
        /// Also when objects are lost then.
        lose: bool,
    },
    /// [`Array::retry`].
    Retry(u16),
    /// [`Array::soft_eject`].
    SoftEject(u16),
    /// [`Array::pause_eject`].
    PauseEject(u16),
    /// [`Array::cancel_eject`].
    CancelEject(u16),
    /// [`Array::describe_disk`].
    Describe(u16, About),
    /// [`Array::scrub`].
    Scrub(u16),
    /// [`Array::pause_scrub`].
    PauseScrub(u16),
    /// [`Array::stop_scrub`].
    StopScrub(u16),
    /// [`Array::commit_balance`].
    CommitBalance,
    /// [`Array::stop_balance`].
    StopBalance,
    /// [`Array::set_auto_balance`].
    AutoBalance(bool),
    /// [`Array::set_relocator`].
    Relocator(bool),
    /// [`Array::clear_tasks`].
    ClearTasks,
}

impl<D: Disk, R: Rules> Array<D, R> {
    /// Does what is asked.
    pub async fn order(&self, order: Order) -> Result<(), EngineError> {
        let result = match order {
            Order::Eject { disk, force } => self.eject(disk, force).await,
            Order::Forget { disk, lose } => self.forget(disk, lose).await,
            Order::Retry(disk) => self.retry(disk).await,
            Order::SoftEject(disk) => self.soft_eject(disk).await,
            Order::PauseEject(disk) => self.pause_eject(disk).await,
            Order::CancelEject(disk) => self.cancel_eject(disk).await,
            Order::Describe(disk, about) => self.describe_disk(disk, about).await,
            Order::Scrub(disk) => self.scrub(disk),
            Order::PauseScrub(disk) => self.pause_scrub(disk),
            Order::StopScrub(disk) => {
                self.stop_scrub(disk);
                Ok(())
            }
            Order::CommitBalance => self.commit_balance().await,
            Order::StopBalance => self.stop_balance().await,
            Order::AutoBalance(on) => {
                self.set_auto_balance(on);
                Ok(())
            }
            Order::Relocator(on) => {
                self.set_relocator(on);
                Ok(())
            }
            Order::ClearTasks => {
                self.clear_tasks();
                Ok(())
            }
        };
        self.work.fire();
        result
    }
}
