//! Commits: all or nothing, one after the other, seen by every later read; revisions and the generation.

use std::sync::Arc;

use parpen_model::ports::MetaStore;
use parpen_model::{Condition, Kind, Project, ProjectId, Query, Scope, Stamp, look, read, write};

use super::{add, block_on, commit, generation, get, id, listed, named, row};

/// Tasks and rounds of the checks on concurrency.
const TASKS: u128 = 8;
const ROUNDS: u128 = 25;

pub fn run(make: &dyn Fn() -> Arc<dyn MetaStore>) {
    block_on(a_failed_write_changes_nothing(&*make()));
    block_on(a_write_that_was_answered_is_counted(&*make()));
    block_on(a_panic_is_a_failed_write(&*make()));
    block_on(a_look_sees_what_was_committed(&*make()));
    block_on(a_stale_revision_changes_nothing(&*make()));
    block_on(removing_says_whether_there_was_one(&*make()));
    block_on(a_write_sees_its_own_changes(&*make()));
    block_on(the_generation_moves_once_per_touched_commit(&*make()));
    block_on(only_configuration_moves_the_generation(&*make()));
    block_on(concurrent_writers_lose_no_update(make()));
    block_on(careful_writers_lose_no_update(make()));
    block_on(a_read_sees_one_moment(make()));
}

async fn a_failed_write_changes_nothing(meta: &dyn MetaStore) {
    add(meta, Kind::Volume, row(1, "{}", &[("handle", "a")])).await.expect("a fresh store");
    let before = generation(meta).await;
    let failed = write(meta, |tx| {
        tx.add(Kind::Volume, &row(2, "{}", &[("handle", "b")]))?;
        tx.replace(Kind::Volume, &row(1, "{\"x\":1}", &[("handle", "c")]))?;
        tx.remove(Kind::Volume, id(1))?;
        tx.touch();
        Err::<(), _>(Condition::Forbidden("on second thoughts".into()))
    })
    .await;
    assert_eq!(failed, Err(Condition::Forbidden("on second thoughts".into())));
    let one = get(meta, Kind::Volume, 1).await.expect("still there");
    assert_eq!((one.revision, one.doc.as_str()), (1, "{}"));
    assert_eq!(get(meta, Kind::Volume, 2).await, None);
    assert_eq!(named(meta, "handle", "a").await, Some((Kind::Volume, id(1))));
    assert_eq!((named(meta, "handle", "b").await, named(meta, "handle", "c").await), (None, None));
    assert_eq!(generation(meta).await, before);
}

async fn a_write_that_was_answered_is_counted(meta: &dyn MetaStore) {
    let mine = [Kind::Token, Kind::Volume];
    let mut before = meta.writes(&mine);
    get(meta, Kind::Volume, 1).await;
    assert_eq!(meta.writes(&mine), before, "a read is none");
    add(meta, Kind::Volume, row(1, "{}", &[])).await.expect("a fresh store");
    let mut more = || {
        let now = meta.writes(&mine);
        let more = now.is_none() || now > before;
        before = now;
        more
    };
    assert!(more(), "a new row");
    commit(meta, |tx| tx.replace(Kind::Volume, &row(1, "{1}", &[])).map(|_| ())).await;
    assert!(more(), "a changed row");
    commit(meta, |tx| tx.remove(Kind::Volume, id(1)).map(|_| ())).await;
    assert!(more(), "a row that is gone");
}

async fn a_panic_is_a_failed_write(meta: &dyn MetaStore) {
    let failed = write(meta, |tx| {
        tx.add(Kind::Volume, &row(1, "{}", &[]))?;
        // Not `panic!`: its report would look like a failure of this check.
        std::panic::resume_unwind(Box::new("on purpose")) as Result<(), Condition>
    })
    .await;
    assert!(matches!(failed, Err(Condition::Internal(_))), "{failed:?}");
    let failed =
        read(meta, |_| std::panic::resume_unwind(Box::new("on purpose")) as Result<(), Condition>).await;
    assert!(matches!(failed, Err(Condition::Internal(_))), "{failed:?}");
    assert_eq!(get(meta, Kind::Volume, 1).await, None);
    add(meta, Kind::Volume, row(1, "{}", &[])).await.expect("the store still works");
}

async fn a_look_sees_what_was_committed(meta: &dyn MetaStore) {
    for round in 1..=3 {
        add(meta, Kind::Volume, row(round, "{}", &[])).await.expect("a fresh id");
        let seen = look(meta, move |tx| tx.row(Kind::Volume, id(round))).await;
        assert_eq!(seen.expect("a row can be looked at").map(|r| r.id), Some(id(round)));
        let lost = look(meta, |_| -> Result<(), Condition> { panic!("a bug of the caller") }).await;
        assert!(matches!(lost, Err(Condition::Internal(_))), "{lost:?}");
    }
}

