//! Where copies outside the pools are kept.

use std::sync::Arc;

use parpen_base::Boxed;
use parpen_block::{Progress, Remote};
use parpen_model::Condition;
use parpen_model::ports::{Archive, Archived, NewArchive, Place, Target};

/// The stores of what is copied out of pools.
#[derive(Clone)]
pub struct Copies {
    /// Backups.
    pub archive: Arc<dyn Archive>,
}

impl Copies {
    /// A house that keeps no copies: whatever needs them is refused.
    pub fn none() -> Copies {
        Copies { archive: Arc::new(Nowhere) }
    }
}

struct Nowhere;

fn refused<T>() -> Boxed<'static, Result<T, Condition>> {
    Box::pin(async {
        Err(Condition::Unsupported("this service keeps no copies outside of its pools".into()))
    })
}

impl Archive for Nowhere {
    fn store<'a>(
        &'a self,
        _: &'a NewArchive,
        _: &'a Remote,
        _: &'a dyn Progress,
    ) -> Boxed<'a, Result<Archived, Condition>> {
        refused()
    }
    fn load<'a>(
        &'a self,
        _: &'a Place,
        _: &'a Target,
        _: &'a dyn Progress,
    ) -> Boxed<'a, Result<(), Condition>> {
        refused()
    }
    fn verify<'a>(&'a self, _: &'a Place, _: &'a dyn Progress) -> Boxed<'a, Result<Archived, Condition>> {
        refused()
    }
    fn facts<'a>(&'a self, _: &'a Place) -> Boxed<'a, Result<(serde_json::Value, Archived), Condition>> {
        refused()
    }
    fn remove<'a>(&'a self, _: &'a Place) -> Boxed<'a, Result<(), Condition>> {
        refused()
    }
}
