//! Selections: scope, parent, order, pages.

use std::sync::Arc;

use parpen_model::ports::MetaStore;
use parpen_model::{Kind, ProjectId, Query, Row, write};
use uuid::Uuid;

use super::{add, block_on, commit, get, id, listed, row};

pub fn run(make: &dyn Fn() -> Arc<dyn MetaStore>) {
    block_on(rows_come_in_order_of_creation(&*make()));
    block_on(a_project_sees_its_own_and_what_belongs_to_nobody(&*make()));
    block_on(parents_and_projects_select_together(&*make()));
    block_on(what_grew_from_a_row_and_what_is_watched_is_found(&*make()));
    block_on(pages_cover_everything_once(&*make()));
    block_on(documents_come_back_as_they_were(&*make()));
}

fn of(n: u128, project: Option<u128>, parent: Option<u128>) -> Row {
    Row { project: project.map(id), parent: parent.map(id), ..row(n, "{}", &[]) }
}

fn ids(rows: &[Row]) -> Vec<u128> {
    rows.iter().map(|r| r.id.as_u128()).collect()
}

async fn rows_come_in_order_of_creation(meta: &dyn MetaStore) {
    let mut seqs = Vec::new();
    for n in [5, 3, 9, 1] {
        seqs.push(add(meta, Kind::Volume, row(n, "{}", &[])).await.expect("a fresh id"));
    }
    add(meta, Kind::Snapshot, row(4, "{}", &[])).await.expect("another kind");
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
    let rows = listed(meta, Kind::Volume, Query::default()).await;
    assert_eq!(ids(&rows), [5, 3, 9, 1]);
    assert_eq!(rows.iter().map(|r| r.seq).collect::<Vec<_>>(), seqs);
    // The newest goes, another comes: its place is not given again, or a page after it would miss the new
    // one.
    commit(meta, |tx| tx.remove(Kind::Volume, id(1)).map(|_| ())).await;
    let later = add(meta, Kind::Volume, row(2, "{}", &[])).await.expect("a fresh id");
    assert!(later > seqs[3], "{later} after {seqs:?}");
    // A change keeps the place.
    let changed = row(5, "{\"a\":1}", &[]);
    assert!(write(meta, move |tx| tx.replace(Kind::Volume, &changed)).await.expect("nobody else").0);
    assert_eq!(ids(&listed(meta, Kind::Volume, Query::default()).await), [5, 3, 9, 2]);
}

async fn a_project_sees_its_own_and_what_belongs_to_nobody(meta: &dyn MetaStore) {
    for (n, project) in [(1, Some(100)), (2, None), (3, Some(200)), (4, Some(100))] {
        add(meta, Kind::Volume, of(n, project, None)).await.expect("a fresh id");
    }
    let project = |p| Query { project: Some(ProjectId(id(p))), ..Query::default() };
    assert_eq!(ids(&listed(meta, Kind::Volume, project(100)).await), [1, 2, 4]);
    assert_eq!(ids(&listed(meta, Kind::Volume, project(300)).await), [2]);
    assert_eq!(ids(&listed(meta, Kind::Volume, Query::default()).await), [1, 2, 3, 4]);
    let moved = of(1, Some(200), None);
    assert!(write(meta, move |tx| tx.replace(Kind::Volume, &moved)).await.expect("nobody else").0);
    assert_eq!(ids(&listed(meta, Kind::Volume, project(100)).await), [2, 4]);
    assert_eq!(get(meta, Kind::Volume, 1).await.expect("still there").project, Some(id(200)));
}

async fn parents_and_projects_select_together(meta: &dyn MetaStore) {
    let rows =
        [(1, Some(100), Some(7)), (2, Some(200), Some(7)), (3, Some(100), Some(8)), (4, None, Some(7))];
    for (n, project, parent) in rows {
        add(meta, Kind::Attachment, of(n, project, parent)).await.expect("a fresh id");
    }
    add(meta, Kind::Attachment, of(5, Some(100), None)).await.expect("a fresh id");
    let query = |parent: Uuid, project: Option<u128>| Query {
        parent: Some(parent),
        project: project.map(|p| ProjectId(id(p))),
        ..Query::default()
    };
    assert_eq!(ids(&listed(meta, Kind::Attachment, query(id(7), None)).await), [1, 2, 4]);
    assert_eq!(ids(&listed(meta, Kind::Attachment, query(id(7), Some(100))).await), [1, 4]);
    assert!(listed(meta, Kind::Attachment, query(id(9), None)).await.is_empty());
}

