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
    for byte in text.bytes() {
        if is_unreserved(byte) {
            encoded.push(byte);
        } else {
            encoded.extend_from_slice(&[b'%', hex_digit(byte >> 4), hex_digit(byte & 0xf)]);
        }
    }
    // It is ASCII.
    String::from_utf8(encoded).unwrap_or_default()
}

fn is_unreserved(byte: u8) -> bool {
    UNRESERVED.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Returns the upper-case digit of half a byte.
fn hex_digit(half: u8) -> u8 {
    HEX_DIGITS.get(usize::from(half)).copied().unwrap_or(b'0')
}

/// Decodes once. Refuses every byte that an encoder should have escaped.
pub(super) fn decode(wire: &str) -> Result<Vec<u8>, VerifierFault> {
    let mut decoded = Vec::with_capacity(wire.len());
    let mut bytes = wire.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => escaped_byte(bytes.next(), bytes.next()).ok_or(VerifierFault::BrokenEscape)?,
            _ if is_unreserved(byte) => byte,
            _ => return Err(VerifierFault::UnescapedByte),
        });
    }
    Ok(decoded)
}

fn escaped_byte(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    u8::try_from(digit(high?)? * 16 + digit(low?)?).ok()
}

fn digit(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(16)
}
