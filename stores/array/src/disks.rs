//! The part of the handle that is about disks, placement and the work behind the scenes.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::PoisonError;

use parpen_engine::{Disk, EngineError};
use uuid::Uuid;

use crate::local::NewVolume;
use crate::manage::{MemberInfo, TaskInfo};
use crate::mover::Health;
use crate::open::NewDisk;
use crate::order::Order;
use crate::pace::Rates;
use crate::place::Policy;
use crate::plan::Plan;
use crate::store::{DiskSource, NewSource, Store, StoreError};
use crate::survey::Survey;
use crate::whereabouts::{Held, Whereabouts};

impl Store {
    /// [`crate::Array::create_placed`].
    pub async fn create_placed(&self, new: NewVolume) -> Result<(), EngineError> {
        self.call(vec![new.id], move |a| Box::pin(async move { a.create_placed(&new).await })).await
    }

    /// [`crate::Array::policy_of`].
    pub async fn policy_of(&self, id: Uuid) -> Result<Policy, EngineError> {
        self.call(vec![], move |a| Box::pin(async move { a.policy_of(id) })).await
    }

    /// [`crate::Array::set_policy`].
    pub async fn set_policy(&self, id: Uuid, policy: Policy) -> Result<(), EngineError> {
        self.call(vec![], move |a| Box::pin(async move { a.set_policy(id, &policy).await })).await
    }

    /// [`crate::Array::put_group`].
    pub async fn put_group(&self, name: String, disks: Vec<u16>) -> Result<(), EngineError> {
        self.call(vec![], move |a| Box::pin(async move { a.put_group(&name, disks).await })).await
    }

    /// [`crate::Array::groups`].
    pub async fn groups(&self) -> Result<BTreeMap<String, Vec<u16>>, EngineError> {
        self.call(vec![], |a| Box::pin(async move { Ok(a.groups()) })).await
    }

    /// [`crate::Array::members`].
    pub async fn members(&self) -> Result<Vec<MemberInfo>, EngineError> {
        self.call(vec![], |a| Box::pin(async move { Ok(a.members()) })).await
    }

    /// [`crate::Array::tasks`].
    pub async fn tasks(&self) -> Result<Vec<TaskInfo>, EngineError> {
        self.call(vec![], |a| Box::pin(async move { Ok(a.tasks()) })).await
    }

    /// [`crate::Array::health`].
    pub async fn health(&self, left_out: Vec<u16>) -> Result<Health, EngineError> {
        self.call(vec![], move |a| Box::pin(async move { Ok(a.health(&left_out).await) })).await
    }

    /// [`crate::Array::order`].
    pub async fn order(&self, order: Order) -> Result<(), EngineError> {
        self.call(vec![], move |a| a.order(order)).await
    }

    /// [`crate::Array::compute_balance`].
    pub async fn compute_balance(&self) -> Result<Plan, EngineError> {
        self.call(vec![], |a| Box::pin(async move { Ok(a.compute_balance().await) })).await
    }

    /// [`crate::Array::plan_balance`].
    pub async fn plan_balance(&self) -> Result<Plan, EngineError> {
        self.call(vec![], |a| Box::pin(async move { Ok(a.plan_balance().await) })).await
    }

    /// [`crate::Array::survey`].
    pub async fn survey(&self) -> Result<Survey, EngineError> {
        self.call(vec![], |a| Box::pin(async move { Ok(a.survey().await) })).await
    }

    /// [`crate::Array::whereabouts`].
    pub async fn whereabouts(&self, id: Uuid, from: u64, most: u64) -> Result<Whereabouts, EngineError> {
        self.call(vec![], move |a| a.whereabouts(id, from, most)).await
    }

    /// [`crate::Array::holds`].
    pub async fn holds(&self, disk: u16, from: (u64, u64), most: u64) -> Result<Vec<Held>, EngineError> {
        self.call(vec![], move |a| Box::pin(async move { a.holds(disk, from, most) })).await
    }

    /// [`crate::Array::balance_plan`].
    pub async fn balance_plan(&self) -> Result<Option<Plan>, EngineError> {
        self.call(vec![], |a| Box::pin(async move { Ok(a.balance_plan()) })).await
    }

    /// [`crate::Array::add_disk`]; of the kind of disk that the store has.
    pub async fn add_disk<D: Disk + 'static>(&self, new: NewSource<D>) -> Result<(), StoreError> {
        let NewSource { number, disk, format, about } = new;
        let add = move |disk| -> Box<dyn Any> { Box::new(NewDisk::<D> { number, disk, format, about }) };
        let added = self.with_disk(disk, move |a, disk| a.add_disk(add(disk)));
        added.await?.map_err(StoreError::Change)
    }

    /// [`crate::Array::attach`]; of the kind of disk that the store has.
    pub async fn attach<D: Disk + 'static>(&self, disk: DiskSource<D>) -> Result<u16, StoreError> {
        let attached = self.with_disk(disk, |a, disk| a.attach(Box::new(disk)));
        attached.await?.map_err(StoreError::Change)
    }

    /// How fast the work behind the scenes may be, from the next step on.
    pub fn set_rates(&self, rates: Rates) {
        *self.0.rates.lock().unwrap_or_else(PoisonError::into_inner) = rates;
    }

    /// How fast the work behind the scenes may be.
    pub fn rates(&self) -> Rates {
        *self.0.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `f` with a disk that is made at home; the outer error is that of making it.
    async fn with_disk<D: Disk + 'static, T: Send + 'static>(
        &self,
        disk: DiskSource<D>,
        f: impl for<'a> FnOnce(
            &'a dyn crate::local::Local,
            D,
        ) -> crate::local::LocalTask<'a, Result<T, EngineError>>
        + Send
        + 'static,
    ) -> Result<Result<T, EngineError>, StoreError> {
        let done = self.call(vec![], move |a| {
            Box::pin(async move {
                match disk() {
                    Ok(disk) => Ok(Ok(f(a, disk).await)),
                    Err(e) => Ok(Err(e)),
                }
            })
        });
        done.await.map_err(StoreError::Change)?
    }
}
