//! `docs/reference/tenants.schema.json`: the JSON Schema of the file of tenants, and the example that keeps it.

use mimi_server::tenants::TenantsFile;

use super::check_page;
use crate::support::repository;

#[test]
fn the_schema_is_what_the_code_reads() {
    let schema = schemars::schema_for!(TenantsFile);
    check_page("reference/tenants.schema.json", &(serde_json::to_string_pretty(&schema).unwrap() + "\n"));
}

/// The example of `docs/tenants.md` is a file that a server takes.
#[test]
fn the_example_is_a_file_of_tenants() {
    let page = std::fs::read_to_string(repository().join("docs/tenants.md")).unwrap();
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), example).unwrap();
    let read = mimi_server::tenants::check(file.path()).unwrap();
    assert!(read.tenants.len() >= 2 && read.anonymous.is_some());
}
