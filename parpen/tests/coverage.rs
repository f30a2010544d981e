//! `docs/coverage.md`: the tables of all APIs on one page. Each table is written by a test of its API crate.

use std::fs;

#[test]
fn one_page_shows_every_table() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/coverage");
    let mut names: Vec<_> = fs::read_dir(docs).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    assert_eq!(
        names.len(),
        6,
        "one table for each of the five sides, and one of OpenStack's clients: {names:?}"
    );
    let head = "# Coverage: what is built of what is listed\n\nJoined from `docs/coverage/` by a test; \
                `UPDATE_EXPECT=1 cargo test -p parpen --test coverage` renews it.\n";
    let tables = names.iter().map(|n| {
        let text = fs::read_to_string(n).unwrap();
        // Every table becomes a section of this page, whatever level its own heading has.
        let (title, rest) = text.split_once('\n').unwrap();
        format!("\n## {}\n{rest}", title.trim_start_matches('#').trim())
    });
    let page = tables.fold(head.to_string(), |page, t| page + &t);
    expect_test::expect_file!["../../docs/coverage.md"].assert_eq(&page);
}
