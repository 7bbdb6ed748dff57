//! Percent-encoding, written again for the verifier.

use super::VerifierFault;

/// Encodes everything but the unreserved characters of RFC 3986.
pub(super) fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            _ => encoded.extend(["%".to_owned(), format!("{byte:02X}")]),
        }
        encoded
    })
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
    let (high, low) = hex_digit(high).zip(hex_digit(low)).ok_or(VerifierFault::BrokenEscape)?;
    u8::try_from(high * 16 + low).map_err(|_| VerifierFault::BrokenEscape)
}

fn hex_digit(byte: Option<u8>) -> Option<u32> {
    byte.and_then(|byte| char::from(byte).to_digit(16))
}
