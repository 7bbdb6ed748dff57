//! A problem in a file: where it is, what is wrong, and how to fix it.

use std::{fmt, ops::Range, path::PathBuf};

use crate::text_safety::to_single_line;

/// A problem in a file. Its `Display` is one line: `file:line:column: what is wrong; what to do`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Diagnostic {
    /// The path of the file, as the user gave it.
    pub path: PathBuf,
    /// The place in the file; `None` if the problem is the file as a whole.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// How to fix it.
    pub help: String,
}

/// A place in a file, for problems that are found after the file was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePlace {
    pub(crate) path: PathBuf,
    pub(crate) place: Place,
}

impl FilePlace {
    /// Returns a problem at this place.
    pub fn problem(&self, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        Diagnostic {
            path: self.path.clone(),
            place: Some(self.place.clone()),
            message: message.into(),
            help: help.into(),
        }
    }
}

/// A place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The byte range of the text in question.
    pub span: Range<usize>,
}

impl Diagnostic {
    /// Returns a problem with a file as a whole.
    pub fn of_file(path: impl Into<PathBuf>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { path: path.into(), place: None, message: message.into(), help: help.into() }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", to_single_line(&self.path.display().to_string()))?;
        if let Some(Place { line, column, .. }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}; {}", to_single_line(&self.message), to_single_line(&self.help))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_is_one_line_whatever_the_file_contains() {
        let problem = Diagnostic::of_file("a\nb.toml", "key `x\ny\u{1b}[2J`", "fix\r\nit");
        assert_eq!(problem.to_string(), "a\\nb.toml: key `x\\ny\\u{1b}[2J`; fix\\r\\nit");
    }
}
