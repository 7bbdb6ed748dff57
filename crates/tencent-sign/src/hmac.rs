//! HMAC with SHA-1 and SHA-256 (RFC 2104).

use hmac::{Hmac, KeyInit, Mac, digest::array::Array};
use sha1::Sha1;
use sha2::Sha256;

/// Returns the HMAC-SHA1 of a message.
pub(crate) fn hmac_sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    // HMAC takes a key of any length (RFC 2104 §2), so the fallback is never used.
    let mac = Hmac::<Sha1>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Array::default()));
    mac.chain_update(message).finalize().into_bytes().into()
}

/// Returns the HMAC-SHA256 of a message.
pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    // HMAC takes a key of any length (RFC 2104 §2), so the fallback is never used.
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Array::default()));
    mac.chain_update(message).finalize().into_bytes().into()
}
