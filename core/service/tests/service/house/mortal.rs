//! A process that dies at a chosen point: from then on nothing that it began ever answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parpen_base::Boxed;
use parpen_model::ports::{MetaStore, ReadWork, WriteWork};
use parpen_model::{Condition, Kind};
use tokio::sync::Notify;

/// Counts the points at which a process may die: before and after every commit and every verb of a store.
#[derive(Default)]
pub struct Life {
    left: AtomicI64,
    armed: AtomicBool,
    dead: AtomicBool,
    bell: Notify,
}

impl Life {
    /// Dies at the point of this number from now on.
    pub fn arm(&self, points: i64) {
        self.left.store(points, Ordering::SeqCst);
        self.armed.store(true, Ordering::SeqCst);
    }

    /// A new process: nobody dies any more.
    pub fn revive(&self) {
        self.armed.store(false, Ordering::SeqCst);
        self.dead.store(false, Ordering::SeqCst);
    }

    /// Waits for the end.
    pub async fn died(&self) {
        while !self.dead.load(Ordering::SeqCst) {
            self.bell.notified().await;
        }
    }

    /// One of the points. Whoever comes here after the end stays here.
    pub async fn point(&self) {
        if self.armed.load(Ordering::SeqCst) && self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.dead.store(true, Ordering::SeqCst);
            self.bell.notify_one();
        }
        self.stay_if_dead().await;
    }

    async fn stay_if_dead(&self) {
        if self.dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

/// Rows whose process may die.
pub struct Mortal {
    pub rows: Arc<dyn MetaStore>,
    pub life: Arc<Life>,
}

impl MetaStore for Mortal {
    fn read(&self, f: ReadWork) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move {
            self.life.stay_if_dead().await;
            self.rows.read(f).await
        })
    }
    fn look(&self, f: ReadWork) -> Boxed<'_, Result<(), Condition>> {
        Box::pin(async move {
            self.life.stay_if_dead().await;
            self.rows.look(f).await
        })
    }
    fn write(&self, f: WriteWork) -> Boxed<'_, Result<u64, Condition>> {
        Box::pin(async move {
            self.life.point().await;
            let done = self.rows.write(f).await;
            self.life.point().await;
            done
        })
    }
    fn writes(&self, of: &[Kind]) -> Option<u64> {
        self.rows.writes(of)
    }
}
