//! W3C Trace Context: the `traceparent` header.

use std::fmt;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The flag of level 2 of the standard: the trace id is random.
const RANDOM: TraceFlags = TraceFlags::new(0b10);
/// The flags that are passed on; unknown ones are not (§3.2.2.5).
const KNOWN_FLAGS: u8 = 0b11;

/// A position in a trace: random ids and flags, nothing about a user.
///
/// Unlike OpenTelemetry's `SpanContext` it is `Copy`, and holds no `tracestate`, which is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: SpanId,
    flags: TraceFlags,
}

impl TraceContext {
    /// Parses a `traceparent` header. An invalid one is ignored, as the standard says.
    ///
    /// Written by hand because the SDK's propagator is less strict: it trims, and accepts ids of any length.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let ([version], rest) = hex(header)?;
        let (trace_id, rest) = hex(rest.strip_prefix(b"-")?)?;
        let (span_id, rest) = hex(rest.strip_prefix(b"-")?)?;
        let ([flags], rest) = hex(rest.strip_prefix(b"-")?)?;
        let (trace_id, span_id) = (TraceId::from_bytes(trace_id), SpanId::from_bytes(span_id));
        // What later versions append is ignored (§3.2.4).
        let is_complete = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        let is_valid = is_complete && trace_id != TraceId::INVALID && span_id != SpanId::INVALID;
        is_valid.then_some(Self { trace_id, span_id, flags: TraceFlags::new(flags & KNOWN_FLAGS) })
    }

    /// Returns the position before the first span of a new trace.
    pub(super) fn root(random: [u8; 16]) -> Self {
        // An id of zeros is invalid.
        let trace_id = TraceId::from(u128::from_be_bytes(random).max(1));
        Self { trace_id, span_id: SpanId::INVALID, flags: RANDOM }
    }

    /// Returns a new position in the same trace.
    pub(super) fn child(self, [random @ .., _, _, _, _, _, _, _, _]: [u8; 16], sampled: bool) -> Self {
        let span_id = SpanId::from(u64::from_be_bytes(random).max(1));
        Self { span_id, flags: self.flags.with_sampled(sampled), ..self }
    }

    /// Returns whether the span at this position is recorded.
    pub fn is_sampled(self) -> bool {
        self.flags.is_sampled()
    }

    /// Returns the trace id, which displays as 32 hexadecimal digits.
    pub fn trace_id(self) -> impl fmt::Display + fmt::Debug {
        self.trace_id
    }

    pub(super) fn span_id(self) -> SpanId {
        self.span_id
    }
}

impl From<TraceContext> for SpanContext {
    fn from(TraceContext { trace_id, span_id, flags }: TraceContext) -> Self {
        Self::new(trace_id, span_id, flags, false, TraceState::NONE)
    }
}

/// Writes a `traceparent` header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// Parses `N` bytes of lower-case hexadecimal digits (§3.2.2), and returns the rest as well.
///
/// Any request may carry such a header, so this checks all digits at once: a general decoder takes them one by one.
fn hex<const N: usize>(text: &[u8]) -> Option<([u8; N], &[u8])> {
    let (digits, rest) = text.split_at_checked(2 * N)?;
    if !digits.iter().fold(true, |all, digit| all & matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks().0) {
        *byte = digit_value(*high) << 4 | digit_value(*low);
    }
    Some((bytes, rest))
}

/// Returns the value of a hexadecimal digit: in ASCII, the low half of `a` is 1, and only letters have the bit 64.
fn digit_value(digit: u8) -> u8 {
    (digit & 0x0f) + 9 * (digit >> 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str) -> Option<TraceContext> {
        TraceContext::parse(header.as_bytes())
    }

    #[test]
    fn a_valid_traceparent_is_parsed() {
        // The examples of the recommendation, §3.2.3, and what its test suite accepts (test/test.py).
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
    fn an_invalid_traceparent_is_ignored() {
        // What the standard's test suite refuses, test by test, and a few more.
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
    fn a_child_has_the_same_trace_id_a_new_span_id_and_known_flags_only() {
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
    fn no_id_is_all_zeros() {
        let child = TraceContext::root([0; 16]).child([0; 16], true);
        assert_eq!(child.to_string(), "00-00000000000000000000000000000001-0000000000000001-03");
    }
}
