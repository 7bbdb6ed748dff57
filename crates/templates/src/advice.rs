//! A problem with one value, and how to fix it.

use std::ops::Range;

use diagnostics::{Diagnostic, Source};

/// What is wrong with a value, and what to write instead.
///
/// Whoever reads the file knows the place, and turns it into a [`Diagnostic`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {help}")]
pub struct Advice {
    /// What is wrong with the value.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl Advice {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }

    /// Places the problem at a byte range of a file.
    pub(crate) fn at(self, source: &Source, span: Range<usize>) -> Diagnostic {
        source.problem(span, self.message, self.help)
    }
}
