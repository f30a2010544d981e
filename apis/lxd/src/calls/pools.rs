//! Storage pools.

use parpen_http::Reply;
use parpen_model::{Condition, PoolId};
use parpen_service::pools;

use super::Cx;
use crate::wire::{PoolPut, PoolsPost};
use crate::{envelope, from_wire, to_wire};

pub(super) async fn list(cx: Cx<'_>) -> Result<Reply, Condition> {
    let mut all = pools::list(cx.ports(), &cx.actor).await?;
    all.sort_by(|a, b| a.name.cmp(&b.name));
    if !cx.recursive() {
        return Ok(envelope::sync(all.iter().map(|p| to_wire::pool_url(&p.name)).collect::<Vec<_>>()));
    }
    let used = cx.used_by(None).await?;
    let documents: Vec<_> = all.iter().map(|p| to_wire::pool(p, of_pool(&used, p.id))).collect();
    Ok(envelope::sync(documents))
}

fn of_pool(used: &[(PoolId, String)], pool: PoolId) -> Vec<String> {
    used.iter().filter(|(p, _)| *p == pool).map(|(_, url)| url.clone()).collect()
}

pub(super) async fn create(mut cx: Cx<'_>) -> Result<Reply, Condition> {
    let new = from_wire::new_pool(cx.body::<PoolsPost>().await?)?;
    let url = to_wire::pool_url(&new.name);
    let started = pools::create(cx.ports(), &cx.actor, new).await?;
    cx.finish(started.job).await?;
    cx.bus().lifecycle(&cx.actor, "storage-pool-created", &url);
    Ok(envelope::created(&url))
}

pub(super) async fn get(cx: Cx<'_>) -> Result<Reply, Condition> {
    let pool = cx.pool().await?;
    let used = cx.used_by(Some(&pool)).await?;
    Ok(envelope::tagged(to_wire::pool(&pool, of_pool(&used, pool.id)), &to_wire::pool_etag(&pool)))
}

pub(super) async fn change(mut cx: Cx<'_>, replace: bool) -> Result<Reply, Condition> {
    let pool = cx.pool().await?;
    cx.check_match(&to_wire::pool_etag(&pool))?;
    let body: PoolPut = cx.body().await?;
    let attributes = match body.config {
        Some(config) if replace => Some(from_wire::put_pool(&pool, config)?),
        Some(config) => Some(from_wire::patch_pool(&pool, config)?),
        None => None,
    };
    let edit = pools::Edit { description: body.description, attributes, ..pools::Edit::default() };
    pools::edit(cx.ports(), &cx.actor, pool.id, edit).await?;
    cx.bus().lifecycle(&cx.actor, "storage-pool-updated", &to_wire::pool_url(&pool.name));
    Ok(envelope::empty())
}

pub(super) async fn delete(cx: Cx<'_>) -> Result<Reply, Condition> {
    let pool = cx.pool().await?;
    let started = pools::delete(cx.ports(), &cx.actor, pool.id).await?;
    cx.finish(started.job).await?;
    cx.bus().lifecycle(&cx.actor, "storage-pool-deleted", &to_wire::pool_url(&pool.name));
    Ok(envelope::empty())
}

pub(super) async fn resources(cx: Cx<'_>) -> Result<Reply, Condition> {
    let pool = cx.pool().await?;
    let space = pools::space(cx.ports(), &cx.actor, &pool).await?;
    Ok(envelope::sync(to_wire::resources(&space)))
}
