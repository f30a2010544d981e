//! Writing a backup.

use bytes::Bytes;
use futures_util::future::try_join_all;
use object_store::PutMode;
use object_store::path::Path;
use parpen_base::{Buf, ByteRange, MIB};
use parpen_block::{Progress, Remote};
use parpen_model::ports::{Archived, NewArchive, Place};
use parpen_model::{Condition, Kind};
use tokio::task::JoinSet;

use crate::ObjectArchive;
use crate::manifest::{Layer, Manifest};
use crate::segment::{BLOCK, Builder, FOOTER, Piece, SegmentRef, found, index_at, sum};
use crate::view::{Found, View, WINDOW};

/// Segments that are on their way to the store at a time.
const UPLOADS: usize = 2;
/// Bytes of one read.
const READ: u64 = MIB;

pub(crate) async fn store(
    archive: &ObjectArchive,
    new: &NewArchive,
    from: &Remote,
    progress: &dyn Progress,
) -> Result<Archived, Condition> {
    let at = &new.place;
    if let Some(done) = archive.find_manifest(at).await? {
        return Ok(done.archived());
    }
    let size = from.geometry().size;
    let base = match new.base {
        Some(backup) => archive.manifest(&Place { backup, ..at.clone() }).await?.layers,
        None => Vec::new(),
    };
    let segments = found_again(archive, at).await?;
    let changed = new.changed.as_ref().map(|c| Changed::new(c, &base, size));
    let mut writer = Writer {
        archive,
        at,
        view: View::new(archive, at, &base),
        changed: changed.filter(|_| !base.is_empty()),
        segments,
        building: Builder::default(),
        uploads: JoinSet::new(),
    };
    let start = writer.segments.last().map_or(0, |s| s.last + 1);
    let blocks = size.div_ceil(BLOCK);
    for first in (start..blocks).step_by(WINDOW as usize) {
        writer.window(from, size, first, WINDOW.min(blocks - first)).await?;
        progress.moved(((first + WINDOW) * BLOCK).min(size));
    }
    let segments = writer.finish().await?;
    let mut layers = vec![Layer { backup: at.backup.0, size, segments }];
    layers.extend(base);
    let manifest = Manifest {
        schema: 1,
        backup: at.backup.0,
        volume: at.volume.0,
        base: new.base.map(|b| b.0),
        size,
        block: BLOCK,
        facts: new.facts.clone(),
        layers,
    };
    let bytes = manifest.to_bytes()?;
    match archive.put(&archive.manifest_path(at), bytes.into(), PutMode::Create).await {
        // An earlier call got so far and did not hear of it.
        Ok(()) | Err(Condition::Exists { .. }) => Ok(archive.manifest(at).await?.archived()),
        Err(e) => Err(e),
    }
}

/// Which blocks may differ from the base.
struct Changed {
    /// Start and end, ascending and apart.
    ranges: Vec<(u64, u64)>,
    /// The block in which the smaller of both sizes ends: what lies behind it in the base is no part of the volume.
    edge: u64,
}

impl Changed {
    fn new(ranges: &[ByteRange], base: &[Layer], size: u64) -> Changed {
        let mut ranges: Vec<(u64, u64)> = ranges.iter().map(|r| (r.start(), r.end())).collect();
        ranges.sort_unstable();
        ranges.dedup_by(|next, before| {
            let touches = next.0 <= before.1;
            if touches {
                before.1 = before.1.max(next.1);
            }
            touches
        });
        let edge = base.first().map_or(0, |l| l.size.min(size)) / BLOCK;
        Changed { ranges, edge }
    }

    fn has(&self, block: u64) -> bool {
        let (start, end) = (block * BLOCK, (block + 1) * BLOCK);
        let after = self.ranges.partition_point(|r| r.1 <= start);
        block == self.edge || self.ranges.get(after).is_some_and(|r| r.0 < end)
    }
}

/// The whole segments that an interrupted call has left, without a gap.
async fn found_again(archive: &ObjectArchive, at: &Place) -> Result<Vec<SegmentRef>, Condition> {
    let prefix = archive.segment_path(at, &at.backup.to_string());
    let mut there: Vec<_> = archive.list(&prefix).await?;
    there.sort_by(|a, b| a.location.cmp(&b.location));
    let mut all: Vec<SegmentRef> = Vec::new();
    for object in there {
        let name = name(at, all.len());
        if object.location != archive.segment_path(at, &name) {
            break;
        }
        let Some(of) = read_back(archive, &object.location, name, object.size).await? else { break };
        if all.last().is_some_and(|before| of.first <= before.last) {
            break;
        }
        all.push(of);
    }
    Ok(all)
}

async fn read_back(
    archive: &ObjectArchive,
    path: &Path,
    name: String,
    size: u64,
) -> Result<Option<SegmentRef>, Condition> {
    let Some(tail) = size.checked_sub(FOOTER as u64) else { return Ok(None) };
    let footer = archive.get_range(path, tail..size).await?;
    let Some((range, crc)) = index_at(&footer, size) else { return Ok(None) };
    let index = archive.get_range(path, range.clone()).await?;
    Ok(found(name, size, &index, range.start, crc))
}

fn name(at: &Place, number: usize) -> String {
    format!("{}/{number:08}", at.backup)
}

/// What is on its way.
struct Writer<'a> {
    archive: &'a ObjectArchive,
    at: &'a Place,
    /// The base, seen as one.
    view: View<'a>,
    changed: Option<Changed>,
    segments: Vec<SegmentRef>,
    building: Builder,
    uploads: JoinSet<Result<(), Condition>>,
}

