//! `docs/coverage.md`: what all sides have, counted. The tables themselves are written by a test of each API crate,
//! and stay where they are: a row is in one place only.

use std::fs;
use std::path::Path;

/// How a row says that its operation is there; every other word says why it is not.
const THERE: [&str; 3] = ["built", "yes", "works"];

/// The state in each row of the tables of a page: the column is the one whose head says so.
fn states(text: &str) -> Vec<&str> {
    let (mut column, mut states) = (None, Vec::new());
    for row in text.lines().filter(|l| l.starts_with("| ") || l.starts_with("|-")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        match cells.iter().position(|c| ["state", "built", "outcome"].contains(c)) {
            Some(head) if !row.contains('`') => column = Some(head),
            _ if row.starts_with("|-") || cells[0].starts_with("---") => {}
            _ => {
                let cell = column.and_then(|c| cells.get(c)).unwrap_or_else(|| panic!("no state in {row:?}"));
                states.push(cell.split_whitespace().next().unwrap_or_default());
            }
        }
    }
    let known = |s: &&str| THERE.contains(s) || ["listed", "no", "refused"].contains(s);
    assert!(states.iter().all(known), "a state that is not counted: {states:?}");
    states
}

#[test]
fn one_page_counts_what_every_table_shows() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/coverage");
    let mut tables: Vec<_> = fs::read_dir(docs).unwrap().map(|e| e.unwrap().path()).collect();
    tables.sort();
    assert_eq!(tables.len(), 6, "one of each of the five sides, and one of OpenStack's clients: {tables:?}");
    let mut page = "# Coverage: what is built of what is listed\n\nCounted from `docs/coverage/` by a test; \
                    `UPDATE_EXPECT=1 cargo test -p parpen --test coverage` renews it.\n\n\
                    | table | there | refused as the original does | listed only | in all |\n|---|---|---|---|---|\n"
        .to_string();
    for table in &tables {
        let text = fs::read_to_string(table).unwrap();
        let title = text.lines().next().unwrap().trim_start_matches('#').trim();
        let states = states(&text);
        let count = |words: &[&str]| states.iter().filter(|s| words.contains(s)).count();
        let name = table.file_name().unwrap().to_str().unwrap();
        page += &format!(
            "| [{title}](coverage/{name}) | {} | {} | {} | {} |\n",
            count(&THERE),
            count(&["refused"]),
            count(&["listed", "no"]),
            states.len()
        );
    }
    expect_test::expect_file!["../../docs/coverage.md"].assert_eq(&page);
}
