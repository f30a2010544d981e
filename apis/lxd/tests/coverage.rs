//! How much of LXD's storage API is built, as a page of the manual.

use std::fmt::Write;

use expect_test::expect_file;
use parpen_lxd::Endpoint;

#[test]
fn the_page_says_what_is_built() {
    let built = Endpoint::ALL.iter().filter(|e| e.is_built()).count();
    let mut page = String::from("# Coverage of the LXD API\n\n");
    writeln!(page, "Built {built} of {} listed operations.\n", Endpoint::ALL.len()).unwrap();
    page.push_str("| operation | method | path | built |\n|---|---|---|---|\n");
    for endpoint in Endpoint::ALL {
        let (method, path) = endpoint.line();
        let built = if endpoint.is_built() { "yes" } else { "no" };
        writeln!(page, "| {endpoint:?} | {method} | `{path}` | {built} |").unwrap();
    }
    expect_file!["../../../docs/coverage/lxd.md"].assert_eq(&page);
}
