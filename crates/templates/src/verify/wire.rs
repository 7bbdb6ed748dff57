//! Percent-encoding, written again for the verifier.

use super::VerifierFault;

const HEX_DIGITS: [u8; 16] = *b"0123456789ABCDEF";

/// Encodes everything but the unreserved characters of RFC 3986.
pub(super) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            _ => encoded.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 0xf)]),
        }
    }
    encoded
}

/// Returns the upper-case digit of half a byte.
fn hex_digit(half: u8) -> char {
    HEX_DIGITS.get(usize::from(half)).map_or('0', |digit| char::from(*digit))
}

/// Decodes once. Refuses every byte that an encoder should have escaped.
pub(super) fn decode(wire: &str) -> Result<Vec<u8>, VerifierFault> {
    let mut bytes = wire.bytes();
    let mut decoded = Vec::with_capacity(wire.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => decoded.push(escaped_byte(bytes.next(), bytes.next())?),
            b'-' | b'_' | b'.' | b'~' => decoded.push(byte),
            _ if byte.is_ascii_alphanumeric() => decoded.push(byte),
            _ => return Err(VerifierFault::UnescapedByte),
        }
    }
    Ok(decoded)
}

fn escaped_byte(high: Option<u8>, low: Option<u8>) -> Result<u8, VerifierFault> {
    let (high, low) = digit_value(high).zip(digit_value(low)).ok_or(VerifierFault::BrokenEscape)?;
    u8::try_from(high * 16 + low).map_err(|_| VerifierFault::BrokenEscape)
}

fn digit_value(byte: Option<u8>) -> Option<u32> {
    byte.and_then(|byte| char::from(byte).to_digit(16))
}
