//! Percent-encoding, written again for the verifier.

use super::VerifierFault;

const HEX_DIGITS: [u8; 16] = *b"0123456789ABCDEF";

/// For each byte, whether it is one of the unreserved characters of RFC 3986 (section 2.3), which stay as they are.
const UNRESERVED: [bool; 256] = unreserved();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would stop")]
const fn unreserved() -> [bool; 256] {
    let characters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    let mut table = [false; 256];
    let mut index = 0;
    while index < characters.len() {
        table[characters[index] as usize] = true;
        index += 1;
    }
    table
}

/// Encodes everything but the unreserved characters.
pub(super) fn percent_encode(text: &str) -> String {
    let mut encoded = Vec::with_capacity(text.len() * 2);
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let (unreserved, reserved) = split_at_reserved(rest);
        encoded.extend_from_slice(unreserved);
        rest = match reserved.split_first() {
            Some((byte, next)) => {
                encoded.extend_from_slice(&[b'%', hex_digit(byte >> 4), hex_digit(byte & 0xf)]);
                next
            }
            None => reserved,
        };
    }
    // It is ASCII.
    String::from_utf8(encoded).unwrap_or_default()
}

/// Splits before the first byte that is reserved.
fn split_at_reserved(bytes: &[u8]) -> (&[u8], &[u8]) {
    let is_reserved = |byte: &u8| !UNRESERVED.get(usize::from(*byte)).copied().unwrap_or_default();
    bytes.split_at(bytes.iter().position(is_reserved).unwrap_or(bytes.len()))
}

/// Returns the upper-case digit of half a byte.
fn hex_digit(half: u8) -> u8 {
    HEX_DIGITS.get(usize::from(half)).copied().unwrap_or(b'0')
}

/// Decodes once. Refuses every byte that an encoder should have escaped.
pub(super) fn decode(wire: &str) -> Result<Vec<u8>, VerifierFault> {
    let mut decoded = Vec::with_capacity(wire.len());
    let mut rest = wire.as_bytes();
    while !rest.is_empty() {
        let (unreserved, escape) = split_at_reserved(rest);
        decoded.extend_from_slice(unreserved);
        rest = match escape {
            [b'%', high, low, next @ ..] => {
                decoded.push(escaped_byte(*high, *low).ok_or(VerifierFault::BrokenEscape)?);
                next
            }
            [b'%', ..] => return Err(VerifierFault::BrokenEscape),
            [_, ..] => return Err(VerifierFault::UnescapedByte),
            [] => escape,
        };
    }
    Ok(decoded)
}

fn escaped_byte(high: u8, low: u8) -> Option<u8> {
    let (high, low) = char::from(high).to_digit(16).zip(char::from(low).to_digit(16))?;
    u8::try_from(high * 16 + low).ok()
}
