//! The reactor as its own thread sees it: tasks, timers, the driver, and the loop that turns them.

use std::cell::{OnceCell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parpen_base::{Clock, SystemClock};
use parpen_block::ReactorId;

use crate::Backend;
use crate::driver::{Driver, Wait};
use crate::reactor::Handle;
use crate::shared::{Inbox, Shared};
use crate::task::Tasks;
use crate::timer::Timers;

/// Polls in one turn before I/O and timers are looked at again.
const BUDGET: usize = 1024;

/// The reactor of this thread.
pub(crate) struct Local {
    shared: Arc<Shared>,
    pub(crate) tasks: Tasks,
    pub(crate) timers: Timers,
    /// None once the reactor has ended.
    driver: RefCell<Option<Driver>>,
    clock: SystemClock,
}

thread_local! {
    static CURRENT: OnceCell<Rc<Local>> = const { OnceCell::new() };
}

/// Calls `f` with the reactor of this thread, if it is one.
pub(crate) fn try_with<R>(f: impl FnOnce(&Local) -> R) -> Option<R> {
    CURRENT.try_with(|current| current.get().map(|local| f(local))).ok().flatten()
}

/// Calls `f` with the reactor of this thread.
///
/// # Panics
/// On a thread that is no reactor.
pub(crate) fn with<R>(f: impl FnOnce(&Local) -> R) -> R {
    try_with(f).expect("this thread is no reactor: post the work to one with Handle::run or Handle::spawn")
}

/// The steady time of this thread's reactor.
pub(crate) fn now() -> Duration {
    with(Local::now)
}

/// Queues a task of reactor `id` if that is this thread's; false if it is not.
pub(crate) fn make_ready(id: ReactorId, index: u32) -> bool {
    try_with(|local| {
        let ours = local.shared.id == id;
        if ours {
            local.tasks.make_ready(index);
        }
        ours
    })
    .unwrap_or(false)
}

/// Starts a task on the reactor of this thread. It runs until it ends or the reactor does; a panic in it ends the
/// reactor.
///
/// # Panics
/// On a thread that is no reactor.
pub fn spawn_local(task: impl Future<Output = ()> + 'static) {
    with(|local| local.tasks.spawn(&local.shared, Box::pin(task)));
}

/// The reactor of this thread, if it is one.
pub fn current() -> Option<Handle> {
    try_with(|local| Handle::new(local.shared.clone()))
}

impl Local {
    /// Makes this thread a reactor, for the rest of its life.
    pub(crate) fn enter(shared: Arc<Shared>, backend: Backend) -> io::Result<Rc<Local>> {
        let driver = Driver::new(backend, &shared)?;
        shared.set_backend(driver.backend());
        let driver = RefCell::new(Some(driver));
        let (tasks, timers, clock) = (Tasks::default(), Timers::default(), SystemClock::new());
        let local = Rc::new(Local { shared, tasks, timers, driver, clock });
        let entered = CURRENT.with(|current| current.set(local.clone()).is_ok());
        assert!(entered, "a thread becomes a reactor once");
        Ok(local)
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.steady()
    }

    /// Calls `f` with the driver; none once the reactor has ended.
    pub(crate) fn with_driver<R>(&self, f: impl FnOnce(&mut Driver) -> R) -> Option<R> {
        self.driver.borrow_mut().as_mut().map(f)
    }

    /// Turns until somebody asks for the end. One turn: the mailbox, due timers, ready tasks, then one call of the
    /// kernel that hands over all new operations and, if nothing is left to do, waits.
    pub(crate) fn run(&self) -> io::Result<()> {
        let mut inbox = Inbox::default();
        let mut woken: Vec<Waker> = Vec::new();
        loop {
            self.shared.take(&mut inbox);
            if inbox.stop {
                return Ok(());
            }
            inbox.woken.drain(..).for_each(|index| self.tasks.make_ready(index));
            while let Some(call) = inbox.calls.pop_front() {
                call();
            }
            if self.timers.next().is_some() {
                self.timers.fire(self.now());
            }
            self.tasks.run(BUDGET);
            let wait = self.wait();
            self.with_driver(|driver| driver.turn(wait, &mut woken)).unwrap_or(Ok(()))?;
            self.shared.awake();
            woken.drain(..).for_each(Waker::wake);
        }
    }

    /// How long the kernel may keep this thread.
    fn wait(&self) -> Wait {
        if self.tasks.any_ready() {
            return Wait::No;
        }
        let wait = match self.timers.next() {
            None => Wait::Forever,
            Some(deadline) => match deadline.checked_sub(self.now()) {
                None => return Wait::No,
                Some(time) => Wait::AtMost(time),
            },
        };
        let quiet = self.shared.may_sleep() && self.with_driver(|driver| driver.may_sleep()).unwrap_or(true);
        if quiet { wait } else { Wait::No }
    }

    /// Drops all tasks and posted closures, then waits until the kernel holds none of our memory.
    pub(crate) fn finish(&self) {
        self.tasks.clear();
        drop(self.shared.close());
        self.tasks.clear(); // what the closures' captures spawned while they were dropped
        let driver = self.driver.borrow_mut().take();
        drop(driver);
    }
}
