//! A JSON document as servers send it: perhaps with a byte order mark, or not JSON at all.

use serde_json::{Map, Value};

use super::key::KeyFault;

/// Some editors and servers put it first, against RFC 8259 §8.1.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Parses a JSON object. An object inside of it that has a name twice is `null`.
///
/// # Errors
/// What the document is instead of `expected`, such as "a JWK set".
pub(super) fn json_object(bytes: &[u8], expected: &str) -> Result<Map<String, Value>, KeyFault> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if bytes.trim_ascii_start().starts_with(b"<") {
        return Err(KeyFault(format!("is an HTML or XML page, not {expected}; check the address")));
    }
    match strict_json::from_slice_with_gaps(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(KeyFault(format!("is not {expected}: it is no JSON object, or has a name twice"))),
        Err(error) => Err(KeyFault(format!("is not {expected}: {error}"))),
    }
}
