//! What every adapter of [`MetaStore`] must pass, whatever database is behind it. A test of the adapter calls
//! [`suite`] with a maker of fresh, empty stores, and [`reopening`] with an opener of one lasting store.

mod commits;
mod names;
mod selections;

use std::sync::Arc;

use parpen_model::ports::MetaStore;
use parpen_model::{Condition, Kind, Query, ReadTx, Row, WriteTx, read, write};
use uuid::Uuid;

/// Runs every check, each on a store of its own. Panics at the first thing that is not as the port says.
pub fn suite(make: impl Fn() -> Arc<dyn MetaStore>) {
    names::run(&make);
    selections::run(&make);
    commits::run(&make);
}

/// What was committed is there when the same store is opened again, and what failed is not.
pub fn reopening(open: impl Fn() -> Arc<dyn MetaStore>) {
    commits::reopening(&open);
}

/// A small runtime for one check.
fn block_on<T>(check: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime without timers and sockets can always be made").block_on(check)
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// A row as a caller hands it in for the first time.
fn row(n: u128, doc: &str, names: &[(&str, &str)]) -> Row {
    Row {
        id: id(n),
        project: None,
        parent: None,
        source: None,
        watched: false,
        seq: 0,
        revision: 1,
        doc: doc.to_string(),
        names: names.iter().map(|(space, name)| (space.to_string(), name.to_string())).collect(),
    }
}

async fn add(meta: &dyn MetaStore, kind: Kind, row: Row) -> Result<i64, Condition> {
    write(meta, move |tx| tx.add(kind, &row)).await.map(|(seq, _)| seq)
}

async fn get(meta: &dyn MetaStore, kind: Kind, n: u128) -> Option<Row> {
    read(meta, move |tx| tx.row(kind, id(n))).await.expect("a row can be read")
}

async fn named(meta: &dyn MetaStore, space: &'static str, name: &'static str) -> Option<(Kind, Uuid)> {
    read(meta, move |tx| tx.named(space, name)).await.expect("a name can be looked up")
}

async fn listed(meta: &dyn MetaStore, kind: Kind, query: Query) -> Vec<Row> {
    read(meta, move |tx| tx.rows(kind, &query)).await.expect("rows can be listed")
}

/// One write transaction that must commit; answers the generation after it.
async fn commit(
    meta: &dyn MetaStore,
    f: impl FnMut(&mut dyn WriteTx) -> Result<(), Condition> + Send + 'static,
) -> u64 {
    write(meta, f).await.expect("the transaction commits").1
}

async fn generation(meta: &dyn MetaStore) -> u64 {
    read(meta, |tx: &dyn ReadTx| tx.generation()).await.expect("the generation can be read")
}
