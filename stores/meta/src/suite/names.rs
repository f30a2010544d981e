//! Unique names.

use std::sync::Arc;

use parpen_model::ports::MetaStore;
use parpen_model::{Condition, Kind, read, write};

use super::{add, block_on, commit, get, id, listed, named, row};

pub fn run(make: &dyn Fn() -> Arc<dyn MetaStore>) {
    block_on(a_name_belongs_to_one_row_of_whatever_kind(&*make()));
    block_on(a_refused_add_leaves_the_transaction_usable(&*make()));
    block_on(a_replaced_name_is_free_again(&*make()));
    block_on(names_are_compared_byte_by_byte(&*make()));
    block_on(a_row_is_found_by_its_kind_and_by_each_of_its_names(&*make()));
}

async fn a_name_belongs_to_one_row_of_whatever_kind(meta: &dyn MetaStore) {
    add(meta, Kind::Volume, row(1, "{}", &[("handle", "books")])).await.expect("the first of that name");
    for kind in [Kind::Volume, Kind::Snapshot] {
        let taken = add(meta, kind, row(2, "{}", &[("handle", "books")])).await;
        assert_eq!(taken, Err(Condition::exists(Kind::Volume, "books")), "{kind:?}");
        assert_eq!(get(meta, kind, 2).await, None, "a refused row is not there");
    }
    add(meta, Kind::Snapshot, row(2, "{}", &[("alias", "books")])).await.expect("another space");
    assert_eq!(named(meta, "handle", "books").await, Some((Kind::Volume, id(1))));
    assert_eq!(named(meta, "alias", "books").await, Some((Kind::Snapshot, id(2))));
    assert_eq!(named(meta, "alias", "maps").await, None);
    let twice = add(meta, Kind::Volume, row(1, "{}", &[("handle", "other")])).await;
    assert_eq!(twice, Err(Condition::exists(Kind::Volume, id(1))), "an id is given once in a kind");
    assert_eq!(named(meta, "handle", "other").await, None);
    add(meta, Kind::Snapshot, row(1, "{}", &[])).await.expect("the same id in another kind");
    let mut stolen = get(meta, Kind::Snapshot, 2).await.expect("it was added");
    stolen.names = vec![("handle".into(), "books".into())];
    let taken = write(meta, move |tx| tx.replace(Kind::Snapshot, &stolen)).await;
    assert_eq!(taken.map(|_| ()), Err(Condition::exists(Kind::Volume, "books")));
    assert_eq!(get(meta, Kind::Snapshot, 2).await.expect("still there").revision, 1);
}

/// Callers try `books`, `books-2`, `books-3` in one transaction.
async fn a_refused_add_leaves_the_transaction_usable(meta: &dyn MetaStore) {
    commit(meta, |tx| {
        tx.add(Kind::Volume, &row(1, "{}", &[("handle", "books")]))?;
        for names in [&[("alias", "a"), ("handle", "books")], &[("alias", "a"), ("handle", "books-2")]] {
            match tx.add(Kind::Volume, &row(2, "{}", names)) {
                Ok(_) => return Ok(()),
                Err(Condition::Exists { .. }) => assert_eq!(tx.named("alias", "a")?, None),
                Err(e) => return Err(e),
            }
        }
        Err(Condition::internal("the second name was free"))
    })
    .await;
    assert_eq!(named(meta, "handle", "books-2").await, Some((Kind::Volume, id(2))));
    assert_eq!(listed(meta, Kind::Volume, Default::default()).await.len(), 2);
}

async fn a_replaced_name_is_free_again(meta: &dyn MetaStore) {
    let names = [("handle", "old"), ("alias", "kept")];
    add(meta, Kind::Volume, row(1, "{}", &names)).await.expect("a fresh store");
    let changed = row(1, "{}", &[("handle", "new"), ("alias", "kept")]);
    assert!(write(meta, move |tx| tx.replace(Kind::Volume, &changed)).await.expect("nobody else").0);
    assert_eq!(named(meta, "handle", "old").await, None);
    assert_eq!(named(meta, "handle", "new").await, Some((Kind::Volume, id(1))));
    assert_eq!(named(meta, "alias", "kept").await, Some((Kind::Volume, id(1))));
    add(meta, Kind::Snapshot, row(2, "{}", &[("handle", "old")])).await.expect("the name is free again");
    assert!(write(meta, |tx| tx.remove(Kind::Volume, id(1))).await.expect("it can be removed").0);
    assert_eq!(named(meta, "handle", "new").await, None);
    assert_eq!(named(meta, "alias", "kept").await, None);
    add(meta, Kind::Volume, row(3, "{}", &[("handle", "new")])).await.expect("a removed row frees its names");
}

async fn names_are_compared_byte_by_byte(meta: &dyn MetaStore) {
    let composed =
        [("n", "Books"), ("n", "books"), ("n", "books "), ("n", "b%oks"), ("n", ""), ("n", "caf\u{e9}")];
    add(meta, Kind::Volume, row(1, "{}", &composed)).await.expect("six different names");
    add(meta, Kind::Volume, row(2, "{}", &[("n", "cafe\u{301}")]))
        .await
        .expect("another spelling is another name");
    assert_eq!(named(meta, "n", "BOOKS").await, None);
    assert_eq!(named(meta, "n", "").await, Some((Kind::Volume, id(1))));
    assert_eq!(named(meta, "n", "cafe\u{301}").await, Some((Kind::Volume, id(2))));
    // One row may bring the same name twice: two views of it happen to agree.
    add(meta, Kind::Volume, row(3, "{}", &[("m", "x"), ("m", "x")]))
        .await
        .expect("its own name is not taken");
    let hostile = "'; DROP TABLE rows; --";
    add(meta, Kind::Volume, row(4, "{}", &[(hostile, hostile)])).await.expect("a name like any other");
    assert_eq!(named(meta, hostile, hostile).await, Some((Kind::Volume, id(4))));
}

async fn a_row_is_found_by_its_kind_and_by_each_of_its_names(meta: &dyn MetaStore) {
    let names = [("b", "2"), ("a", "1")];
    add(meta, Kind::Host, row(1, "{}", &names)).await.expect("a fresh store");
    get(meta, Kind::Host, 1).await.expect("it was added");
    for (space, name) in names {
        assert_eq!(named(meta, space, name).await, Some((Kind::Host, id(1))));
    }
    assert_eq!(get(meta, Kind::Volume, 1).await, None, "another kind");
    let none = read(meta, |tx| tx.row(Kind::Host, id(9))).await;
    assert_eq!(none, Ok(None));
}
