//! What the log says: every change of the maps and the catalogue is one operation, applied in order, at run
//! time and at replay by the same code ([`crate::state::State::apply`]).

use smallvec::SmallVec;
use uuid::Uuid;

use crate::adopt::{ImageKind, NodeImage};
use crate::alloc::{Run, Runs};
use crate::codec::{Malformed, Reader, Writer};
use crate::layout::LABEL_MAX;

/// Blocks of one object that lie side by side: on the disk from `phys` on, or a hole (`phys` 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) phys: u64,
    pub(crate) len: u32,
}

/// A piece that recovery does not believe: the older mapping of these blocks stays. Never written to a disk.
pub(crate) const SKIP: u64 = u64::MAX;

/// Pieces of a mapping, and checksums; the usual few without an allocation.
pub(crate) type Pieces = SmallVec<[Piece; 1]>;
pub(crate) type Crcs = SmallVec<[u32; 4]>;

/// Blocks of one object are mapped anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) lineage: u64,
    /// The lineage that was the head when the data was written: seeds the checksums.
    pub(crate) origin: u64,
    /// Number of the object in its volume.
    pub(crate) index: u64,
    /// Configuration generation of the write.
    pub(crate) generation: u64,
    /// First block within the object.
    pub(crate) start: u32,
    pub(crate) pieces: Pieces,
    /// One for each block of the pieces that are no holes, in order.
    pub(crate) crcs: Crcs,
}

/// Where blocks of a [`Filling`] come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// They stay as they are.
    Keep,
    /// What was written is not there: they stay as they are, but in a span of the version's own, as it was when they
    /// were written. What came later was done to that. Made by recovery alone.
    Doubted,
    Hole,
    /// Written to the disk from `phys` on.
    Data {
        phys: u64,
        origin: u64,
    },
    /// The parent version has them, under this origin.
    Shared {
        origin: u64,
    },
}

impl Source {
    /// Whether `next` continues a piece of `len` blocks that begins here.
    pub(crate) fn goes_on(self, len: u32, next: Source) -> bool {
        match (self, next) {
            (Source::Data { phys, origin }, Source::Data { phys: p, origin: o }) => {
                p == phys + u64::from(len) && o == origin
            }
            (a, b) => a == b,
        }
    }

    pub(crate) fn is_marked(self) -> bool {
        matches!(self, Source::Data { .. } | Source::Shared { .. })
    }
}

/// Neighbouring blocks of a filling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FillPiece {
    pub(crate) source: Source,
    pub(crate) len: u32,
}

/// Blocks of one object of any lineage become what another disk has there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filling {
    pub(crate) lineage: u64,
    pub(crate) index: u64,
    pub(crate) start: u32,
    pub(crate) pieces: Vec<FillPiece>,
    /// One for each block of data, written or shared, in order.
    pub(crate) crcs: Vec<u32>,
}
/// Instead of a new head: the volume ends, as the snapshot.
pub(crate) const FROZEN: u64 = 0;

/// Nodes become what another disk says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Adoption {
    /// The catalogue's count of operations afterwards; 0 while parts are missing.
    pub(crate) seq: u64,
    pub(crate) next_lineage: u64,
    /// Lineages that lose their name.
    pub(crate) ghosts: Vec<u64>,
    /// Records that are gone, by number.
    pub(crate) gone: Vec<u64>,
    /// With the parents that they have on this disk; older ones first.
    pub(crate) nodes: Vec<NodeImage>,
}

