//! Strict reading of request heads: what RFC 9112 calls an error is one, before the HTTP library sees it.
//!
//! The library takes a bare LF for a line's end and leading zeros in a length. Knows only where lines, heads and bodies
//! end; names, values and targets are the library's.

/// The bytes of a line that are kept: a `Content-Length` or `Transfer-Encoding` that is longer is refused.
const MAX_KEPT_BYTES: usize = 128;
/// More digits would not fit 64 bits.
const MAX_LENGTH_DIGITS: usize = 18;
const MAX_CHUNK_SIZE_DIGITS: usize = 15;

/// Follows the bytes that a client sends.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    expects: Expects,
    line: Line,
    framing: Framing,
    heads: u64,
    has_unencoded_target: bool,
}

/// What comes next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Expects {
    /// The first line of a head, before which one empty line is ignored (RFC 9112 §2.2).
    #[default]
    RequestLine,
    RequestLineAfterEmptyLine,
    HeaderLine,
    Body(u64),
    ChunkSize,
    Chunk(u64),
    EndOfChunk,
    Trailer,
}

/// Where in a message the last byte was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The next byte begins a head.
    BetweenMessages,
    Head,
    Body,
}

/// A line that has not ended.
#[derive(Debug, Default)]
struct Line {
    kept: Vec<u8>,
    is_cut: bool,
    ends_in_cr: bool,
}

/// How the body of the current message is delimited (RFC 9112 §6).
#[derive(Debug, Default, Clone, Copy)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
}

/// The client's bytes are no HTTP/1.1 from this index on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MalformedAt(pub(super) usize);

/// The line breaks a rule of RFC 9112.
struct Malformed;

impl Scanner {
    /// Reads bytes.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), MalformedAt> {
        let mut index = 0;
        while let Some(rest) = bytes.get(index..).filter(|rest| !rest.is_empty()) {
            index += match self.expects {
                Expects::Body(left) => self.skip(rest, left, Expects::Body, Expects::RequestLine),
                Expects::Chunk(left) => self.skip(rest, left, Expects::Chunk, Expects::EndOfChunk),
                _ => self.read_line(rest).map_err(|MalformedAt(at)| MalformedAt(index + at))?,
            };
        }
        Ok(())
    }

    /// Returns where the client's bytes have ended so far.
    pub(super) fn place(&self) -> Place {
        match self.expects {
            Expects::RequestLine if self.line.is_empty() && !self.line.ends_in_cr => Place::BetweenMessages,
            Expects::RequestLine | Expects::RequestLineAfterEmptyLine | Expects::HeaderLine => Place::Head,
            _ => Place::Body,
        }
    }

    /// Returns the number of complete heads.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether the bytes ended in a request line that holds more than ASCII: its target is no URI (RFC 3986 §2).
    pub(super) fn has_unencoded_target(&self) -> bool {
        self.has_unencoded_target
    }

    /// Says why the bytes ended, for the log.
    pub(super) fn fault(&self) -> &'static str {
        if self.has_unencoded_target {
            "its target has characters beyond ASCII, which a client must percent-encode (RFC 3986 §2.1)"
        } else {
            "a line, a header, a length or a chunk breaks the rules for them"
        }
    }

    /// Skips what of `left` bytes has arrived, and returns how many that were.
    fn skip(&mut self, rest: &[u8], left: u64, more: fn(u64) -> Expects, then: Expects) -> usize {
        let arrived = u64::try_from(rest.len()).unwrap_or(u64::MAX);
        self.expects = if arrived < left { more(left - arrived) } else { then };
        usize::try_from(left.min(arrived)).unwrap_or(rest.len())
    }

    /// Reads up to the end of a line, and returns how many bytes that were.
    fn read_line(&mut self, rest: &[u8]) -> Result<usize, MalformedAt> {
        if self.line.ends_in_cr {
            if rest.first() != Some(&b'\n') {
                // §2.2: a bare CR is invalid.
                return Err(MalformedAt(0));
            }
            self.end_line().map_err(|Malformed| MalformedAt(0))?;
            return Ok(1);
        }
        let Some(end) = memchr::memchr2(b'\r', b'\n', rest) else {
            self.check_target(rest)?;
            self.line.keep(rest);
            return Ok(rest.len());
        };
        let (line, ending) = rest.split_at(end);
        self.check_target(line)?;
        self.line.keep(line);
        if ending.first() == Some(&b'\n') {
            // §2.2 allows to take a bare LF for the end of a line. Where a proxy reads it differently, one request
            // hides another.
            return Err(MalformedAt(end));
        }
        self.line.ends_in_cr = true;
        Ok(end + 1)
    }

    /// Checks the bytes of a request line; header lines may hold other bytes (RFC 9110 §5.5).
    fn check_target(&mut self, line: &[u8]) -> Result<(), MalformedAt> {
        let is_request_line =
            matches!(self.expects, Expects::RequestLine | Expects::RequestLineAfterEmptyLine);
        if !is_request_line || line.is_ascii() {
            return Ok(());
        }
        let at = line.iter().take_while(|byte| byte.is_ascii()).count();
        self.line.keep(line.get(..at).unwrap_or_default());
        self.has_unencoded_target = true;
        Err(MalformedAt(at))
    }

    fn end_line(&mut self) -> Result<(), Malformed> {
        self.expects = self.after_line()?;
        self.line.kept.clear();
        self.line.is_cut = false;
        self.line.ends_in_cr = false;
        Ok(())
    }

    /// Checks the line, and returns what comes after it.
    fn after_line(&mut self) -> Result<Expects, Malformed> {
        let line = &self.line;
        match self.expects {
            Expects::RequestLine if line.is_empty() => Ok(Expects::RequestLineAfterEmptyLine),
            Expects::RequestLine | Expects::RequestLineAfterEmptyLine if line.begins_with_text() => {
                self.framing = Framing::default();
                Ok(Expects::HeaderLine)
            }
            Expects::HeaderLine if line.is_empty() => {
                self.heads += 1;
                Ok(self.framing.body())
            }
            Expects::HeaderLine => {
                self.framing.read_header(line)?;
                Ok(Expects::HeaderLine)
            }
            Expects::ChunkSize => Ok(match line.chunk_size()? {
                0 => Expects::Trailer,
                size => Expects::Chunk(size),
            }),
            Expects::EndOfChunk if line.is_empty() => Ok(Expects::ChunkSize),
            Expects::Trailer if line.is_empty() => Ok(Expects::RequestLine),
            Expects::Trailer => {
                line.header()?;
                Ok(Expects::Trailer)
            }
            _ => Err(Malformed),
        }
    }
}

