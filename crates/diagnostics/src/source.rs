//! A TOML file that a user wrote, and the places of problems in it.

use std::{
    io::{self, ErrorKind},
    ops::Range,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::{
    diagnostic::{Diagnostic, FilePlace, Place},
    regular_file::read_regular_file,
    text_safety::to_single_line,
    toml_error,
};

/// Files that users write are smaller.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The text of a file, with its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// Wraps a text that was already read.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// Reads a file of at most 64 MiB.
    ///
    /// # Errors
    /// When the file is larger, is not a regular file, cannot be opened or is not UTF-8.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, Diagnostic> {
        Self::read_at_most(path, MAX_FILE_BYTES)
    }

    /// Reads a file of at most `max_bytes`.
    ///
    /// # Errors
    /// When the file is larger, is not a regular file, cannot be opened or is not UTF-8.
    pub fn read_at_most(path: impl Into<PathBuf>, max_bytes: u64) -> Result<Self, Diagnostic> {
        let path = path.into();
        let read = read_regular_file(&path, max_bytes).and_then(|bytes| {
            String::from_utf8(bytes)
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error.utf8_error()).into())
        });
        match read {
            Ok(text) => Ok(Self { path, text }),
            Err(fault) => {
                let help = fault.help(&path);
                Err(Diagnostic::of_file(path, fault.to_string(), help))
            }
        }
    }

    /// Returns the path that the text was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the SHA-256 of the text in hexadecimal, as `sha256sum` prints it.
    pub fn sha256(&self) -> String {
        hex::encode(Sha256::digest(&self.text))
    }

    /// Deserializes the whole text as TOML.
    ///
    /// # Errors
    /// The first problem, with its line and column; for a misspelt key also the nearest known one.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Diagnostic> {
        toml::from_str(&self.text).map_err(|error| {
            let written = error.span().and_then(|span| self.text.get(span)).unwrap_or_default();
            let toml_error::Explained { message, help } = toml_error::explain(error.message(), written);
            match error.span() {
                Some(span) => self.problem(span, message, help),
                None => Diagnostic::of_file(&self.path, message, help),
            }
        })
    }

    /// Returns a problem at a byte range of the text.
    pub fn problem(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Diagnostic {
        self.file_place(span).problem(message, help)
    }

    /// Returns the place of a byte range, for problems that are found later.
    pub fn file_place(&self, span: Range<usize>) -> FilePlace {
        FilePlace { path: self.path.clone(), place: self.place_of(span) }
    }

    /// Returns the start of a byte range as `file:line:column`.
    pub fn place(&self, span: &Range<usize>) -> String {
        let Place { line, column, .. } = self.place_of(span.clone());
        format!("{}:{line}:{column}", to_single_line(&self.path.display().to_string()))
    }

    fn place_of(&self, span: Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
        Place { line, column, span }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Server {
        #[expect(dead_code, reason = "only its name matters here")]
        listen: String,
    }

    #[test]
    fn a_misspelt_key_is_reported_with_its_line_and_the_nearest_known_key() {
        let problem = Source::new("c.toml", "# hi\nlisen = \"x\"\n").parse::<Server>().unwrap_err();
        assert_eq!(problem.to_string(), "c.toml:2:1: unknown key `lisen`; did you mean `listen`?");
    }

    #[test]
    fn a_key_that_is_near_no_known_key_lists_the_known_ones() {
        let problem = Source::new("c.toml", "colour = 1").parse::<Server>().unwrap_err();
        assert_eq!(problem.help, "known here: listen");
    }

    #[test]
    fn broken_syntax_points_at_its_line() {
        let problem = Source::new("c.toml", "listen = \"a\"\nlisten = \n").parse::<Server>().unwrap_err();
        assert_eq!(problem.place.as_ref().map(|place| place.line), Some(2), "{problem}");
    }

    #[test]
    fn columns_count_characters_not_bytes() {
        let source = Source::new("c.toml", "用户 = 1");
        assert_eq!(source.problem(7..8, "", "").place, Some(Place { line: 1, column: 4, span: 7..8 }));
    }
}