/// One volume of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The head, which freezes and becomes the snapshot.
    pub(crate) lineage: u64,
    /// The volume's new head, or [`FROZEN`].
    pub(crate) head: u64,
    pub(crate) snapshot: Uuid,
    pub(crate) label: Vec<u8>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Map(Mapping),
    Create {
        lineage: u64,
        parent: u64,
        id: Uuid,
        of: Uuid,
        bytes: u64,
        label: Vec<u8>,
    },
    Snapshot(Vec<Taken>),
    Resize {
        lineage: u64,
        bytes: u64,
    },
    /// The volume goes on in `head`, a child of `to`; the old head loses its name.
    Rollback {
        lineage: u64,
        to: u64,
        head: u64,
    },
    /// The lineage loses its name; its space is taken back step by step.
    Forget {
        lineage: u64,
    },
    /// One step of that: what one object of a nameless lineage holds goes to its only child, or is freed.
    Settle {
        lineage: u64,
        index: u64,
    },
    /// The nameless lineage is gone.
    Drop {
        lineage: u64,
    },
    Relabel {
        lineage: u64,
        label: Vec<u8>,
    },
    Fill(Filling),
    /// One block has a new place, for all that share it: the old one is bad.
    Move(Filling),
    Adopt(Adoption),
    /// All versions of one object in one tree are gone.
    Evict {
        tree: u64,
        index: u64,
    },
    /// A key gets a value (empty: it is gone). `lineage` is the record's number.
    Record {
        lineage: u64,
        key: Uuid,
        value: Vec<u8>,
    },
    /// The lineage holds all spans of an object that anything between it and an ancestor (0: none) has, and owns
    /// what only it uses. Nothing reads differently.
    Detach {
        lineage: u64,
        ancestor: u64,
        index: u64,
    },
    /// Blocks of one object have got fresh places with the same content; what they were shared with keeps the old.
    Copy(Mapping),
    /// The lineage shares with this older one (0: none), and with nothing between, from now on.
    Rebase {
        lineage: u64,
        parent: u64,
    },
}

const MAP: u64 = 1;
const CREATE: u64 = 2;
const SNAPSHOT: u64 = 3;
const RESIZE: u64 = 4;
const ROLLBACK: u64 = 5;
const FORGET: u64 = 6;
const SETTLE: u64 = 7;
const DROP: u64 = 8;
const RELABEL: u64 = 9;
const RECORD: u64 = 10;
const FILL: u64 = 11;
const MOVE: u64 = 12;
const EVICT: u64 = 13;
const ADOPT: u64 = 14;
const DETACH: u64 = 17;
const COPY: u64 = 15;
const REBASE: u64 = 16;
/// An operation whose kind has this bit may be skipped by programs that do not know it.
const SKIPPABLE: u64 = 1 << 6;

fn put_label(w: &mut Writer, label: &[u8]) {
    w.varint(label.len() as u64);
    w.bytes(label);
}

fn get_label(r: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
    let len = r.varint()? as usize;
    if len > LABEL_MAX { Err(Malformed) } else { Ok(r.bytes(len)?.to_vec()) }
}

impl Mapping {
    /// Most bytes that a mapping of `blocks` can take in the log.
    pub(crate) fn most_bytes(blocks: u64) -> usize {
        64 + blocks as usize * 20
    }

    /// Blocks that the mapping covers.
    pub(crate) fn blocks(&self) -> u64 {
        self.pieces.iter().map(|p| u64::from(p.len)).sum()
    }

    fn put(&self, w: &mut Writer) {
        for v in [self.lineage, self.origin, self.index, self.generation] {
            w.varint(v);
        }
        w.varint(u64::from(self.start));
        w.varint(self.pieces.len() as u64);
        for p in &self.pieces {
            w.varint(p.phys);
            w.varint(u64::from(p.len));
        }
        self.crcs.iter().for_each(|c| w.u32(*c));
    }

    fn get(r: &mut Reader<'_>) -> Result<Mapping, Malformed> {
        let (lineage, origin, index, generation) = (r.varint()?, r.varint()?, r.varint()?, r.varint()?);
        let start = u32::try_from(r.varint()?).map_err(|_| Malformed)?;
        let count = r.varint()?;
        if count > r.left() as u64 / 2 {
            return Err(Malformed);
        }
        let mut pieces = Pieces::new();
        let (mut data, mut all) = (0u64, u64::from(start));
        for _ in 0..count {
            let (phys, len) = (r.varint()?, u32::try_from(r.varint()?).map_err(|_| Malformed)?);
            if phys == SKIP || len == 0 {
                return Err(Malformed);
            }
            data += if phys == 0 { 0 } else { u64::from(len) };
            all += u64::from(len);
            pieces.push(Piece { phys, len });
        }
        if data * 4 != r.left() as u64 || all > u64::from(u32::MAX) {
            return Err(Malformed);
        }
        let crcs = (0..data).map(|_| r.u32()).collect::<Result<_, _>>()?;
        Ok(Mapping { lineage, origin, index, generation, start, pieces, crcs })
    }
}

