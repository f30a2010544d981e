use expect_test::expect_file;
use parpen_rapyuta::Endpoint;

#[test]
fn the_table_is_as_documented() {
    let mut text = String::from(
        "# rapyuta.io persistent volumes: what is here\n\nWritten by a test from the table of the router; \
         `UPDATE_EXPECT=1 cargo test -p parpen-rapyuta` renews it.\nWhat the platform itself refuses is \
         refused here (403).\n\n| operation | request | state |\n| --- | --- | --- |\n",
    );
    for e in Endpoint::ALL {
        let (method, path) = e.pattern();
        let state = if e.is_built() { "built" } else { "refused" };
        text.push_str(&format!("| {e:?} | `{method} {path}` | {state} |\n"));
    }
    let built = Endpoint::ALL.iter().filter(|e| e.is_built()).count();
    text.push_str(&format!("\n{built} of {} operations are built.\n", Endpoint::ALL.len()));
    expect_file!["../../../../docs/coverage/rapyuta.md"].assert_eq(&text);
}
