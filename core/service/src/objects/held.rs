//! What is on one disk.

use std::collections::HashMap;

use parpen_identity::Actor;
use parpen_model::{Condition, CopyState, HeldObject, Pool, Scope, read};
use uuid::Uuid;

use super::{PAGE, check_count};
use crate::{Ports, disks};

async fn owner(ports: &Ports, actor: &Actor, number: u16) -> Result<Pool, Condition> {
    let disk = disks::get(ports, actor, number).await?;
    if !disk.state.is_there() {
        return Err(Condition::Conflict(format!("disk {number} is not there; nobody knows what is on it")));
    }
    read(&*ports.meta, move |tx| tx.get(Scope::All, disk.pool)).await
}

/// What a disk has of one volume or snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects by how good they are.
    pub copies: Vec<(CopyState, u64)>,
}

/// What a disk has, by volume and snapshot; `None`: what deleted ones left to others.
pub async fn on_disk(
    ports: &Ports,
    actor: &Actor,
    number: u16,
) -> Result<HashMap<Option<Uuid>, Part>, Condition> {
    let pool = owner(ports, actor, number).await?;
    let (mut all, mut from) = (HashMap::<Option<Uuid>, Part>::new(), (0, 0));
    loop {
        let page = ports.figures.holds(&pool, number, (from, PAGE)).await?;
        let Some(last) = page.last() else { return Ok(all) };
        from = (last.at.0, last.at.1 + 1);
        for held in &page {
            let part = all.entry(held.of).or_default();
            (part.objects, part.bytes) = (part.objects + 1, part.bytes + held.bytes);
            match part.copies.iter_mut().find(|(copy, _)| *copy == held.copy) {
                Some((_, count)) => *count += 1,
                None => part.copies.push((held.copy, 1)),
            }
        }
    }
}

/// Every object of a disk, in its order; refused when there are more than `most`.
pub async fn all_on_disk(
    ports: &Ports,
    actor: &Actor,
    number: u16,
    most: usize,
) -> Result<Vec<HeldObject>, Condition> {
    let pool = owner(ports, actor, number).await?;
    let (mut all, mut from) = (Vec::new(), (0, 0));
    loop {
        let page: Vec<HeldObject> = ports.figures.holds(&pool, number, (from, PAGE)).await?;
        let Some(last) = page.last() else { return Ok(all) };
        from = (last.at.0, last.at.1 + 1);
        all.extend(page);
        check_count(all.len(), most)?;
    }
}
