//! Provisional.
#[path = "../../core/service/tests/service/house/drivers.rs"]
mod fake;
use parpen_base::{Boxed, Entropy};
use parpen_model::ports::*;
use parpen_model::*;
use std::path::PathBuf;
use std::sync::Arc;
pub struct LocalDrivers(fake::TestDrivers);
impl LocalDrivers {
    pub fn new(_d: PathBuf, _r: parpen_ring::Handle, _e: Arc<dyn Entropy>) -> Self {
        LocalDrivers(Default::default())
    }
    pub fn notes(&self) -> Vec<String> {
        vec!["provisional".into()]
    }
    pub async fn close(&self) {}
}
impl Drivers for LocalDrivers {
    fn open<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<Arc<dyn VolumeBackend>, Condition>> {
        self.0.open(pool)
    }
    fn destroy<'a>(&'a self, pool: &'a Pool) -> Boxed<'a, Result<(), Condition>> {
        self.0.destroy(pool)
    }
    fn capacity_for(&self, d: Driver, path: Option<&str>, asked: Option<u64>) -> Result<u64, Condition> {
        self.0.capacity_for(d, path, asked)
    }
}
pub mod fsck {
    pub fn run(_d: &std::path::Path, _x: bool) -> anyhow::Result<()> {
        anyhow::bail!("no engine yet")
    }
}