const KEEP: u64 = 0;
const HOLE: u64 = 1;
const DATA: u64 = 2;
const SHARED: u64 = 3;

impl Filling {
    /// Most bytes that a filling of `blocks` can take in the log.
    pub(crate) fn most_bytes(blocks: u64) -> usize {
        64 + blocks as usize * 30
    }

    /// Blocks that it covers.
    pub(crate) fn blocks(&self) -> u64 {
        self.pieces.iter().map(|p| u64::from(p.len)).sum()
    }

    /// Those that have a checksum.
    pub(crate) fn marked(&self) -> u64 {
        self.pieces.iter().filter(|p| p.source.is_marked()).map(|p| u64::from(p.len)).sum()
    }

    fn put(&self, w: &mut Writer) {
        for v in [self.lineage, self.index, u64::from(self.start), self.pieces.len() as u64] {
            w.varint(v);
        }
        for p in &self.pieces {
            let (kind, numbers): (u64, &[u64]) = match p.source {
                Source::Keep | Source::Doubted => (KEEP, &[]),
                Source::Hole => (HOLE, &[]),
                Source::Data { phys, origin } => (DATA, &[phys, origin]),
                Source::Shared { origin } => (SHARED, &[origin]),
            };
            w.varint(kind);
            w.varint(u64::from(p.len));
            numbers.iter().for_each(|v| w.varint(*v));
        }
        self.crcs.iter().for_each(|c| w.u32(*c));
    }

    fn get(r: &mut Reader<'_>) -> Result<Filling, Malformed> {
        let (lineage, index) = (r.varint()?, r.varint()?);
        let start = u32::try_from(r.varint()?).map_err(|_| Malformed)?;
        let count = r.varint()?;
        if count > r.left() as u64 / 2 {
            return Err(Malformed);
        }
        let mut f = Filling { lineage, index, start, pieces: Vec::new(), crcs: Vec::new() };
        for _ in 0..count {
            let (kind, len) = (r.varint()?, u32::try_from(r.varint()?).map_err(|_| Malformed)?);
            let source = match kind {
                KEEP => Source::Keep,
                HOLE => Source::Hole,
                DATA => Source::Data { phys: r.varint()?, origin: r.varint()? },
                SHARED => Source::Shared { origin: r.varint()? },
                _ => return Err(Malformed),
            };
            if len == 0 {
                return Err(Malformed);
            }
            f.pieces.push(FillPiece { source, len });
        }
        if f.marked() * 4 != r.left() as u64 || u64::from(start) + f.blocks() > u64::from(u32::MAX) {
            return Err(Malformed);
        }
        f.crcs = (0..f.marked()).map(|_| r.u32()).collect::<Result<_, _>>()?;
        Ok(f)
    }
}

impl Adoption {
    pub(crate) fn is_empty(&self) -> bool {
        self.ghosts.is_empty() && self.gone.is_empty() && self.nodes.is_empty()
    }

    /// Most bytes that a node can take.
    pub(crate) fn bytes_of(node: &NodeImage) -> usize {
        110 + node.label.len()
    }

    /// Most bytes that the operation can take in the log.
    pub(crate) fn most_bytes(&self) -> usize {
        let numbers = 10 * (self.ghosts.len() + self.gone.len());
        64 + numbers + self.nodes.iter().map(Adoption::bytes_of).sum::<usize>()
    }

