//! Many layers as one: for each block the newest layer that knows it.

use parpen_model::Condition;
use parpen_model::ports::Place;

use crate::manifest::Layer;
use crate::segment::{BLOCK, Entry, Form, unpack};
use crate::{ObjectArchive, told};

/// Blocks that are looked up together: 4 MiB of the volume.
pub(crate) const WINDOW: u64 = 64;

/// Where a block's bytes are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    layer: usize,
    segment: usize,
    pub(crate) entry: Entry,
}

/// The layers of one manifest, read window by window. It keeps one index per layer.
pub(crate) struct View<'a> {
    archive: &'a ObjectArchive,
    at: &'a Place,
    layers: &'a [Layer],
    indexes: Vec<Option<(usize, Vec<Entry>)>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(archive: &'a ObjectArchive, at: &'a Place, layers: &'a [Layer]) -> View<'a> {
        View { archive, at, layers, indexes: layers.iter().map(|_| None).collect() }
    }

    /// The blocks from `first` on, `count` of them; `None` reads as zeros.
    pub(crate) async fn window(&mut self, first: u64, count: u64) -> Result<Vec<Option<Found>>, Condition> {
        let mut slots: Vec<Option<Found>> = vec![None; count as usize];
        let mut open: Vec<bool> = vec![true; count as usize];
        for layer in 0..self.layers.len() {
            if !open.contains(&true) {
                break;
            }
            let segments = &self.layers[layer].segments;
            let from = segments.partition_point(|s| s.last < first);
            let upto = segments.partition_point(|s| s.first < first + count);
            for segment in from..upto {
                for entry in self.index(layer, segment).await? {
                    let Some(i) = entry.block.checked_sub(first).filter(|i| *i < count) else { continue };
                    if std::mem::take(&mut open[i as usize]) && entry.form != Form::Zero {
                        slots[i as usize] = Some(Found { layer, segment, entry });
                    }
                }
            }
            // What this layer's volume did not have was zeros when it grew again.
            let size = self.layers[layer].size;
            let beyond = size.div_ceil(BLOCK).saturating_sub(first).min(count) as usize;
            open[beyond..].fill(false);
        }
        Ok(slots)
    }

    async fn index(&mut self, layer: usize, segment: usize) -> Result<Vec<Entry>, Condition> {
        if let Some((of, entries)) = &self.indexes[layer]
            && *of == segment
        {
            return Ok(entries.clone());
        }
        let of = &self.layers[layer].segments[segment];
        let path = self.archive.segment_path(self.at, &of.name);
        let bytes = self.archive.get_range(&path, of.index_range()).await.map_err(missing)?;
        let entries = of.read_index(&bytes)?;
        self.indexes[layer] = Some((segment, entries.clone()));
        Ok(entries)
    }

    /// The bytes of found blocks, unpacked and proved, in the given order.
    pub(crate) async fn fetch(&self, found: Vec<Found>) -> Result<Vec<Vec<u8>>, Condition> {
        let mut packed: Vec<(usize, Entry, bytes::Bytes)> = Vec::with_capacity(found.len());
        let mut order: Vec<usize> = (0..found.len()).collect();
        order.sort_by_key(|i| (found[*i].layer, found[*i].segment, found[*i].entry.offset));
        for group in order
            .chunk_by(|a, b| (found[*a].layer, found[*a].segment) == (found[*b].layer, found[*b].segment))
        {
            let of = &found[group[0]];
            let path = self.archive.segment_path(self.at, &self.layers[of.layer].segments[of.segment].name);
            let range = |i: &usize| {
                let e = &found[*i].entry;
                u64::from(e.offset)..u64::from(e.offset) + u64::from(e.stored)
            };
            let ranges: Vec<_> = group.iter().map(range).collect();
            let pieces =
                self.archive.store.get_ranges(&path, &ranges).await.map_err(|e| missing(told(e, &path)))?;
            packed.extend(group.iter().zip(pieces).map(|(i, bytes)| (*i, found[*i].entry, bytes)));
        }
        packed.sort_by_key(|(i, _, _)| *i);
        let work = move || packed.iter().map(|(_, entry, bytes)| unpack(entry, bytes)).collect();
        tokio::task::spawn_blocking(work).await.map_err(Condition::internal)?
    }
}

/// A segment that a manifest lists and that is not there is lost data, not an unknown backup.
fn missing(c: Condition) -> Condition {
    match c {
        Condition::NotFound { name, .. } => {
            Condition::DataLost(format!("the backup has lost its object {name}"))
        }
        other => other,
    }
}