impl Line {
    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_KEPT_BYTES - self.kept.len();
        self.is_cut |= bytes.len() > room;
        self.kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Not with whitespace: before a header that would be line folding (§5.2), before the first one it hides
    /// lines (§2.2).
    fn begins_with_text(&self) -> bool {
        self.kept.first().is_some_and(|first| !is_whitespace(*first))
    }

    /// The line's name, and what is kept of its value.
    fn header(&self) -> Result<(&[u8], &[u8]), Malformed> {
        if !self.begins_with_text() {
            return Err(Malformed);
        }
        match self.kept.iter().position(|byte| *byte == b':') {
            Some(colon) => {
                let (name, value) = self.kept.split_at(colon);
                // §5.1: no whitespace between the name and the colon.
                if name.last().is_none_or(|last| is_whitespace(*last)) {
                    return Err(Malformed);
                }
                Ok((name, trimmed(value.get(1..).unwrap_or_default())))
            }
            // The name is longer than what is kept.
            None if self.is_cut => Ok((&self.kept, &[])),
            None => Err(Malformed),
        }
    }

    /// §7.1: hexadecimal digits, then perhaps extensions.
    fn chunk_size(&self) -> Result<u64, Malformed> {
        let size = self.kept.split(|byte| *byte == b';').next().map(trimmed).unwrap_or_default();
        if size.is_empty() || size.len() > MAX_CHUNK_SIZE_DIGITS || !self.begins_with_text() {
            return Err(Malformed);
        }
        number(size, 16)
    }
}

impl Framing {
    fn read_header(&mut self, line: &Line) -> Result<(), Malformed> {
        let (name, value) = line.header()?;
        let is_length = name.eq_ignore_ascii_case(b"content-length");
        if !is_length && !name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Ok(());
        }
        // §6.1 and §6.3: only one of the two, once; another coding than `chunked` is not understood here.
        if self.length.is_some() || self.chunked || line.is_cut {
            return Err(Malformed);
        }
        if is_length {
            self.length = Some(content_length(value)?);
        } else if value.eq_ignore_ascii_case(b"chunked") {
            self.chunked = true;
        } else {
            return Err(Malformed);
        }
        Ok(())
    }

    fn body(self) -> Expects {
        match self.length {
            _ if self.chunked => Expects::ChunkSize,
            Some(length) if length > 0 => Expects::Body(length),
            _ => Expects::RequestLine,
        }
    }
}

/// Digits only (RFC 9110 §8.6). Leading zeros are allowed there, but nobody sends them who means well.
fn content_length(value: &[u8]) -> Result<u64, Malformed> {
    let has_leading_zero = value.len() > 1 && value.starts_with(b"0");
    if value.is_empty() || value.len() > MAX_LENGTH_DIGITS || has_leading_zero {
        return Err(Malformed);
    }
    number(value, 10)
}

/// A number without a sign, which `from_str_radix` would take.
fn number(digits: &[u8], radix: u32) -> Result<u64, Malformed> {
    let text = str::from_utf8(digits).map_err(|_| Malformed)?;
    if text.starts_with('+') {
        return Err(Malformed);
    }
    u64::from_str_radix(text, radix).map_err(|_| Malformed)
}

