//! Hashes that identify principals, grants and sets of templates.

use std::fmt;

use sha2::{Digest, Sha256};

/// A SHA-256 hash of a list of parts. Equal fingerprints mean equal parts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// The short form of a fingerprint: 16 letters (64 bits), valid where only letters are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShortId([u8; 16]);

impl Fingerprint {
    /// Hashes parts. Each is preceded by its length, so that `ab` + `c` differs from `a` + `bc`.
    pub fn of<P: AsRef<[u8]>>(parts: &[P]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.as_ref().len() as u64).to_be_bytes());
            hash.update(part.as_ref());
        }
        Self(hash.finalize().into())
    }

    /// Returns the bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the fingerprint with these bytes, which may come from another process.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the first 64 bits. Of a million fingerprints, two have the same once in 37 million times.
    pub fn first_bits(self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// Returns the first 64 bits, one letter for every four.
    pub fn short(self) -> ShortId {
        let mut letters = [b'a'; 16];
        for (pair, byte) in letters.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[b'a' + (byte >> 4), b'a' + (byte & 15)]);
        }
        ShortId(letters)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({})", self.short())
    }
}

impl ShortId {
    /// Returns the letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boundaries_of_parts_matter() {
        assert_ne!(Fingerprint::of(&["ab", "c"]), Fingerprint::of(&["a", "bc"]));
        assert_ne!(Fingerprint::of(&["a"]), Fingerprint::of(&["a", ""]));
    }

    #[test]
    fn the_short_form_is_sixteen_lower_case_letters() {
        let id = Fingerprint::of(&["x"]).short().to_string();
        assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_lowercase()), "{id}");
    }
}