    fn put(&self, w: &mut Writer) {
        w.varint(self.seq);
        w.varint(self.next_lineage);
        for list in [&self.ghosts, &self.gone] {
            w.varint(list.len() as u64);
            list.iter().for_each(|v| w.varint(*v));
        }
        w.varint(self.nodes.len() as u64);
        for n in &self.nodes {
            let kind = match n.kind {
                ImageKind::Volume => 0,
                ImageKind::Snapshot => 1,
                ImageKind::Ghost => 2,
                ImageKind::Record => 3,
            };
            for v in [n.lineage, n.parent, n.tree, kind, n.bytes, n.label_version] {
                w.varint(v);
            }
            w.uuid(n.id);
            w.uuid(n.of);
            put_label(w, &n.label);
        }
    }

    fn get(r: &mut Reader<'_>) -> Result<Adoption, Malformed> {
        let (seq, next_lineage) = (r.varint()?, r.varint()?);
        let mut a = Adoption { seq, next_lineage, ..Adoption::default() };
        for list in [&mut a.ghosts, &mut a.gone] {
            for _ in 0..r.varint()? {
                list.push(r.varint()?);
            }
        }
        for _ in 0..r.varint()? {
            let (lineage, parent, tree) = (r.varint()?, r.varint()?, r.varint()?);
            let kind = match r.varint()? {
                0 => ImageKind::Volume,
                1 => ImageKind::Snapshot,
                2 => ImageKind::Ghost,
                3 => ImageKind::Record,
                _ => return Err(Malformed),
            };
            let (bytes, label_version) = (r.varint()?, r.varint()?);
            let (id, of, label) = (r.uuid()?, r.uuid()?, get_label(r)?);
            a.nodes.push(NodeImage { lineage, parent, tree, kind, id, of, bytes, label, label_version });
        }
        Ok(a)
    }
}

impl Op {
    /// The disk blocks that it maps.
    pub(crate) fn placed(&self) -> Runs {
        let run = |phys: u64, len: u32| Run { phys, len: u64::from(len) };
        match self {
            Op::Map(m) | Op::Copy(m) => {
                let data = m.pieces.iter().filter(|p| p.phys != 0 && p.phys != SKIP);
                data.map(|p| run(p.phys, p.len)).collect()
            }
            Op::Fill(f) | Op::Move(f) => {
                let data = |p: &FillPiece| match p.source {
                    Source::Data { phys, .. } => Some(run(phys, p.len)),
                    _ => None,
                };
                f.pieces.iter().filter_map(data).collect()
            }
            _ => Runs::new(),
        }
    }

    fn kind(&self) -> u64 {
        match self {
            Op::Map(_) => MAP,
            Op::Create { .. } => CREATE,
            Op::Snapshot(_) => SNAPSHOT,
            Op::Resize { .. } => RESIZE,
            Op::Rollback { .. } => ROLLBACK,
            Op::Forget { .. } => FORGET,
            Op::Settle { .. } => SETTLE,
            Op::Drop { .. } => DROP,
            Op::Relabel { .. } => RELABEL,
            Op::Record { .. } => RECORD,
            Op::Fill(_) => FILL,
            Op::Move(_) => MOVE,
            Op::Adopt(_) => ADOPT,
            Op::Evict { .. } => EVICT,
            Op::Detach { .. } => DETACH,
            Op::Copy(_) => COPY,
            Op::Rebase { .. } => REBASE,
        }
    }

    /// Whether it changes the catalogue, which all disks of a store have alike. The others are each disk's own
    /// business.
    pub(crate) fn is_catalogue(&self) -> bool {
        match self {
            Op::Create { .. } | Op::Snapshot(_) | Op::Resize { .. } | Op::Rollback { .. } => true,
            Op::Forget { .. } | Op::Relabel { .. } | Op::Record { .. } => true,
            Op::Rebase { .. } => true,
            Op::Map(_) | Op::Settle { .. } | Op::Drop { .. } => false,
            Op::Fill(_) | Op::Move(_) | Op::Evict { .. } => false,
            Op::Detach { .. } | Op::Copy(_) => false,
            // It says itself how far the catalogue is.
            Op::Adopt(_) => false,
        }
    }

