//! The book: reference pages are what the code says, and every command block tells whether a test runs it.
//!
//! `UPDATE_DOCS=1 cargo test --test it -- docs::` writes the pages of `docs/reference/`.

/// Command blocks and their tags.
mod blocks;
/// `docs/reference/errors.md`.
mod errors;
/// `docs/reference/flags.md`.
mod flags;
/// `docs/reference/metrics.md`.
mod metrics;
/// `docs/reference/tenants.schema.json`.
mod tenants;

use crate::architecture::sources;
use crate::support::repository;

/// Compares a page with what the code says; writes it where `UPDATE_DOCS` is 1.
fn check_page(name: &str, text: &str) {
    let file = repository().join("docs").join(name);
    if std::env::var("UPDATE_DOCS").is_ok_and(|value| value == "1") {
        std::fs::write(&file, text).unwrap();
    }
    let documented = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        documented == text,
        "docs/{name} is stale: UPDATE_DOCS=1 cargo test --test it -- docs:: writes it"
    );
}

#[test]
fn the_summary_names_every_chapter() {
    let docs = repository().join("docs");
    let summary = std::fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let mut chapters = Vec::new();
    for folder in ["", "reference/"] {
        let entries = std::fs::read_dir(docs.join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        chapters.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}{name}")));
    }
    for chapter in chapters.iter().filter(|name| *name != "SUMMARY.md") {
        assert!(summary.contains(&format!("({chapter})")), "docs/SUMMARY.md does not name {chapter}");
    }
}

#[test]
fn links_lead_to_files() {
    for (page, text) in blocks::pages() {
        let folder = page.parent().unwrap();
        for (_, rest) in text.match_indices("](").map(|(at, _)| text.split_at(at + 2)) {
            let target = rest.split(')').next().unwrap().split('#').next().unwrap();
            let is_file = !target.is_empty() && !target.contains("://");
            let found = !is_file || repository().join(folder).join(target).exists();
            assert!(found, "{}: {target} is not there", page.display());
        }
    }
}

#[test]
fn sections_of_the_method_that_the_code_cites_are_there() {
    let docs = repository().join("docs/method.md");
    let headings = std::fs::read_to_string(docs).unwrap();
    let mut cited = 0;
    for file in sources(&repository().join("src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for (at, cite) in text.match_indices("docs/method.md section") {
            let rest = text[at + cite.len()..].trim_start_matches(['s', ' ']);
            let number = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap();
            assert!(headings.contains(&format!("\n## {number}. ")), "{}: section {number}", file.display());
            cited += 1;
        }
    }
    assert!(cited > 10, "{cited}");
}
