//! `docs/reference/configuration.md` and `configuration-issuers.md`, from `config.example.toml`.

use std::fmt::Write;

use super::table_cell;
use crate::support::repository;

/// A section of the example.
pub(super) struct Section {
    /// As written: `[server]` or `[[issuer]]`.
    pub(super) heading: String,
    pub(super) is_optional: bool,
    pub(super) introduction: String,
    pub(super) keys: Vec<Key>,
}

/// A key of the example, with the comment above it.
pub(super) struct Key {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) meaning: String,
    /// What `Type:` says, without the default.
    pub(super) kind: String,
    pub(super) default: Default,
}

pub(super) enum Default {
    /// The value in the example.
    Value,
    /// What the comment says.
    Text(String),
    Required(String),
    Absent,
}

/// Parses the example. Its form is described at its head.
pub(super) fn sections() -> Vec<Section> {
    let example = std::fs::read_to_string(repository("config.example.toml")).unwrap();
    let mut sections: Vec<Section> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in example.lines() {
        let setting = line.strip_prefix('#').unwrap_or(line);
        if line.starts_with("# ---") || line.starts_with("#:schema") || line.is_empty() {
            comment.clear();
        } else if line == "#" || line.starts_with("# ") {
            comment.push(line.trim_start_matches("# "));
        } else if setting.starts_with('[') {
            sections.push(Section {
                heading: setting.to_owned(),
                is_optional: line.starts_with('#'),
                introduction: comment.join(" "),
                keys: Vec::new(),
            });
        } else {
            let (name, value) = setting.split_once(" = ").unwrap_or_else(|| panic!("{line}"));
            sections.last_mut().unwrap().keys.push(key(name, value, &comment));
        }
    }
    sections
}

fn key(name: &str, value: &str, comment: &[&str]) -> Key {
    let (kind, meaning) = comment.split_last().unwrap_or_else(|| panic!("{name} has no comment"));
    let kind = kind.strip_prefix("Type: ").unwrap_or_else(|| panic!("the comment of {name} ends in no Type"));
    let (kind, default) = match kind.trim_end_matches('.').split_once("; ") {
        None => (kind.trim_end_matches('.'), Default::Value),
        Some((kind, "no default")) => (kind, Default::Absent),
        Some((kind, default)) => match default.strip_prefix("default: ") {
            Some(default) => (kind, Default::Text(default.to_owned())),
            None => (kind, Default::Required(default.to_owned())),
        },
    };
    Key {
        name: name.to_owned(),
        value: value.to_owned(),
        meaning: meaning.join(" "),
        kind: kind.to_owned(),
        default,
    }
}

const HEAD: &str = "\
# Configuration

This page is generated from [`config.example.toml`](../../config.example.toml), which has every key.

`cosbroker serve --config config.toml` reads one TOML file; `cosbroker check` says whether it is right. Paths are relative
to the file. Durations are written like `\"30m\"`, `\"2s\"` or `\"1h30m\"`, sizes like `\"256MiB\"`, rates like
`\"60/minute\"` or `\"off\"`. A key that ends in `_env` names an environment variable, a key that ends in `_file` names a
file; no secret stands in the configuration. An unknown key is an error, with the nearest known name. Editors complete it by
[its JSON Schema](config.schema.json), which the first line of the example names; templates have [one, too](template.schema.json).

`[[issuer]]`, `[network]` and `[redis]` have [a page of their own](configuration-issuers.md).
";

const ISSUERS_HEAD: &str = "\
# Configuration of issuers, networks and replicas

This page is generated from [`config.example.toml`](../../config.example.toml). [The other sections](configuration.md) have their
own page, which also says how values are written.
";

/// The sections of the second page.
const ISSUER_SECTIONS: [&str; 3] = ["[[issuer]]", "[network]", "[redis]"];

/// The pages with their names.
pub(super) fn pages() -> [(&'static str, String); 2] {
    let (issuers, others): (Vec<Section>, Vec<Section>) =
        sections().into_iter().partition(|section| ISSUER_SECTIONS.contains(&section.heading.as_str()));
    [("configuration.md", page(HEAD, &others)), ("configuration-issuers.md", page(ISSUERS_HEAD, &issuers))]
}

fn page(head: &str, sections: &[Section]) -> String {
    let mut page = head.to_owned();
    for section in sections {
        let optional = if section.is_optional { " (optional section)" } else { "" };
        write!(page, "\n## {}{optional}\n\n{}\n\n", section.heading, links(&section.introduction)).unwrap();
        page.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
        for key in &section.keys {
            page.push_str(&row(key));
        }
    }
    page
}

fn row(key: &Key) -> String {
    let (default, example) = match &key.default {
        Default::Value => (format!("`{}`", key.value), None),
        Default::Text(text) | Default::Required(text) => (text.clone(), Some(&key.value)),
        Default::Absent => ("none".to_owned(), Some(&key.value)),
    };
    let example = example.map_or_else(String::new, |value| format!(" Example: `{value}`."));
    let meaning = table_cell(&format!("{}{example}", key.meaning));
    format!("| `{}` | {} | {} | {meaning} |\n", key.name, key.kind, table_cell(&default))
}

/// Makes links of the pages that a text names, which are in `docs`.
fn links(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.trim_start_matches('(').split_once(".md") {
        Some((path, rest)) if word.contains("docs/") => {
            let path = path.trim_start_matches("docs/");
            let name = path.rsplit('/').next().unwrap();
            let open = if word.starts_with('(') { "(" } else { "" };
            format!("{open}[{name}](../{path}.md){rest}")
        }
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}