async fn a_stale_revision_changes_nothing(meta: &dyn MetaStore) {
    add(meta, Kind::Volume, row(1, "{}", &[("handle", "a")])).await.expect("a fresh store");
    let mut mine = get(meta, Kind::Volume, 1).await.expect("it was added");
    let mut theirs = mine.clone();
    theirs.doc = "{\"by\":\"them\"}".into();
    assert!(write(meta, move |tx| tx.replace(Kind::Volume, &theirs)).await.expect("nobody else").0);
    mine.doc = "{\"by\":\"me\"}".into();
    mine.names = vec![("handle".into(), "mine".into())];
    assert!(!write(meta, move |tx| tx.replace(Kind::Volume, &mine)).await.expect("it is no failure").0);
    let now = get(meta, Kind::Volume, 1).await.expect("still there");
    assert_eq!((now.revision, now.doc.as_str()), (2, "{\"by\":\"them\"}"));
    assert_eq!(named(meta, "handle", "mine").await, None);
    let nobody = row(2, "{}", &[]);
    assert!(!write(meta, move |tx| tx.replace(Kind::Volume, &nobody)).await.expect("it is no failure").0);
}

async fn removing_says_whether_there_was_one(meta: &dyn MetaStore) {
    add(meta, Kind::Volume, row(1, "{}", &[])).await.expect("a fresh store");
    for (kind, there) in [(Kind::Snapshot, false), (Kind::Volume, true), (Kind::Volume, false)] {
        let removed = write(meta, move |tx| tx.remove(kind, id(1))).await.expect("it is no failure").0;
        assert_eq!(removed, there, "{kind:?}");
    }
}

async fn a_write_sees_its_own_changes(meta: &dyn MetaStore) {
    commit(meta, |tx| {
        tx.add(Kind::Volume, &row(1, "{}", &[("handle", "a")]))?;
        assert_eq!(tx.rows(Kind::Volume, &Query::default())?.len(), 1);
        assert_eq!(tx.named("handle", "a")?, Some((Kind::Volume, id(1))));
        assert!(tx.replace(Kind::Volume, &row(1, "{\"x\":1}", &[("handle", "b")]))?);
        assert_eq!(tx.named("handle", "a")?, None);
        let seen = tx.row(Kind::Volume, id(1))?.map(|r| (r.revision, r.doc));
        assert_eq!(seen, Some((2, "{\"x\":1}".to_string())));
        assert!(tx.remove(Kind::Volume, id(1))?);
        assert_eq!(tx.row(Kind::Volume, id(1))?, None);
        Ok(())
    })
    .await;
}

async fn the_generation_moves_once_per_touched_commit(meta: &dyn MetaStore) {
    let start = generation(meta).await;
    let untouched = commit(meta, |tx| tx.add(Kind::Job, &row(1, "{}", &[])).map(|_| ())).await;
    assert_eq!(untouched, start);
    let touched = commit(meta, |tx| {
        tx.touch();
        tx.add(Kind::Volume, &row(1, "{}", &[]))?;
        tx.touch();
        Ok(())
    })
    .await;
    assert_eq!((touched, generation(meta).await), (start + 1, start + 1));
    assert_eq!(commit(meta, |_| Ok(())).await, start + 1);
}

async fn only_configuration_moves_the_generation(meta: &dyn MetaStore) {
    let stamp = Stamp::at("2026-01-01T00:00:00Z".parse().expect("a time"));
    let project = Project {
        id: ProjectId(id(1)),
        name: "p".into(),
        description: String::new(),
        enabled: true,
        default_type: None,
        stamp,
    };
    let start = generation(meta).await;
    let mut made = project.clone();
    assert_eq!(commit(meta, move |tx| tx.insert(&mut made)).await, start + 1);
    let mut read_back: Project =
        read(meta, |tx| tx.get(Scope::All, ProjectId(id(1)))).await.expect("it was added");
    assert_eq!((read_back.stamp.revision, read_back.name.as_str()), (1, "p"));
    read_back.name = "q".into();
    let mut twice = read_back.clone();
    assert_eq!(commit(meta, move |tx| tx.update(&mut read_back)).await, start + 2);
    let stale = write(meta, move |tx| tx.update(&mut twice)).await;
    assert!(matches!(stale, Err(Condition::Conflict(_))), "{stale:?}");
    let gone = |tx: &mut dyn parpen_model::WriteTx| tx.delete::<Project>(ProjectId(id(1))).map(|_| ());
    assert_eq!(commit(meta, gone).await, start + 3);
    assert_eq!(commit(meta, gone).await, start + 3, "there was nothing to remove");
}

fn counter(doc: &str) -> u128 {
    doc.parse().expect("the document is the counter")
}

