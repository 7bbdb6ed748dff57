//! The ways to read a resource that the vendor's documents leave open.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde::Serialize;

/// A way to read resources that the vendor's documents leave open: whether a pattern without `*` also matches
/// what begins with it, and what `//`, `..` and escapes in keys mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// As written: `*` matches any run of characters, everything else itself.
    Glob,
    /// A pattern also matches whatever begins with it.
    Prefix,
    /// Repeated slashes are merged, and `.` and `..` are resolved.
    Merged,
    /// Percent escapes are decoded.
    Decoded,
}

impl Reading {
    /// All readings, the literal one first.
    pub const ALL: [Self; 4] = [Self::Glob, Self::Prefix, Self::Merged, Self::Decoded];

    /// Returns whether a text may mean something else under this reading than as written.
    pub fn matters_to(self, text: &str) -> bool {
        match self {
            Self::Glob | Self::Prefix => true,
            Self::Merged => text.contains("//") || text.contains("/."),
            Self::Decoded => text.contains('%'),
        }
    }

    /// Returns a pattern as this reading takes it.
    pub fn pattern(self, pattern: &str) -> Cow<'_, str> {
        match self {
            Self::Prefix => Cow::Owned(format!("{pattern}*")),
            Self::Glob | Self::Merged | Self::Decoded => self.text(pattern),
        }
    }

    /// Returns a resource as this reading takes it.
    pub(super) fn text(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Glob | Self::Prefix => Cow::Borrowed(text),
            Self::Merged => Cow::Owned(merged(text)),
            Self::Decoded => percent_decode_str(text).decode_utf8_lossy(),
        }
    }
}

fn merged(text: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = text.split('/').peekable();
    while let Some(part) = parts.next() {
        match part {
            ".." => drop(segments.pop()),
            "" | "." if parts.peek().is_some() => {}
            _ => segments.push(part),
        }
    }
    segments.join("/")
}
