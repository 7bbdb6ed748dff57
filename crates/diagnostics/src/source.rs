//! A TOML file as a person wrote it: parses it, and points at the place a problem stands.
//!
//! Knows text and spans only; what the values mean is for the rooms that read them.

use std::{fmt, io::Read, ops::Range, path::PathBuf};

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// A file's text beside its path.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    text: String,
}

/// No file that a person writes is larger.
const LARGEST: u64 = 64 << 20;

/// One problem in one file: where it stands, what it is, how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Diagnostic {
    /// The file, as it was named to us.
    pub path: PathBuf,
    /// Where; `None` where the problem is the file as a whole.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// A place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The offending text, in bytes from the text's beginning.
    pub span: Range<usize>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", one_line(&self.path.display().to_string()))?;
        if let Some(Place { line, column, .. }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}; {}", one_line(&self.message), one_line(&self.help))
    }
}

impl Diagnostic {
    /// A problem with a file as a whole.
    pub fn of_file(path: impl Into<PathBuf>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { path: path.into(), place: None, message: message.into(), help: help.into() }
    }
}

impl Source {
    /// Wraps a text that was already read.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be opened or is not UTF-8.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, Diagnostic> {
        Self::read_at_most(path, LARGEST)
    }

    /// Reads a file that has no reason to be larger than so many bytes.
    ///
    /// # Errors
    /// When it is larger, cannot be opened or is not UTF-8.
    pub fn read_at_most(path: impl Into<PathBuf>, bytes: u64) -> Result<Self, Diagnostic> {
        let path = path.into();
        match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => {
                return Err(Diagnostic::of_file(path, "is a folder", "name a file"));
            }
            Ok(found) if !found.is_file() => {
                return Err(Diagnostic::of_file(path, "is not a file", "name a file, or remove it"));
            }
            Ok(_) | Err(_) => {}
        }
        let mut text = String::new();
        let read = std::fs::File::open(&path)
            .and_then(|file| file.take(bytes.saturating_add(1)).read_to_string(&mut text));
        match read {
            Ok(length) if length as u64 > bytes => Err(Diagnostic::of_file(
                path,
                format!("is larger than {bytes} bytes, which nothing of its kind is"),
                "take it away, or name another",
            )),
            Ok(_) => Ok(Self { path, text }),
            Err(error) => Err(Diagnostic::of_file(
                path,
                format!("cannot be read: {error}"),
                "check that it exists, is UTF-8 text and is readable by this user",
            )),
        }
    }

    /// The path it was read from.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The text as read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of the text in hexadecimal, as `sha256sum` prints a file's.
    pub fn sha256(&self) -> String {
        hex::encode(Sha256::digest(&self.text))
    }

    /// Deserializes the whole text as TOML.
    ///
    /// # Errors
    /// With line, column and, for a misspelt key, the nearest known spelling.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Diagnostic> {
        toml::from_str(&self.text).map_err(|error| {
            let message = error.message().trim().replace('\n', " ");
            let explained = Misspelt::read(&message).map(Misspelt::explain);
            let (message, help) =
                explained.unwrap_or_else(|| (message.clone(), mend_of(&message).to_owned()));
            match error.span() {
                Some(span) => self.problem(span, message, help),
                None => Diagnostic::of_file(&self.path, message, help),
            }
        })
    }

    /// A problem at a byte range of this text.
    pub fn problem(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic {
            path: self.path.clone(),
            place: Some(self.place_of(span)),
            message: message.into(),
            help: help.into(),
        }
    }

    /// The start of a byte range, as `file:line:column`.
    pub fn place(&self, span: &Range<usize>) -> String {
        let Place { line, column, .. } = self.place_of(span.clone());
        format!("{}:{line}:{column}", one_line(&self.path.display().to_string()))
    }

    fn place_of(&self, span: Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
        Place { line, column, span }
    }
}

/// serde's "unknown field `x`, expected one of `a`, `b`", taken apart.
struct Misspelt<'a> {
    kind: &'static str,
    written: &'a str,
    known: Vec<&'a str>,
}

impl<'a> Misspelt<'a> {
    fn read(message: &'a str) -> Option<Self> {
        let (kind, rest) = [("key", "unknown field "), ("value", "unknown variant ")]
            .into_iter()
            .find_map(|(kind, start)| Some((kind, message.strip_prefix(start)?)))?;
        let mut quoted = rest.split('`').skip(1).step_by(2);
        Some(Self { kind, written: quoted.next()?, known: quoted.collect() })
    }

