//! The shape of a template's TOML file.

use std::{collections::BTreeMap, fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use toml::Spanned;

use cam::Effect;
use diagnostics::HumanDuration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) description: String,
    pub(super) bucket: Spanned<String>,
    pub(super) region: Spanned<String>,
    pub(super) home: Spanned<String>,
    pub(super) duration: Spanned<HumanDuration>,
    pub(super) owner: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(super) require: toml::Table,
    pub(super) acl_guard_off: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) statement: Vec<Spanned<FileStatement>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileStatement {
    pub(super) effect: Effect,
    pub(super) action: Spanned<OneOrMany>,
    pub(super) resource: Spanned<OneOrMany>,
    #[serde(default)]
    pub(super) condition: FileConditions,
    pub(super) shared: Option<Spanned<String>>,
}

/// operator -> key -> value.
pub(super) type FileConditions = BTreeMap<Spanned<String>, BTreeMap<Spanned<String>, Spanned<toml::Value>>>;

/// A string or a list of strings. A single string has no span of its own; it has that of the whole value.
pub(super) struct OneOrMany(Vec<Spanned<String>>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

struct OneOrManyVisitor;

impl<'de> Visitor<'de> for OneOrManyVisitor {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E>(self, one: &str) -> Result<OneOrMany, E> {
        Ok(OneOrMany(vec![Spanned::new(0..0, one.to_owned())]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            entries.push(entry);
        }
        Ok(OneOrMany(entries))
    }
}

/// Iterates over the entries with their places.
pub(super) fn entries(list: &Spanned<OneOrMany>) -> impl Iterator<Item = (&str, Range<usize>)> {
    list.get_ref().0.iter().map(|entry| {
        let span = if entry.span().is_empty() { list.span() } else { entry.span() };
        (entry.get_ref().as_str(), span)
    })
}