    fn put_body(&self, w: &mut Writer) {
        let mut numbers = |all: &[u64]| all.iter().for_each(|v| w.varint(*v));
        match self {
            Op::Map(m) | Op::Copy(m) => m.put(w),
            Op::Create { lineage, parent, id, of, bytes, label } => {
                numbers(&[*lineage, *parent, *bytes]);
                w.uuid(*id);
                w.uuid(*of);
                put_label(w, label);
            }
            Op::Snapshot(all) => {
                numbers(&[all.len() as u64]);
                for t in all {
                    w.varint(t.lineage);
                    w.varint(t.head);
                    w.uuid(t.snapshot);
                    put_label(w, &t.label);
                }
            }
            Op::Resize { lineage, bytes } => numbers(&[*lineage, *bytes]),
            Op::Rollback { lineage, to, head } => numbers(&[*lineage, *to, *head]),
            Op::Fill(f) | Op::Move(f) => f.put(w),
            Op::Adopt(a) => a.put(w),
            Op::Evict { tree, index } => numbers(&[*tree, *index]),
            Op::Settle { lineage, index } => numbers(&[*lineage, *index]),
            Op::Detach { lineage, ancestor, index } => numbers(&[*lineage, *ancestor, *index]),
            Op::Rebase { lineage, parent } => numbers(&[*lineage, *parent]),
            Op::Forget { lineage } | Op::Drop { lineage } => numbers(&[*lineage]),
            Op::Relabel { lineage, label } => {
                numbers(&[*lineage]);
                put_label(w, label);
            }
            Op::Record { lineage, key, value } => {
                numbers(&[*lineage]);
                w.uuid(*key);
                put_label(w, value);
            }
        }
    }

    /// Kind, length and body. `body` is for the time of the call.
    pub(crate) fn put(&self, w: &mut Writer, body: &mut Writer) {
        body.out.clear();
        self.put_body(body);
        w.varint(self.kind());
        w.varint(body.out.len() as u64);
        w.bytes(&body.out);
    }