impl Writer<'_> {
    /// Compares and packs the blocks from `first` on.
    async fn window(&mut self, from: &Remote, size: u64, first: u64, count: u64) -> Result<(), Condition> {
        let wanted: Vec<u64> =
            (first..first + count).filter(|b| self.changed.as_ref().is_none_or(|c| c.has(*b))).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let before = self.view.window(first, count).await?;
        let data = read(from, size, &wanted).await?;
        let work = move || -> Result<Vec<Piece>, Condition> {
            let mut pieces = Vec::new();
            for (block, bytes) in wanted.iter().zip(&data) {
                let old = before[(block - first) as usize].as_ref();
                let raw = (size - block * BLOCK).min(BLOCK) as u32;
                pieces.extend(piece(*block, raw, bytes.as_deref(), old)?);
            }
            Ok(pieces)
        };
        let pieces = tokio::task::spawn_blocking(work).await.map_err(Condition::internal)??;
        for piece in pieces {
            self.building.push(piece);
            if self.building.len() >= self.archive.segment {
                self.upload().await?;
            }
        }
        Ok(())
    }

    /// Sends the segment off.
    async fn upload(&mut self) -> Result<(), Condition> {
        let Some((of, bytes)) = self.building.finish(name(self.at, self.segments.len())) else {
            return Ok(());
        };
        while self.uploads.len() >= UPLOADS {
            self.sent().await?;
        }
        let path = self.archive.segment_path(self.at, &of.name);
        let store = self.archive.store.clone();
        self.uploads.spawn(async move { put(&*store, path, bytes).await });
        self.segments.push(of);
        Ok(())
    }

    async fn sent(&mut self) -> Result<(), Condition> {
        match self.uploads.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(e)) => Err(Condition::internal(e)),
            None => Ok(()),
        }
    }

    async fn finish(mut self) -> Result<Vec<SegmentRef>, Condition> {
        if !self.building.is_empty() {
            self.upload().await?;
        }
        while !self.uploads.is_empty() {
            self.sent().await?;
        }
        Ok(self.segments)
    }
}

async fn put(store: &dyn object_store::ObjectStore, path: Path, bytes: Bytes) -> Result<(), Condition> {
    let done = store.put_opts(&path, bytes.into(), object_store::PutOptions::default()).await;
    done.map(|_| ()).map_err(|e| crate::told(e, &path))
}

/// What has to be stored of a block: nothing when the base has the same, `bytes` being `None` for zeros.
fn piece(
    block: u64,
    raw: u32,
    bytes: Option<&[u8]>,
    old: Option<&Found>,
) -> Result<Option<Piece>, Condition> {
    let zeros = bytes.is_none_or(|b| b.iter().all(|b| *b == 0));
    match (bytes, old) {
        (Some(bytes), old) if !zeros => {
            let sum = sum(bytes);
            let same = old.is_some_and(|o| o.entry.raw == raw && o.entry.sum == sum);
            if same { Ok(None) } else { Piece::pack(block, bytes, sum).map(Some) }
        }
        (_, Some(_)) => Ok(Some(Piece::zero(block, raw))),
        (_, None) => Ok(None),
    }
}

/// The bytes of blocks, `None` where the device says that it has none. Neighbours are read together.
async fn read(from: &Remote, size: u64, wanted: &[u64]) -> Result<Vec<Option<Vec<u8>>>, Condition> {
    let (first, last) = (wanted[0], wanted[wanted.len() - 1]);
    let (start, end) = (first * BLOCK, ((last + 1) * BLOCK).min(size));
    let mut holes: Vec<(u64, u64)> = Vec::new();
    if from.capabilities().extents {
        let mut at = start;
        for extent in from.extents(start, (end - start) as u32).await? {
            if extent.zero {
                holes.push((at, at + extent.len));
            }
            at += extent.len;
        }
    }
    let is_hole = |block: u64| {
        let (from, to) = (block * BLOCK, ((block + 1) * BLOCK).min(size));
        holes.iter().any(|(a, b)| *a <= from && to <= *b)
    };
    let reads = wanted.iter().filter(|b| !is_hole(**b)).copied().collect::<Vec<_>>();
    let limit = READ.min(from.geometry().maximum.into()).max(BLOCK) / BLOCK;
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for block in &reads {
        match runs.last_mut() {
            Some((at, n)) if *at + *n == *block && *n < limit => *n += 1,
            _ => runs.push((*block, 1)),
        }
    }
    let one = |(at, n): (u64, u64)| async move {
        let len = ((at + n) * BLOCK).min(size) - at * BLOCK;
        from.read(at * BLOCK, len as u32).await.map(|buf| (at, buf))
    };
    let got: Vec<(u64, Buf)> = try_join_all(runs.into_iter().map(one)).await?;
    let bytes_of = |block: u64| {
        let (at, buf) = got.iter().rev().find(|(at, _)| *at <= block)?;
        let offset = ((block - at) * BLOCK) as usize;
        buf.get(offset..(offset + BLOCK as usize).min(buf.len())).map(<[u8]>::to_vec)
    };
    let all = wanted.iter().map(|b| match is_hole(*b) {
        true => Ok(None),
        false => bytes_of(*b)
            .map(Some)
            .ok_or_else(|| Condition::internal(format!("{} was not read", Kind::Volume.word()))),
    });
    all.collect()
}
