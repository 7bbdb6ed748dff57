//! The pages that are generated: configuration, HTTP API, command line, lint rules and logins.
//!
//! `UPDATE_DOCS=1 cargo test --test it -- reference` writes them anew.

mod cli;
mod configuration;
mod http;
mod lint_rules;
mod logins;
mod schema;

use crate::support::repository;

/// A page must stay readable in one go.
const MAX_PAGE_BYTES: usize = 12_000;

/// Asserts the same of a page, and that it is short.
fn assert_page_generated(page: &str, expected: &str) {
    assert!(expected.len() <= MAX_PAGE_BYTES, "{page} has {} bytes", expected.len());
    assert_generated(page, expected);
}

/// Asserts that a file of `docs/reference` is what is generated, or writes it if `UPDATE_DOCS` is set.
fn assert_generated(page: &str, expected: &str) {
    let path = repository("docs/reference").join(page);
    if std::env::var("UPDATE_DOCS").is_ok() {
        std::fs::write(&path, expected).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/reference/{page} is not what is generated:\n{}\nrun `UPDATE_DOCS=1 cargo test --test it -- reference`",
        difference(&found, expected)
    );
}

/// The lines between the first and the last that differ: `-` as found, `+` as generated.
fn difference(found: &str, expected: &str) -> String {
    let (found, expected): (Vec<&str>, Vec<&str>) = (found.lines().collect(), expected.lines().collect());
    let start = found.iter().zip(&expected).take_while(|(a, b)| a == b).count();
    let (found, expected) = (&found[start..], &expected[start..]);
    let same_end = found.iter().rev().zip(expected.iter().rev()).take_while(|(a, b)| a == b).count();
    let removed = found[..found.len() - same_end].iter().map(|line| format!("-{line}"));
    let added = expected[..expected.len() - same_end].iter().map(|line| format!("+{line}"));
    removed.chain(added).collect::<Vec<_>>().join("\n")
}

/// Text in the cell of a table.
fn table_cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[test]
fn the_references_are_those_of_the_code() {
    assert_page_generated("http.md", &http::page());
    assert_generated("openapi.json", &format!("{}\n", cosbroker::http::openapi_document()));
    assert_generated("openapi-operators.json", &format!("{}\n", cosbroker::admin::openapi_document()));
    for (name, page) in configuration::pages() {
        assert_page_generated(name, &page);
    }
    assert_generated("config.schema.json", &schema::config());
    assert_generated("template.schema.json", &schema::template());
    assert_page_generated("lint-rules.md", &lint_rules::page());
    assert_page_generated("../start/logins.md", &logins::page());
    for (name, page) in cli::pages() {
        assert_page_generated(name, &page);
    }
}

#[test]
fn a_difference_shows_only_the_lines_that_differ() {
    assert_eq!(difference("a\nb\nc\n", "a\nx\ny\nc\n"), "-b\n+x\n+y");
}
