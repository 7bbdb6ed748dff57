//! W3C Trace Context: which trace a request belongs to, as its `traceparent` header says it.

use std::fmt;

use opentelemetry::trace::{SpanId, TraceId};

/// The flags that level 2 of the standard knows: sampled, random trace id. Others are not handed on (§3.2.2.5).
const KNOWN_FLAGS: u8 = 0b11;
const SAMPLED: u8 = 0b01;
const RANDOM: u8 = 0b10;

/// A place in a trace: random ids, nothing about anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    flags: u8,
}

impl TraceContext {
    /// What a `traceparent` header says; nothing where it is not valid, which is as if there were none.
    ///
    /// Stricter than the SDK's own reader, which trims, and takes ids of any length.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let ([version], rest) = hex(header)?;
        let (trace_id, rest) = hex(rest.strip_prefix(b"-")?)?;
        let (span_id, rest) = hex(rest.strip_prefix(b"-")?)?;
        let ([flags], later) = hex(rest.strip_prefix(b"-")?)?;
        let (trace_id, span_id) = (TraceId::from_bytes(trace_id), SpanId::from_bytes(span_id));
        // What a later version adds is not understood here (§3.2.4).
        let whole = match version {
            0 => later.is_empty(),
            0xff => false,
            _ => later.is_empty() || later.starts_with(b"-"),
        };
        let valid = whole && trace_id != TraceId::INVALID && span_id != SpanId::INVALID;
        valid.then_some(Self { trace_id, span_id, flags: flags & KNOWN_FLAGS })
    }

    /// The beginning of a trace that bears this id.
    pub(super) fn begin(random: [u8; 16]) -> Self {
        // All zeros name no trace.
        let trace_id = TraceId::from(u128::from_be_bytes(random).max(1));
        Self { trace_id, span_id: SpanId::INVALID, flags: RANDOM }
    }

    /// Another place in the same trace.
    pub(super) fn child(self, [random @ .., _, _, _, _, _, _, _, _]: [u8; 16], sampled: bool) -> Self {
        let span_id = SpanId::from(u64::from_be_bytes(random).max(1));
        let flags = self.flags & !SAMPLED | u8::from(sampled);
        Self { span_id, flags, ..self }
    }

    /// Whether whoever is at this place says that they keep its span.
    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The trace's name, 32 hexadecimal digits.
    pub fn trace_id(self) -> impl fmt::Display + fmt::Debug {
        self.trace_id
    }

    pub(super) fn flags(self) -> u8 {
        self.flags
    }
}

/// The `traceparent` that says so.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// So many bytes, in digits and small letters (§3.2.2), and what follows them. Every ask may carry such a header,
/// so this looks at all letters at once, where a reader of hexadecimal would at one after the other.
fn hex<const N: usize>(text: &[u8]) -> Option<([u8; N], &[u8])> {
    let (digits, rest) = text.split_at_checked(2 * N)?;
    let is_digit = |letter: &u8| matches!(letter, b'0'..=b'9' | b'a'..=b'f');
    if !digits.iter().fold(true, |all, letter| all & is_digit(letter)) {
        return None;
    }
    // In ASCII the low half of `a` is 1, and it alone has the bit for 64.
    let value = |digit: u8| (digit & 0x0f) + 9 * (digit >> 6);
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks().0) {
        *byte = value(*high) << 4 | value(*low);
    }
    Some((bytes, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str) -> Option<TraceContext> {
        TraceContext::parse(header.as_bytes())
    }

    #[test]
    fn a_valid_traceparent_is_taken_up() {
        // The examples of the recommendation, §3.2.3, and what its test-suite takes (test/test.py).
        for (header, trace, span, sampled) in [
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                "4bf92f3577b34da6a3ce929d0e0e4736",
                "00f067aa0ba902b7",
                true,
            ),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
                "4bf92f3577b34da6a3ce929d0e0e4736",
                "00f067aa0ba902b7",
                false,
            ),
            (
                "cc-12345678901234567890123456789012-1234567890123456-01",
                "12345678901234567890123456789012",
                "1234567890123456",
                true,
            ),
            (
                "cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like",
                "12345678901234567890123456789012",
                "1234567890123456",
                true,
            ),
        ] {
            let context = parse(header).unwrap();
            assert_eq!(context.trace_id().to_string(), trace);
            assert_eq!(context.span_id.to_string(), span);
            assert_eq!(context.is_sampled(), sampled, "{header}");
        }
    }

    #[test]
    fn an_invalid_traceparent_is_as_if_there_were_none() {
        // What the standard's test-suite refuses, test by test, and a few more.
        for header in [
            "",
            "00-12345678901234567890123456789012-1234567890123456-01.",
            "00-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like",
            "cc-12345678901234567890123456789012-1234567890123456-01.what-the-future-will-be-like",
            "ff-12345678901234567890123456789012-1234567890123456-01",
            ".0-12345678901234567890123456789012-1234567890123456-01",
            "0.-12345678901234567890123456789012-1234567890123456-01",
            "000-12345678901234567890123456789012-1234567890123456-01",
            "0000-12345678901234567890123456789012-1234567890123456-01",
            "0-12345678901234567890123456789012-1234567890123456-01",
            "00-00000000000000000000000000000000-1234567890123456-01",
            "00-.2345678901234567890123456789012-1234567890123456-01",
            "00-1234567890123456789012345678901.-1234567890123456-01",
            "00-123456789012345678901234567890123-1234567890123456-01",
            "00-1234567890123456789012345678901-1234567890123456-01",
            "00-12345678901234567890123456789012-0000000000000000-01",
            "00-12345678901234567890123456789012-.234567890123456-01",
            "00-12345678901234567890123456789012-123456789012345.-01",
            "00-12345678901234567890123456789012-12345678901234567-01",
            "00-12345678901234567890123456789012-123456789012345-01",
            "00-12345678901234567890123456789012-1234567890123456-.0",
            "00-12345678901234567890123456789012-1234567890123456-0.",
            "00-12345678901234567890123456789012-1234567890123456-001",
            "00-12345678901234567890123456789012-1234567890123456-1",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A",
            "00_12345678901234567890123456789012_1234567890123456_01",
            "00-+2345678901234567890123456789012-1234567890123456-01",
            "00-1234567890123456789012345678901é-1234567890123456-01",
        ] {
            assert_eq!(parse(header), None, "{header}");
        }
        assert_eq!(TraceContext::parse(&[0xff; 55]), None);
    }

    #[test]
    fn what_is_handed_on_names_the_same_trace_another_span_and_known_flags_only() {
        let caller = parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff").unwrap();
        for (sampled, expected) in [
            (true, "00-4bf92f3577b34da6a3ce929d0e0e4736-0707070707070707-03"),
            (false, "00-4bf92f3577b34da6a3ce929d0e0e4736-0707070707070707-02"),
        ] {
            let child = caller.child([7; 16], sampled);
            assert_eq!(child.to_string(), expected);
            assert_eq!(parse(expected), Some(child));
        }
    }

    #[test]
    fn ids_that_would_be_all_zeros_are_not() {
        let begun = TraceContext::begin([0; 16]).child([0; 16], true);
        assert_eq!(begun.to_string(), "00-00000000000000000000000000000001-0000000000000001-03");
    }
}
