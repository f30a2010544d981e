//! Records: small values by key that every disk of a store keeps, part of its catalogue.

use std::rc::Rc;

use uuid::Uuid;

use crate::codec::{BlobRef, Malformed};
use crate::engine::Engine;
use crate::layout::{BLOCK, LABEL_MAX};
use crate::reclaim::SMALL_OP;
use crate::record::Op;
use crate::room::{Keep, Need};
use crate::state::{Node, NodeKind, State};
use crate::{Disk, EngineError, Rules};

impl State {
    pub(crate) fn apply_record(&mut self, lineage: u64, key: Uuid, value: &[u8]) -> Result<(), Malformed> {
        match self.records.get(&key) {
            Some(known) if *known != lineage => Err(Malformed),
            Some(_) if value.is_empty() => self.remove_record(lineage),
            Some(_) => {
                let node = self.nodes.get_mut(&lineage).ok_or(Malformed)?;
                node.label = value.into();
                node.label_version += 1;
                self.touch_node(lineage);
                Ok(())
            }
            None => {
                let slot = self.new_node_slot();
                let node = Node {
                    parent: 0,
                    tree: 0,
                    kind: NodeKind::Record,
                    id: key,
                    of: Uuid::nil(),
                    bytes: 0,
                    label: value.into(),
                    label_version: 1,
                    children: Vec::new(),
                    owned: 0,
                    slot,
                    leaf: BlobRef::default(),
                };
                self.add_node(lineage, node)
            }
        }
    }

    pub(crate) fn remove_record(&mut self, lineage: u64) -> Result<(), Malformed> {
        let node = self.nodes.remove(&lineage).filter(|n| n.kind == NodeKind::Record).ok_or(Malformed)?;
        self.records.remove(&node.id);
        self.forget_node(lineage, &node);
        Ok(())
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// Keeps a value under a key, durable when answered; an empty one removes the key. It may use what is kept
    /// back on a full disk (a new one half of it): that a disk has failed must be written down even then.
    pub async fn put_record(&self, key: Uuid, value: &[u8]) -> Result<(), EngineError> {
        self.alive()?;
        if value.len() > LABEL_MAX {
            return Err(EngineError::Invalid("a record has at most 64 KiB"));
        }
        let _one = self.lock_catalogue().await;
        let log = SMALL_OP + 32 + value.len();
        self.check_op_size(log)?;
        let blocks = 2 * (6 + value.len() as u64 / BLOCK);
        let is_new = !self.state.borrow().records.contains_key(&key);
        let keep = if is_new { Keep::Half } else { Keep::Nothing };
        self.make_room(Need { blocks, spans: 0, log, keep }).await?;
        let known = {
            let state = self.state.borrow();
            let known = state.records.get(&key).copied();
            known.map(|l| (l, state.nodes.get(&l).map(|n| Rc::clone(&n.label)))).or_else(|| {
                let fresh = !value.is_empty();
                fresh.then_some((state.next_lineage, None))
            })
        };
        if let Some((lineage, old)) = known
            && old.as_deref() != Some(value)
        {
            self.change(Op::Record { lineage, key, value: value.to_vec() })?;
        }
        self.flush().await
    }

    /// All records, by key.
    pub fn records(&self) -> Vec<(Uuid, Vec<u8>)> {
        let state = self.state.borrow();
        let value = |lineage: &u64| state.nodes.get(lineage).map(|n| n.label.to_vec());
        state.records.iter().filter_map(|(key, lineage)| Some((*key, value(lineage)?))).collect()
    }

    /// One record.
    pub fn record(&self, key: Uuid) -> Option<Vec<u8>> {
        let state = self.state.borrow();
        let lineage = state.records.get(&key)?;
        state.nodes.get(lineage).map(|n| n.label.to_vec())
    }
}
