//! Encryption of what lies in Redis, and the names under which it lies there.
//!
//! Redis is not trusted. A text opens only where it was sealed for: its purpose and name are authenticated with it. Names
//! are keyed hashes, so that they tell nothing of users.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
    hmac,
};
use zeroize::Zeroizing;

use crate::config::EncryptionKey;
use runtime::entropy::Entropy;

/// The first byte of every sealed text. Another format has another one.
const FORMAT: u8 = 1;
const SALT_BYTES: usize = 16;
const NAME_BYTES: usize = 16;

/// The name of something in Redis.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name([u8; NAME_BYTES]);

impl Name {
    /// Reads a name as it is written.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; NAME_BYTES];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| Self(bytes))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a sealed text is for. One purpose's texts do not open as another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Credential,
    Revocation,
    Replica,
    /// Names only: what is counted of a user is no secret.
    User,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Credential => b"credential",
            Self::Revocation => b"revocation",
            Self::Replica => b"replica",
            Self::User => b"user",
        }
    }
}

/// The keys derived from one configured key.
pub(super) struct Sealer {
    texts: Prk,
    names: hmac::Key,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

/// The text cannot be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library refuses to encrypt")]
pub(super) struct CannotSeal;

impl Sealer {
    /// Derives the keys (HKDF, RFC 5869). Another prefix has other keys, so that installations which share a Redis and
    /// a key do not take each other's texts.
    pub(super) fn new(key: &EncryptionKey, key_prefix: &str) -> Result<Self, CannotSeal> {
        let texts = Salt::new(HKDF_SHA256, key_prefix.as_bytes()).extract(key.bytes());
        let names = texts.expand(&[b"names"], hmac::HMAC_SHA256).map_err(|_| CannotSeal)?.into();
        Ok(Self { texts, names })
    }

    /// Returns the name of what these parts identify.
    pub(super) fn name(&self, purpose: Purpose, parts: &[&[u8]]) -> Name {
        let mut context = hmac::Context::with_key(&self.names);
        for part in [purpose.label()].iter().chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut name = [0; NAME_BYTES];
        let tag = context.sign();
        name.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        Name(name)
    }

    /// Encrypts a text for a purpose and a name.
    ///
    /// Each text has a key of its own, derived with a random salt, so that the number of texts under one key and its random
    /// nonces is no concern (NIST SP 800-38D §8.3 allows 2^32).
    pub(super) fn seal(
        &self,
        purpose: Purpose,
        name: Name,
        mut text: Zeroizing<Vec<u8>>,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, CannotSeal> {
        let (salt, random) = (entropy.bytes(), entropy.bytes());
        let (nonce, _) = random.split_first_chunk::<NONCE_LEN>().ok_or(CannotSeal)?;
        let key = self.text_key(&salt)?;
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(associated(purpose, name)),
                &mut text,
            )
            .map_err(|_| CannotSeal)?;
        Ok([&[FORMAT], &salt[..], &nonce[..], &text, tag.as_ref()].concat())
    }

    /// Decrypts a text, if it was sealed for this purpose and name.
    pub(super) fn open(&self, purpose: Purpose, name: Name, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (salt, rest) = sealed.strip_prefix(&[FORMAT])?.split_first_chunk::<SALT_BYTES>()?;
        let (nonce, encrypted) = rest.split_first_chunk::<NONCE_LEN>()?;
        let mut text = Zeroizing::new(encrypted.to_vec());
        let key = self.text_key(salt).ok()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = key.open_in_place(nonce, Aad::from(associated(purpose, name)), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }

    fn text_key(&self, salt: &[u8; SALT_BYTES]) -> Result<LessSafeKey, CannotSeal> {
        let mut key = Zeroizing::new([0; 32]);
        let info: [&[u8]; 2] = [b"text", salt];
        let derived = self.texts.expand(&info, Aes256).and_then(|okm| okm.fill(&mut key[..]));
        derived.map_err(|_| CannotSeal)?;
        UnboundKey::new(&AES_256_GCM, &key[..]).map(LessSafeKey::new).map_err(|_| CannotSeal)
    }
}

struct Aes256;

impl KeyType for Aes256 {
    fn len(&self) -> usize {
        32
    }
}

/// What is authenticated with a text. The name itself is a keyed hash of the grant's fingerprint.
fn associated(purpose: Purpose, name: Name) -> Vec<u8> {
    [&[FORMAT], purpose.label(), &name.0[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::entropy::SystemEntropy;

    fn sealer(byte: u8, prefix: &str) -> Sealer {
        Sealer::new(&EncryptionKey::for_tests(byte), prefix).unwrap()
    }

    fn sealed(sealer: &Sealer, name: Name) -> Vec<u8> {
        let text = Zeroizing::new(b"canary-secret".to_vec());
        sealer.seal(Purpose::Credential, name, text, &SystemEntropy).unwrap()
    }

    #[test]
    fn a_text_opens_only_with_its_key_name_and_purpose() {
        let ours = sealer(7, "cosbroker");
        let (alice, bob) =
            (ours.name(Purpose::Credential, &[b"alice"]), ours.name(Purpose::Credential, &[b"bob"]));
        let text = sealed(&ours, alice);
        assert_eq!(ours.open(Purpose::Credential, alice, &text).unwrap().as_slice(), b"canary-secret");
        assert!(ours.open(Purpose::Credential, bob, &text).is_none(), "copied to another user");
        assert!(ours.open(Purpose::Revocation, alice, &text).is_none(), "of another purpose");
        assert!(sealer(8, "cosbroker").open(Purpose::Credential, alice, &text).is_none(), "of another key");
        assert!(
            sealer(7, "other").open(Purpose::Credential, alice, &text).is_none(),
            "of another installation"
        );
    }

    #[test]
    fn no_changed_or_shortened_text_opens() {
        let ours = sealer(7, "cosbroker");
        let name = ours.name(Purpose::Credential, &[b"alice"]);
        let text = sealed(&ours, name);
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert!(ours.open(Purpose::Credential, name, &changed).is_none(), "byte {at}");
            assert!(ours.open(Purpose::Credential, name, &text[..at]).is_none(), "{at} bytes");
        }
    }

    #[test]
    fn neither_text_nor_name_tells_anything_and_no_text_is_sealed_twice_alike() {
        let ours = sealer(7, "cosbroker");
        let name = ours.name(Purpose::Credential, &[b"alice"]);
        let (first, second) = (sealed(&ours, name), sealed(&ours, name));
        assert_ne!(first, second);
        assert!(!first.windows(6).any(|window| window == b"canary" || window == b"secret"));
        assert_ne!(name, ours.name(Purpose::Credential, &[b"a", b"lice"]), "boundaries matter");
        assert_ne!(name, sealer(8, "cosbroker").name(Purpose::Credential, &[b"alice"]), "a keyed hash");
        assert_eq!(Name::parse(name.to_string().as_bytes()), Some(name));
    }
}
