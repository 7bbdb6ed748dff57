//! The documents: links lead somewhere, pages stay short, Chinese pages match the English ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::support::repository;

const MAX_README_BYTES: usize = 10 * 1024;
const MAX_PAGE_BYTES: usize = 12 * 1024;

/// Names that were replaced before 1.0. `CHANGELOG.md` may still mention them.
const OLD_NAMES: [&str; 32] = [
    "too-many-asks",
    "no-key-now",
    "cosbroker_asks_total",
    "cosbroker_flights",
    "cosbroker_key_remaining_seconds",
    "cosbroker_outage_covered_ratio",
    "cosbroker_outage_survivable_seconds",
    "cosbroker_own_key_info",
    "cosbroker_own_key_age_seconds",
    "cosbroker_sts_queue",
    "cosbroker_operators_refused_total",
    "own_key",
    "own_keys",
    "own_key_rotated",
    "own_key_source",
    "own_key_age_seconds",
    "operator_keys",
    "no_own_key",
    "own_refused",
    "no_key",
    "alive_until",
    "keysLiveUntil",
    "keyId",
    "traceId",
    "stsRequestId",
    "templateVersion",
    "policySha256",
    "templateSet",
    "already-revoked",
    "unrevoke",
    "canary.every",
    "asker",
];

/// A Markdown page, with its text by line and without its code.
struct Page {
    path: PathBuf,
    text: String,
}

impl Page {
    fn read(path: &str) -> Self {
        let file = repository(path);
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.into(), text }
    }

    /// Splits the page into prose lines and fenced code blocks.
    fn split(&self) -> (Vec<&str>, Vec<String>) {
        let (mut prose, mut blocks) = (Vec::new(), Vec::new());
        let mut block: Option<String> = None;
        for line in self.text.lines() {
            let is_fence = line.trim_start().starts_with("```");
            match (&mut block, is_fence) {
                (None, true) => block = Some(format!("{line}\n")),
                (None, false) => prose.push(line),
                (Some(open), false) => {
                    open.push_str(line);
                    open.push('\n');
                }
                (Some(_), true) => blocks.extend(block.take()),
            }
        }
        assert!(block.is_none(), "{}: a code block is not closed", self.path.display());
        (prose, blocks)
    }

    /// The headings, as level and text.
    fn headings(&self) -> Vec<(usize, String)> {
        let mut headings = Vec::new();
        for line in self.split().0 {
            let text = line.trim_start_matches('#');
            let level = line.len() - text.len();
            if level > 0 && text.starts_with(' ') {
                headings.push((level, text.trim().to_owned()));
            }
        }
        headings
    }

    /// The anchors that GitHub gives the headings.
    fn anchors(&self) -> BTreeSet<String> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut anchors = BTreeSet::new();
        for (_, heading) in self.headings() {
            let slug = slug(&heading);
            let count = seen.entry(slug.clone()).or_default();
            anchors.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
            *count += 1;
        }
        anchors
    }

    /// The targets of links and images, outside code.
    fn links(&self) -> Vec<String> {
        let prose = without_inline_code(&self.split().0.join("\n"));
        let mut links = Vec::new();
        for rest in prose.split("](").skip(1) {
            links.push(rest.split(')').next().unwrap().to_owned());
        }
        for attribute in ["src=\"", "href=\""] {
            for rest in prose.split(attribute).skip(1) {
                links.push(rest.split('"').next().unwrap().to_owned());
            }
        }
        links
    }

    /// What is wrong with a link of this page, if anything.
    fn problem_with(&self, link: &str) -> Option<String> {
        if link.contains("://") || link.starts_with("mailto:") {
            return None;
        }
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = if path.is_empty() { self.path.clone() } else { self.path.parent().unwrap().join(path) };
        let target = normalized(&target);
        if !repository(&target).exists() {
            return Some(format!("{}: {link}: no such file", self.path.display()));
        }
        let is_known = anchor.is_empty() || Self::read(&target).anchors().contains(anchor);
        (!is_known).then(|| format!("{}: {link}: no such heading", self.path.display()))
    }
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn without_inline_code(text: &str) -> String {
    text.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

/// Resolves `..` without looking at the file system.
fn normalized(path: &Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.to_str().unwrap().split('/') {
        match part {
            "" | "." => {}
            ".." => assert!(parts.pop().is_some(), "{} leaves the repository", path.display()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The paths of the pages in `docs/` and below, relative to the repository.
fn docs() -> Vec<String> {
    let mut pages = Vec::new();
    let mut folders = vec!["docs".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(repository(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                folders.push(path);
            } else if entry.path().extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    assert!(pages.len() > 30, "{pages:?}");
    pages
}

fn all_pages() -> Vec<Page> {
    let mut pages = docs();
    pages.extend(["README.md", "README.zh-CN.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(str::to_owned));
    pages.iter().map(|path| Page::read(path)).collect()
}

#[test]
fn every_relative_link_and_anchor_resolves() {
    let mut problems = Vec::new();
    for page in all_pages() {
        problems.extend(page.links().iter().filter_map(|link| page.problem_with(link)));
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn pages_are_short() {
    let mut problems = Vec::new();
    for page in all_pages() {
        let is_readme = ["README.md", "README.zh-CN.md"].map(Path::new).contains(&page.path.as_path());
        let limit = if is_readme { MAX_README_BYTES } else { MAX_PAGE_BYTES };
        if page.text.len() > limit {
            problems.push(format!("{}: {} of {limit} bytes", page.path.display(), page.text.len()));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn the_index_lists_every_page() {
    let index = Page::read("docs/README.md");
    let listed: BTreeSet<String> =
        index.links().iter().map(|link| normalized(&Path::new("docs").join(link))).collect();
    for page in docs() {
        assert!(page == "docs/README.md" || listed.contains(&page), "docs/README.md does not list {page}");
    }
}

#[test]
fn a_chinese_page_has_the_headings_and_code_blocks_of_the_english_page() {
    let mut pairs = vec![("README.zh-CN.md".to_owned(), "README.md".to_owned())];
    for page in docs() {
        if let Some(rest) = page.strip_prefix("docs/zh/") {
            pairs.push((page.clone(), format!("docs/{rest}")));
        }
    }
    assert!(pairs.len() > 10, "{pairs:?}");
    for (chinese, english) in pairs {
        let pages = [&chinese, &english].map(|path| Page::read(path));
        let levels = pages.each_ref().map(|page| page.headings().iter().map(|(level, _)| *level).collect());
        let [left, right]: [Vec<usize>; 2] = levels;
        assert_eq!(left, right, "heading levels of {chinese} and {english}");
        let [left, right] = pages.each_ref().map(|page| page.split().1);
        assert_eq!(left, right, "code blocks of {chinese} and {english}");
    }
}

#[test]
fn no_document_uses_a_name_that_was_replaced() {
    let mut problems = Vec::new();
    let mut files: Vec<String> = docs();
    files.extend(["README.md", "README.zh-CN.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(str::to_owned));
    files.extend(
        [
            "config.example.toml",
            "deploy/grafana/cosbroker.json",
            "deploy/prometheus/cosbroker.rules.yml",
            "deploy/prometheus/cosbroker.rules.test.yml",
            "deploy/kubernetes/cosbroker.yaml",
        ]
        .map(str::to_owned),
    );
    for file in files {
        let text = std::fs::read_to_string(repository(&file)).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || ['_', '-', '.'].contains(&c)));
        for word in words.map(|word| word.trim_matches(['.', '-'])) {
            if OLD_NAMES.contains(&word) {
                problems.push(format!("{file}: {word}"));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}