    /// The next operation; `None` is one that may be skipped.
    pub(crate) fn get(r: &mut Reader<'_>) -> Result<Option<Op>, Malformed> {
        let (kind, len) = (r.varint()?, r.varint()?);
        let mut body = Reader::new(r.bytes(usize::try_from(len).map_err(|_| Malformed)?)?);
        let r = &mut body;
        let op = match kind {
            MAP => Op::Map(Mapping::get(r)?),
            CREATE => {
                let (lineage, parent, bytes) = (r.varint()?, r.varint()?, r.varint()?);
                Op::Create { lineage, parent, bytes, id: r.uuid()?, of: r.uuid()?, label: get_label(r)? }
            }
            SNAPSHOT => {
                let mut all = Vec::new();
                for _ in 0..r.varint()? {
                    let (lineage, head) = (r.varint()?, r.varint()?);
                    all.push(Taken { lineage, head, snapshot: r.uuid()?, label: get_label(r)? });
                }
                Op::Snapshot(all)
            }
            RESIZE => Op::Resize { lineage: r.varint()?, bytes: r.varint()? },
            ROLLBACK => Op::Rollback { lineage: r.varint()?, to: r.varint()?, head: r.varint()? },
            FORGET => Op::Forget { lineage: r.varint()? },
            SETTLE => Op::Settle { lineage: r.varint()?, index: r.varint()? },
            DROP => Op::Drop { lineage: r.varint()? },
            RELABEL => Op::Relabel { lineage: r.varint()?, label: get_label(r)? },
            ADOPT => Op::Adopt(Adoption::get(r)?),
            FILL => Op::Fill(Filling::get(r)?),
            MOVE => Op::Move(Filling::get(r)?),
            EVICT => Op::Evict { tree: r.varint()?, index: r.varint()? },
            RECORD => Op::Record { lineage: r.varint()?, key: r.uuid()?, value: get_label(r)? },
            DETACH => Op::Detach { lineage: r.varint()?, ancestor: r.varint()?, index: r.varint()? },
            COPY => Op::Copy(Mapping::get(r)?),
            REBASE => Op::Rebase { lineage: r.varint()?, parent: r.varint()? },
            k if k & SKIPPABLE != 0 => return Ok(None),
            _ => return Err(Malformed),
        };
        if r.is_empty() { Ok(Some(op)) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smallvec::smallvec;

    fn encode(op: &Op) -> Vec<u8> {
        let mut w = Writer::default();
        op.put(&mut w, &mut Writer::default());
        w.out
    }

    fn every_kind() -> Vec<Op> {
        let id = Uuid::from_u128(5);
        let label = b"books".to_vec();
        vec![
            Op::Map(Mapping {
                lineage: 1,
                origin: 2,
                index: 3,
                generation: 4,
                start: 5,
                pieces: smallvec![Piece { phys: 900, len: 2 }, Piece { phys: 0, len: 7 }],
                crcs: smallvec![1, u32::MAX],
            }),
            Op::Create { lineage: 1, parent: 0, id, of: Uuid::nil(), bytes: 1 << 40, label: label.clone() },
            Op::Snapshot(vec![Taken { lineage: 1, head: 2, snapshot: id, label: label.clone() }; 2]),
            Op::Resize { lineage: 1, bytes: 512 },
            Op::Rollback { lineage: 1, to: 2, head: 3 },
            Op::Forget { lineage: 1 },
            Op::Settle { lineage: 1, index: u64::MAX },
            Op::Drop { lineage: 1 },
            Op::Relabel { lineage: 1, label: label.clone() },
            Op::Record { lineage: 9, key: id, value: label },
            Op::Fill(Filling {
                lineage: 1,
                index: 2,
                start: 3,
                pieces: vec![
                    FillPiece { source: Source::Keep, len: 1 },
                    FillPiece { source: Source::Hole, len: 2 },
                    FillPiece { source: Source::Data { phys: 900, origin: 1 << 41 | 7 }, len: 2 },
                    FillPiece { source: Source::Shared { origin: 5 }, len: 1 },
                ],
                crcs: vec![1, 2, u32::MAX],
            }),
            Op::Move(Filling {
                lineage: 1,
                index: 2,
                start: 3,
                pieces: vec![FillPiece { source: Source::Data { phys: 900, origin: 1 }, len: 1 }],
                crcs: vec![1],
            }),
            Op::Evict { tree: 4, index: 5 },
            Op::Detach { lineage: 9, ancestor: 0, index: 3 },
            Op::Copy(Mapping {
                lineage: 1,
                origin: 2,
                index: 3,
                generation: 0,
                start: 0,
                pieces: smallvec![Piece { phys: 70, len: 1 }],
                crcs: smallvec![8],
            }),
            Op::Rebase { lineage: 9, parent: 2 },
            Op::Adopt(Adoption {
                seq: 5,
                next_lineage: 9,
                ghosts: vec![4, 5],
                gone: vec![6],
                nodes: vec![NodeImage {
                    lineage: 8,
                    parent: 4,
                    tree: 2,
                    kind: ImageKind::Snapshot,
                    id,
                    of: Uuid::nil(),
                    bytes: 1 << 30,
                    label: b"x".to_vec(),
                    label_version: 3,
                }],
            }),
        ]
    }

    #[test]
    fn every_operation_comes_back() {
        let bytes: Vec<u8> = every_kind().iter().flat_map(encode).collect();
        let mut r = Reader::new(&bytes);
        for op in every_kind() {
            assert_eq!(Op::get(&mut r), Ok(Some(op)));
        }
        assert!(r.is_empty());
        assert_eq!(Op::get(&mut Reader::new(&[70, 1, 9])), Ok(None), "unknown and skippable");
        assert_eq!(Op::get(&mut Reader::new(&[40, 1, 9])), Err(Malformed), "unknown and not");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..120), kind in 0u8..20) {
            let _ = Op::get(&mut Reader::new(&bytes));
            let mut framed = vec![kind, bytes.len() as u8];
            framed.extend(&bytes);
            let _ = Op::get(&mut Reader::new(&framed));
        }

        #[test]
        fn flipped_bits_are_survived(which in 0usize..14, bit in 0usize..400) {
            let mut bytes = encode(&every_kind()[which]);
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = Op::get(&mut Reader::new(&bytes));
        }
    }
}
