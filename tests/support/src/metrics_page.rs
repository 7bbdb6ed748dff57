//! The tables of the metrics page, as a test can read them.

use std::collections::{BTreeMap, BTreeSet};

use crate::repository;

/// A metric: its type, its labels, and of each the values, where they are listed.
#[derive(Debug, Default, PartialEq)]
pub struct Metric {
    pub kind: String,
    pub labels: BTreeMap<String, BTreeSet<String>>,
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The pages of the metrics that every broker has.
pub fn document() -> String {
    let pages = ["docs/reference/metrics.md", "docs/reference/metrics-process.md"];
    pages.map(|page| std::fs::read_to_string(repository(page)).unwrap()).join("\n")
}

/// The page of the metrics that only replicas have.
pub fn document_of_replicas() -> String {
    std::fs::read_to_string(repository("docs/reference/metrics-replicas.md")).unwrap()
}

/// The rows of the document's tables.
pub fn documented(document: &str) -> BTreeMap<String, Metric> {
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 7, "{row}");
        let labels = cells[3].split(';').filter(|label| !label.is_empty()).map(|label| {
            let mut names = quoted(label).map(str::to_owned);
            (names.next().unwrap(), names.collect())
        });
        let metric = Metric { kind: cells[2].to_owned(), labels: labels.collect() };
        (quoted(cells[1]).next().unwrap().to_owned(), metric)
    })
    .collect()
}

/// Fails where a query names a metric, or a label's value, that is not documented. How many metrics it names.
pub fn names_what_exists(query: &str, metrics: &BTreeMap<String, Metric>) -> usize {
    let names = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    let names = names.filter(|name| name.starts_with("cosbroker_"));
    names
        .map(|name| {
            let part_of = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let part_of = part_of.filter(|name| metrics.contains_key(*name));
            let metric = metrics.get(part_of.unwrap_or(name));
            let metric = metric.unwrap_or_else(|| panic!("{name} in {query}"));
            let matched = query.split_once(&format!("{name}{{")).map_or("", |(_, rest)| rest);
            for matcher in matched.split('}').next().unwrap().split(',').filter(|one| !one.is_empty()) {
                let (label, values) = matcher.split_once('=').unwrap();
                let label = label.trim().trim_end_matches('!');
                // Prometheus's own.
                if ["job", "instance"].contains(&label) {
                    continue;
                }
                let mut values = values.trim_matches(['~', '"']).split('|');
                let listed = &metric.labels[label];
                assert!(listed.is_empty() || values.all(|value| listed.contains(value)), "{query}");
            }
        })
        .count()
}
