//! A model of who may have a session at any time, against the gate.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Publish(u128, Rights, Admits, u64),
    Close(u128, Whom, u64),
    Cut(u128, Whom),
    Admit(u128, Option<HostId>),
    Leave(usize),
    Forget(u128),
}

fn hosts() -> impl Strategy<Value = HostId> {
    (1..4u128).prop_map(host)
}

fn whom() -> impl Strategy<Value = Whom> {
    prop_oneof![Just(Whom::Everyone), hosts().prop_map(Whom::Host), hosts().prop_map(Whom::AllBut),]
}

fn step() -> impl Strategy<Value = Step> {
    let rights = prop_oneof![Just(Rights::ReadOnly), Just(Rights::ReadWrite)];
    let admits = prop_oneof![
        2 => Just(Admits::Everyone),
        2 => hosts().prop_map(Admits::Only),
        1 => Just(Admits::Nobody("closed".into())),
    ];
    prop_oneof![
        3 => (1..3u128, rights, admits, 0..6u64).prop_map(|(e, r, a, n)| Step::Publish(e, r, a, n)),
        1 => (1..3u128, whom(), 0..6u64).prop_map(|(e, w, n)| Step::Close(e, w, n)),
        1 => (1..3u128, whom()).prop_map(|(e, w)| Step::Cut(e, w)),
        6 => (1..3u128, proptest::option::of(hosts())).prop_map(|(e, h)| Step::Admit(e, h)),
        2 => (0..8usize).prop_map(Step::Leave),
        1 => (1..3u128).prop_map(Step::Forget),
    ]
}

/// What the model knows of one export.
#[derive(Default, Clone)]
struct Known {
    table: Option<AccessTable>,
    epoch: u64,
    closed: Vec<Whom>,
    kept: bool,
}

impl Known {
    fn lets_in(&self, h: Option<HostId>) -> Option<Rights> {
        let table = self.table.as_ref()?;
        if self.closed.iter().any(|w| w.means(h)) {
            return None;
        }
        match &table.admits {
            Admits::Everyone => Some(table.rights),
            Admits::Only(x) => (h == Some(*x)).then_some(table.rights),
            Admits::Nobody(_) => None,
        }
    }
}

/// A session as the model sees it; `true` in the end: cut.
type Open = (u128, Option<HostId>, Rights, Session, bool);

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_those_have_a_session_whom_the_rules_let_in(steps in proptest::collection::vec(step(), 1..60)) {
        let (g, d) = (Gate::new(), HandDevice::default());
        let mut known = [Known::default(), Known::default(), Known::default()];
        let mut open: Vec<Open> = Vec::new();
        for step in steps {
            match step {
                Step::Publish(e, rights, admits, epoch) => {
                    g.publish(export(e), table(rights, admits.clone()), epoch);
                    let k = &mut known[e as usize];
                    if epoch >= k.epoch {
                        *k = Known { table: Some(table(rights, admits)), epoch, closed: vec![], kept: true };
                        for o in open.iter_mut().filter(|o| o.0 == e) {
                            let now = k.lets_in(o.1);
                            let less = now == Some(Rights::ReadOnly) && o.2 == Rights::ReadWrite;
                            o.4 |= now.is_none() || less;
                        }
                    }
                }
                Step::Close(e, w, epoch) => {
                    let inside = g.close(export(e), w, epoch);
                    let k = &mut known[e as usize];
                    if epoch >= k.epoch {
                        k.epoch = epoch;
                        k.closed.push(w);
                        k.kept = true;
                    }
                    prop_assert_eq!(inside.len(), open.iter().filter(|o| o.0 == e && w.means(o.1)).count());
                }
                Step::Cut(e, w) => {
                    let proof = poll(&mut pin!(g.cut(export(e), w))).expect("nothing is in flight");
                    let k = &mut known[e as usize];
                    prop_assert_eq!(proof.epoch(), k.epoch);
                    k.closed.push(w);
                    open.iter_mut().filter(|o| o.0 == e && w.means(o.1)).for_each(|o| o.4 = true);
                }
                Step::Admit(e, h) => {
                    let got = g.admit(export(e), h, peer(), Arc::new(d.clone()));
                    let want = known[e as usize].lets_in(h);
                    prop_assert_eq!(got.as_ref().ok().map(|s| s.info().rights), want);
                    if let (Ok(s), Some(rights)) = (got, want) {
                        open.push((e, h, rights, s, false));
                    }
                }
                Step::Leave(i) if i < open.len() => drop(open.swap_remove(i)),
                Step::Leave(_) => {}
                Step::Forget(e) => {
                    g.forget(export(e));
                    let k = &mut known[e as usize];
                    k.table = None;
                    k.kept = false;
                }
            }
            for (e, k) in known.iter_mut().enumerate() {
                // What is forgotten and empty is as if it had never been.
                if !k.kept && !open.iter().any(|o| o.0 == e as u128) {
                    *k = Known::default();
                }
            }
            for o in &open {
                prop_assert_eq!(o.3.is_cut(), o.4);
                let wake = Wake::new(|| ());
                let answers = match o.3.open(1, wake) {
                    Err(_) => o.4,
                    Ok(_) => !o.4,
                };
                prop_assert!(answers, "a cut session opens no queue, any other does");
            }
            prop_assert_eq!(g.all_sessions().len(), open.len());
        }
    }

    #[test]
    fn decide_lets_in_exactly_whom_the_table_names(h in proptest::option::of(hosts()), x in hosts()) {
        for rights in [Rights::ReadOnly, Rights::ReadWrite] {
            prop_assert_eq!(decide(&table(rights, Admits::Everyone), h), Ok(rights));
            prop_assert_eq!(decide(&table(rights, Admits::Only(x)), h).is_ok(), h == Some(x));
            let why = decide(&table(rights, Admits::Nobody("gone fishing".into())), h);
            prop_assert_eq!(why, Err(Refusal::Forbidden("gone fishing".into())));
        }
    }
}