async fn what_grew_from_a_row_and_what_is_watched_is_found(meta: &dyn MetaStore) {
    let grown = |n, source: Option<u128>, watched| Row {
        source: source.map(id),
        watched,
        ..of(n, Some(100), Some(1))
    };
    for (n, source, watched) in
        [(2, None, false), (3, Some(2), true), (4, Some(3), false), (5, Some(2), false)]
    {
        add(meta, Kind::Snapshot, grown(n, source, watched)).await.expect("a fresh id");
    }
    add(meta, Kind::Volume, grown(6, Some(2), true)).await.expect("another kind");
    let from = |n| Query { source: Some(id(n)), ..Query::default() };
    let watched = Query { watched: true, ..Query::default() };
    assert_eq!(ids(&listed(meta, Kind::Snapshot, from(2)).await), [3, 5]);
    assert_eq!(ids(&listed(meta, Kind::Volume, from(2)).await), [6]);
    assert_eq!(ids(&listed(meta, Kind::Snapshot, watched).await), [3]);
    let elsewhere = Query { project: Some(ProjectId(id(200))), ..from(2) };
    assert!(listed(meta, Kind::Snapshot, elsewhere).await.is_empty());
    for changed in [grown(3, None, false), grown(4, Some(2), true)] {
        assert!(write(meta, move |tx| tx.replace(Kind::Snapshot, &changed)).await.expect("nobody else").0);
    }
    assert_eq!(ids(&listed(meta, Kind::Snapshot, from(2)).await), [4, 5]);
    assert_eq!(ids(&listed(meta, Kind::Snapshot, watched).await), [4]);
    let row = get(meta, Kind::Snapshot, 4).await.expect("still there");
    assert_eq!((row.source, row.watched), (Some(id(2)), true));
}

async fn pages_cover_everything_once(meta: &dyn MetaStore) {
    commit(meta, |tx| {
        (1..=25).try_for_each(|n| tx.add(Kind::Job, &of(n, Some(100 + n % 2), Some(7))).map(|_| ()))
    })
    .await;
    for project in [None, Some(ProjectId(id(101)))] {
        let mut seen = Vec::new();
        let mut query = Query { project, parent: Some(id(7)), limit: Some(4), ..Query::default() };
        loop {
            let page = listed(meta, Kind::Job, query).await;
            assert!(page.len() <= 4);
            let Some(last) = page.last() else { break };
            query.after = Some(last.seq);
            seen.extend(ids(&page));
        }
        let all = listed(meta, Kind::Job, Query { limit: None, after: None, ..query }).await;
        assert_eq!(seen, ids(&all));
        assert_eq!(seen.len(), if project.is_some() { 13 } else { 25 });
    }
    assert!(listed(meta, Kind::Job, Query { limit: Some(0), ..Query::default() }).await.is_empty());
}

async fn documents_come_back_as_they_were(meta: &dyn MetaStore) {
    let odd = "{\"b\":\"'\\\"\",\"zero\":\"\\u0000\",\"text\":\"gr\u{fc}n \u{1f9f1}\",\"a\":[1.50,null]}";
    let large = format!("{{\"x\":\"{}\"}}", "\u{e9}".repeat(2 << 20));
    for (n, doc) in [(1, odd), (2, large.as_str()), (3, "")] {
        add(meta, Kind::Volume, row(n, doc, &[])).await.expect("a document like any other");
        assert!(
            get(meta, Kind::Volume, n).await.expect("it was added").doc == doc,
            "document {n} was changed"
        );
    }
    let shorter = row(2, odd, &[]);
    assert!(write(meta, move |tx| tx.replace(Kind::Volume, &shorter)).await.expect("nobody else").0);
    assert_eq!(get(meta, Kind::Volume, 2).await.expect("still there").doc, odd);
}
