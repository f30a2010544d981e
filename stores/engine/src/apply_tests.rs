use super::*;
use crate::adopt::{ImageKind, NodeImage};
use crate::layout::Layout;
use crate::record::{Adoption, FillPiece, Filling, Source};
use proptest::prelude::*;
use smallvec::smallvec;

/// Operations over few lineages, ids, objects and blocks: most of them contradict the state, which must be
/// noticed and survived.
fn op() -> impl Strategy<Value = Op> {
    let l = || 0u64..7;
    let id = || (0u128..6).prop_map(Uuid::from_u128);
    let piece =
        (prop_oneof![Just(0u64), Just(SKIP), 1u64..260], 1u32..9).prop_map(|(phys, len)| Piece { phys, len });
    let map = (l(), l(), 0u64..2, 0u32..16, proptest::collection::vec(piece, 1..4), any::<bool>()).prop_map(
        |(lineage, origin, index, start, pieces, right)| {
            let data: u32 = pieces.iter().filter(|p| p.phys != 0).map(|p| p.len).sum();
            let crcs = vec![7; data as usize + usize::from(!right)];
            Mapping { lineage, origin, index, generation: 1, start, pieces: pieces.into(), crcs: crcs.into() }
        },
    );
    let source = prop_oneof![
        Just(Source::Keep),
        Just(Source::Hole),
        (0u64..260, l()).prop_map(|(phys, origin)| Source::Data { phys, origin }),
        l().prop_map(|origin| Source::Shared { origin }),
    ];
    let piece = (source, 1u32..6).prop_map(|(source, len)| FillPiece { source, len });
    let fill = (l(), 0u64..2, 0u32..16, proptest::collection::vec(piece, 1..4), any::<[bool; 2]>()).prop_map(
        |(lineage, index, start, pieces, [right, moves])| {
            let mut f = Filling { lineage, index, start, pieces, crcs: Vec::new() };
            f.crcs = vec![7; f.marked() as usize + usize::from(!right)];
            if moves { Op::Move(f) } else { Op::Fill(f) }
        },
    );
    let kind = prop_oneof![
        Just(ImageKind::Volume),
        Just(ImageKind::Snapshot),
        Just(ImageKind::Ghost),
        Just(ImageKind::Record)
    ];
    let node = (l(), l(), l(), kind, id()).prop_map(|(lineage, parent, tree, kind, id)| NodeImage {
        lineage,
        parent,
        tree,
        kind,
        id,
        of: Uuid::nil(),
        bytes: 1 << 20,
        label: vec![3],
        label_version: 1,
    });
    let some = || proptest::collection::vec(l(), 0..2);
    let adopt = (some(), some(), proptest::collection::vec(node, 0..3)).prop_map(|(ghosts, gone, nodes)| {
        Op::Adopt(Adoption { seq: 1, next_lineage: 7, ghosts, gone, nodes })
    });
    prop_oneof![
        3 => adopt,
        4 => fill,
        1 => (l(), 0u64..2).prop_map(|(tree, index)| Op::Evict { tree, index }),
        2 => (l(), id(), 0usize..2).prop_map(|(lineage, key, n)| Op::Record { lineage, key, value: vec![1; n] }),
        8 => map.clone().prop_map(Op::Map),
        3 => map.prop_map(Op::Copy),
        3 => (l(), l(), id(), id()).prop_map(|(lineage, parent, id, of)| Op::Create {
            lineage, parent, id, of, bytes: 1 << 20, label: vec![1]
        }),
        3 => (l(), l(), id()).prop_map(|(lineage, head, snapshot)| {
            Op::Snapshot(vec![Taken { lineage, head, snapshot, label: vec![] }])
        }),
        1 => (l(), any::<u64>()).prop_map(|(lineage, bytes)| Op::Resize { lineage, bytes }),
        1 => (l(), l(), l()).prop_map(|(lineage, to, head)| Op::Rollback { lineage, to, head }),
        2 => l().prop_map(|lineage| Op::Forget { lineage }),
        3 => (l(), 0u64..2).prop_map(|(lineage, index)| Op::Settle { lineage, index }),
        2 => l().prop_map(|lineage| Op::Drop { lineage }),
        1 => l().prop_map(|lineage| Op::Relabel { lineage, label: vec![2] }),
        2 => (l(), l(), 0u64..2).prop_map(|(lineage, ancestor, index)| Op::Detach { lineage, ancestor, index }),
        2 => (l(), l()).prop_map(|(lineage, parent)| Op::Rebase { lineage, parent }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_log_of_nonsense_is_refused_and_never_a_panic(ops in proptest::collection::vec(op(), 1..40), ghosts: bool) {
        let layout = Layout { object_blocks: 16, ..Layout::tiny() };
        let mut state = State::new(&layout, 256, ghosts);
        let mut freed = Freed::default();
        for op in &ops {
            // A real log ends here; trying on reaches stranger states.
            let _ = state.apply(op, &mut freed);
        }
        let lineages: Vec<u64> = state.nodes.keys().copied().collect();
        for l in lineages {
            prop_assert!(state.entries(l, 0, 32).len() == 32);
            prop_assert!(state.touched_objects(l, 0, 9).len() <= 2);
        }
    }
}

#[test]
fn the_operations_of_one_life_leave_nothing_behind() {
    let mut state = State::new(&Layout::tiny(), 256, true);
    let mut freed = Freed::default();
    let map = |lineage, phys| {
        let pieces = smallvec![Piece { phys, len: 4 }];
        Op::Map(Mapping {
            lineage,
            origin: lineage,
            index: 0,
            generation: 5,
            start: 2,
            pieces,
            crcs: smallvec![1; 4],
        })
    };
    let (volume, snapshot, clone) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
    let create = |lineage, parent, id| Op::Create {
        lineage,
        parent,
        id,
        of: Uuid::nil(),
        bytes: 65536,
        label: vec![],
    };
    let life = [
        create(1, 0, volume),
        map(1, 100),
        Op::Snapshot(vec![Taken { lineage: 1, head: 2, snapshot, label: vec![] }]),
        map(2, 110),
        create(3, 1, clone),
        map(3, 120),
        Op::Forget { lineage: 1 },
        Op::Settle { lineage: 1, index: 0 },
    ];
    life.iter().for_each(|op| state.apply(op, &mut freed).unwrap());
    assert_eq!(freed.0.len(), 1, "both children have overwritten what the ghost held");
    assert_eq!((state.mapped, state.version(state.lookup(2, 0).unwrap()).generation), (8, 5));
    let end = [
        Op::Forget { lineage: 2 },
        Op::Settle { lineage: 2, index: 0 },
        Op::Drop { lineage: 2 },
        Op::Settle { lineage: 1, index: 0 },
        Op::Drop { lineage: 1 },
        Op::Forget { lineage: 3 },
        Op::Settle { lineage: 3, index: 0 },
        Op::Drop { lineage: 3 },
    ];
    end.iter().for_each(|op| state.apply(op, &mut freed).unwrap());
    let all: u64 = freed.0.iter().map(|(run, _)| run.len).sum();
    assert_eq!((all, state.mapped, state.nodes.len(), state.by_key.len()), (12, 0, 0, 0));
}

/// Two lineages that went on from each other would be a walk upwards without an end.
#[test]
fn no_lineage_goes_on_from_a_younger_one() {
    let create = |lineage, parent, id| Op::Create {
        lineage,
        parent,
        id: Uuid::from_u128(id),
        of: Uuid::nil(),
        bytes: 65536,
        label: vec![],
    };
    let taken = |lineage, head, id| {
        Op::Snapshot(vec![Taken { lineage, head, snapshot: Uuid::from_u128(id), label: vec![] }])
    };
    // A snapshot, number 3, and its volume's head, number 4; `n` is what goes on from one of the two.
    let goes_on: [&dyn Fn(u64) -> Op; 3] =
        [&|n| create(n, 3, 9), &|n| taken(4, n, 9), &|n| Op::Rollback { lineage: 4, to: 3, head: n }];
    for op in goes_on {
        for (number, fits) in [(1, false), (2, false), (3, false), (5, true)] {
            let mut state = State::new(&Layout::tiny(), 256, true);
            let mut freed = Freed::default();
            for before in [create(3, 0, 1), taken(3, 4, 2)] {
                state.apply(&before, &mut freed).unwrap();
            }
            assert_eq!(state.apply(&op(number), &mut freed).is_ok(), fits, "{:?}", op(number));
        }
    }
}