/// Reading and writing in one transaction needs no revision.
async fn concurrent_writers_lose_no_update(meta: Arc<dyn MetaStore>) {
    add(&*meta, Kind::Volume, row(1, "0", &[])).await.expect("a fresh store");
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let meta = meta.clone();
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    let new = row(1000 + task * ROUNDS + round, "", &[]);
                    commit(&*meta, move |tx| {
                        let mut seen = tx.row(Kind::Volume, id(1))?.expect("nobody removes it");
                        seen.doc = (counter(&seen.doc) + 1).to_string();
                        assert!(tx.replace(Kind::Volume, &seen)?, "a transaction is alone");
                        tx.add(Kind::Volume, &new).map(|_| ())
                    })
                    .await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no check failed");
    }
    let one = get(&*meta, Kind::Volume, 1).await.expect("still there");
    assert_eq!(counter(&one.doc), TASKS * ROUNDS);
    assert_eq!(one.revision as u128, TASKS * ROUNDS + 1);
    assert_eq!(listed(&*meta, Kind::Volume, Query::default()).await.len() as u128, TASKS * ROUNDS + 1);
}

/// Reading in one transaction and writing in another needs it.
async fn careful_writers_lose_no_update(meta: Arc<dyn MetaStore>) {
    add(&*meta, Kind::Volume, row(1, "0", &[])).await.expect("a fresh store");
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let meta = meta.clone();
            tokio::spawn(async move {
                let mut done = 0;
                while done < ROUNDS {
                    let mut seen = get(&*meta, Kind::Volume, 1).await.expect("nobody removes it");
                    seen.doc = (counter(&seen.doc) + 1).to_string();
                    let won = write(&*meta, move |tx| tx.replace(Kind::Volume, &seen)).await;
                    done += u128::from(won.expect("losing is no failure").0);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no check failed");
    }
    assert_eq!(counter(&get(&*meta, Kind::Volume, 1).await.expect("still there").doc), TASKS * ROUNDS);
}

/// Two rows that always change together are never seen apart.
async fn a_read_sees_one_moment(meta: Arc<dyn MetaStore>) {
    commit(&*meta, |tx| {
        [1, 2].into_iter().try_for_each(|n| tx.add(Kind::Volume, &row(n, "0", &[])).map(|_| ()))
    })
    .await;
    let writer = meta.clone();
    let writing = tokio::spawn(async move {
        for round in 1..=TASKS * ROUNDS {
            commit(&*writer, move |tx| {
                for n in [1, 2] {
                    let mut seen = tx.row(Kind::Volume, id(n))?.expect("nobody removes it");
                    seen.doc = round.to_string();
                    tx.replace(Kind::Volume, &seen)?;
                }
                Ok(())
            })
            .await;
        }
    });
    let mut last = 0;
    while last < TASKS * ROUNDS {
        let (one, two) = read(&*meta, |tx| {
            let one = tx.row(Kind::Volume, id(1))?.expect("nobody removes it");
            // Long enough for a commit to come between.
            std::thread::yield_now();
            Ok((one, tx.row(Kind::Volume, id(2))?.expect("nobody removes it")))
        })
        .await
        .expect("rows can be read");
        assert_eq!((&one.doc, one.revision), (&two.doc, two.revision));
        assert!(counter(&one.doc) >= last, "a later read sees no earlier moment");
        last = counter(&one.doc);
        tokio::task::yield_now().await;
    }
    writing.await.expect("no check failed");
}

pub fn reopening(open: &dyn Fn() -> Arc<dyn MetaStore>) {
    let store = open();
    let (seq, before) = block_on(async {
        let meta = &*store;
        commit(meta, |tx| {
            tx.touch();
            tx.add(Kind::Volume, &row(1, "{\"kept\":true}", &[("handle", "kept")])).map(|_| ())
        })
        .await;
        let seq = add(meta, Kind::Volume, row(2, "{}", &[])).await.expect("a fresh id");
        commit(meta, |tx| tx.remove(Kind::Volume, id(2)).map(|_| ())).await;
        let failed = write(meta, |tx| {
            tx.add(Kind::Volume, &row(3, "{}", &[("handle", "lost")]))?;
            Err::<(), _>(Condition::Forbidden("no".into()))
        })
        .await;
        assert!(failed.is_err());
        (seq, generation(meta).await)
    });
    drop(store);
    let store = open();
    block_on(async {
        let meta = &*store;
        let kept = get(meta, Kind::Volume, 1).await.expect("it was committed");
        assert_eq!((kept.doc.as_str(), kept.revision), ("{\"kept\":true}", 1));
        assert_eq!(named(meta, "handle", "kept").await, Some((Kind::Volume, id(1))));
        assert_eq!((get(meta, Kind::Volume, 2).await, get(meta, Kind::Volume, 3).await), (None, None));
        assert_eq!(named(meta, "handle", "lost").await, None);
        assert_eq!(generation(meta).await, before);
        let later = add(meta, Kind::Volume, row(4, "{}", &[])).await.expect("a fresh id");
        assert!(later > seq, "an order that was given is not given again");
    });
}