    fn explain(self) -> (String, String) {
        let message = format!("unknown {} `{}`", self.kind, self.written);
        let help = match nearest(self.written, self.known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", self.known.join(", ")),
        };
        (message, help)
    }
}

/// What to do about a message of the TOML reader or of a standard type.
fn mend_of(message: &str) -> &'static str {
    let mends = [
        (
            "expected a sequence",
            "write a list, like [\"one\"]; a section that may stand several times is [[name]]",
        ),
        ("expected a map", "write a section, like [name], or a table"),
        (
            "expected a string",
            "put it in quotes: a name like \"text\", a duration like \"5m\", a size like \"256MiB\"",
        ),
        ("nonzero", "give a whole number from 1"),
        ("socket address", "write a numeric address and a port, like \"127.0.0.1:5000\""),
        ("IP address", "write a network, like \"10.0.0.0/8\""),
        ("missing field", "add it; config.example.toml and the templates in policies/ show how"),
        ("duplicate key", "it stands twice: keep one"),
    ];
    let known = mends.iter().find(|(said, _)| message.contains(said));
    known
        .map_or("config.example.toml and the templates in policies/ show how it is written", |(_, help)| help)
}

/// Text that somebody else chose, as one line that cannot be taken for another: control characters are
/// written as escapes, and what is too long is cut.
pub fn one_line(text: &str) -> String {
    const LONGEST: usize = 1000;
    match text.char_indices().nth(LONGEST).and_then(|(end, _)| text.get(..end)) {
        Some(begun) => format!("{}…", plain(begun)),
        None => plain(text),
    }
}

/// The same, however long it is.
pub fn plain(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else if turns_text_around(c) {
            line.extend(c.escape_unicode());
        } else {
            line.push(c);
        }
    }
    line
}

/// Whether a character makes text read as something else: it moves the cursor, ends the line for some
/// readers, or turns text around.
pub fn misleads(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || turns_text_around(c)
}

/// Marks that change the direction of what follows (Unicode UAX #9).
fn turns_text_around(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The known word a person most likely meant, if any is near.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lowered = written.to_lowercase();
    let distance = |word: &str| {
        let word = word.to_lowercase();
        let begun = lowered.len() >= 3 && word.starts_with(&lowered);
        if begun { 1 } else { strsim::damerau_levenshtein(&lowered, &word) }
    };
    known
        .into_iter()
        .map(|word| (distance(word), word))
        .filter(|(distance, word)| *distance <= 1 + word.len().min(written.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
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
    fn a_misspelt_key_is_named_with_its_line_and_the_nearest_spelling() {
        let problem = Source::new("c.toml", "# hi\nlisen = \"x\"\n").parse::<Server>().unwrap_err();
        assert_eq!(problem.to_string(), "c.toml:2:1: unknown key `lisen`; did you mean `listen`?");
    }

    #[test]
    fn a_key_near_nothing_lists_what_is_known() {
        let problem = Source::new("c.toml", "colour = 1").parse::<Server>().unwrap_err();
        assert_eq!(problem.help, "known here: listen");
    }

    #[test]
    fn broken_syntax_points_at_its_line() {
        let problem = Source::new("c.toml", "listen = \"a\"\nlisten = \n").parse::<Server>().unwrap_err();
        assert_eq!(problem.place.as_ref().map(|place| place.line), Some(2), "{problem}");
    }

    #[test]
    fn a_problem_is_one_line_whatever_stands_in_the_file() {
        let problem = Diagnostic::of_file("a\nb.toml", "key `x\ny\u{1b}[2J`", "mend\r\nit");
        assert_eq!(problem.to_string(), "a\\nb.toml: key `x\\ny\\u{1b}[2J`; mend\\r\\nit");
        assert_eq!(one_line("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(one_line(&"x".repeat(5000)).chars().count(), 1001);
    }

    #[test]
    fn columns_count_characters_not_bytes() {
        let source = Source::new("c.toml", "用户 = 1");
        assert_eq!(source.problem(7..8, "", "").place, Some(Place { line: 1, column: 4, span: 7..8 }));
    }
}