/// Without optional whitespace (RFC 9110 §5.6.3).
fn trimmed(value: &[u8]) -> &[u8] {
    let start = value.iter().position(|byte| !is_whitespace(*byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_whitespace(*byte)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

fn is_whitespace(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "GET / HTTP/1.1\r\nhost: a\r\n";

    fn read_in_parts(text: &[u8], part: usize) -> (Result<(), usize>, u64, Place) {
        let mut scanner = Scanner::default();
        for (index, bytes) in text.chunks(part).enumerate() {
            if let Err(MalformedAt(at)) = scanner.read(bytes) {
                return (Err(index * part + at), scanner.heads(), scanner.place());
            }
        }
        (Ok(()), scanner.heads(), scanner.place())
    }

    #[test]
    fn well_formed_requests_pass_whatever_the_body() {
        for (text, heads) in [
            (format!("{HEAD}\r\n"), 1),
            (format!("\r\n{HEAD}\r\n{HEAD}\r\n"), 2),
            (format!("{HEAD}Content-Length:\t5 \r\n\r\na\nb\rc{HEAD}\r\n"), 2),
            (format!("{HEAD}content-length: 0\r\n\r\n{HEAD}\r\n"), 2),
            (
                format!(
                    "{HEAD}Transfer-Encoding: Chunked\r\n\r\n5;x=y\r\na\nb\rc\r\nA \r\n0123456789\r\n0\r\nt: 1\r\n\r\n{HEAD}\r\n"
                ),
                2,
            ),
            (format!("{HEAD}authorization: {}\r\n\r\n", "x".repeat(9000)), 1),
        ] {
            for part in [1, 2, 7, 100_000] {
                assert_eq!(
                    read_in_parts(text.as_bytes(), part),
                    (Ok(()), heads, Place::BetweenMessages),
                    "{part} {text}"
                );
            }
        }
    }

    #[test]
    fn what_rfc_9112_calls_an_error_is_one() {
        let long = format!("content-length: {}5\r\n\r\n", " ".repeat(MAX_KEPT_BYTES));
        for lines in [
            "a: b\nc: d\r\n\r\n",
            "a: b\rc\r\n\r\n",
            "a: b\r\r\n\r\n",
            "\n",
            "a : b\r\n\r\n",
            ": b\r\n\r\n",
            "no colon\r\n\r\n",
            " folded: a\r\n\r\n",
            "a: b\r\n\tfolded\r\n\r\n",
            "content-length: 00\r\n\r\n",
            "content-length: 05\r\n\r\n",
            "content-length: +5\r\n\r\n",
            "content-length: -5\r\n\r\n",
            "content-length: 5, 5\r\n\r\n",
            "content-length: 0x5\r\n\r\n",
            "content-length: 9999999999999999999\r\n\r\n",
            "content-length:\r\n\r\n",
            "content-length: 5\r\ncontent-length: 5\r\n\r\n",
            "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
            "transfer-encoding: gzip, chunked\r\n\r\n",
            "transfer-encoding: identity\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\n5\na",
            "transfer-encoding: chunked\r\n\r\n+5\r\n",
            "transfer-encoding: chunked\r\n\r\n 5\r\n",
            "transfer-encoding: chunked\r\n\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
            "transfer-encoding: chunked\r\n\r\n0\r\nno colon\r\n\r\n",
            &long,
        ] {
            let text = format!("{HEAD}{lines}");
            for part in [1, 3, 100_000] {
                assert!(read_in_parts(text.as_bytes(), part).0.is_err(), "{part} {text:?}");
            }
        }
        for start in [
            "GET /?filename=照片.jpg HTTP/1.1\r\n",
            "\nGET / HTTP/1.1\r\n",
            "\r\n\r\nGET",
            " GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\n",
        ] {
            assert!(read_in_parts(start.as_bytes(), 1).0.is_err(), "{start:?}");
        }
    }

    #[test]
    fn the_place_tells_whether_the_next_byte_begins_a_request() {
        for (text, place) in [
            ("", Place::BetweenMessages),
            ("G", Place::Head),
            ("\r", Place::Head),
            ("\r\n", Place::Head),
            ("GET / HTTP/1.1\r\n", Place::Head),
            ("GET / HTTP/1.1\r\ncontent-length: 2\r\n\r\na", Place::Body),
            ("GET / HTTP/1.1\r\ncontent-length: 2\r\n\r\nab", Place::BetweenMessages),
        ] {
            assert_eq!(read_in_parts(text.as_bytes(), 1).2, place, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_into_reads_makes_no_difference(
            text in "(GET / HTTP/1.1\r\n)?(a: b\r\n|content-length: [0-3]\r\n|transfer-encoding: chunked\r\n|\r\n|[0-3]\r\n|x|\n|\r){0,8}",
            part in 1usize..20,
        ) {
            prop_assert_eq!(read_in_parts(text.as_bytes(), part), read_in_parts(text.as_bytes(), usize::MAX));
        }
    }
}
