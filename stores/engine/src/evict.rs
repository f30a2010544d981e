//! Evicting: a family leaves this disk, because another one has it.

use crate::engine::Engine;
use crate::map::Data;
use crate::reclaim::SMALL_OP;
use crate::record::Op;
use crate::room::{Keep, Need};
use crate::state::{Cause, Freed, Span, State};
use crate::{Disk, EngineError, Rules};

impl State {
    pub(crate) fn apply_evict(&mut self, tree: u64, index: u64, freed: &mut Freed) {
        // Younger ones first: what a version owns shows in its parent.
        for slot in self.family_slots(tree, index).into_iter().rev() {
            for span in 0..self.spans_per_object() {
                let Span::Here(map) = &self.version(slot).row().spans[span] else { continue };
                let (map, above) = (map.clone(), self.inherited(slot, span).cloned());
                let mine = |(i, d): &(usize, Data)| above.as_ref().is_none_or(|p| p.phys(*i) != d.phys);
                for (_, d) in map.iter().filter(mine) {
                    freed.push(d.phys, Cause::Deleted);
                    self.mapped = self.mapped.saturating_sub(1);
                }
            }
            self.remove_version(slot);
        }
        self.forget_far();
    }
}

impl<D: Disk, R: Rules> Engine<D, R> {
    /// All versions of one object in one tree go, and their blocks with them; durable after a later
    /// [`Engine::flush`]. The lineages stay and read as zeros there. Nobody may write to the family meanwhile.
    pub async fn evict(&self, tree: u64, index: u64) -> Result<(), EngineError> {
        self.alive()?;
        let versions = self.state.borrow().family_slots(tree, index).len() as u64;
        if versions == 0 {
            return Ok(());
        }
        let need = Need { blocks: 0, spans: versions, log: SMALL_OP, keep: Keep::Nothing };
        self.change_loaded(need, || Ok(Op::Evict { tree, index })).await
    }
}
