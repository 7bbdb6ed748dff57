//! HMAC secrets: how they are written, and which are none, because others know them or guess them first.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::Deserialize;
use zeroize::Zeroizing;

/// Decoders that take base64 with and without padding, and with stray bits at the end, as Java's do: the secret is
/// what the issuer makes of the same text.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// How a secret is written in its file or variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SecretEncoding {
    /// The text's bytes are the secret.
    #[default]
    Text,
    /// Base64 (RFC 4648 §4), as jjwt, Spring and `JHipster` decode their secrets.
    Base64,
    /// Base64url (RFC 4648 §5).
    Base64url,
    /// Hexadecimal.
    Hex,
    /// The bytes of the file, its line breaks included.
    Raw,
}

impl SecretEncoding {
    /// Returns the secret that a text encodes.
    ///
    /// # Errors
    /// When the text is not in this encoding. The error does not repeat the text.
    pub(super) fn decode(self, text: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotInEncoding> {
        let decoded = match self {
            Self::Text | Self::Raw => Some(text.to_vec()),
            Self::Base64 => BASE64.decode(text).ok(),
            Self::Base64url => BASE64_URL.decode(text).ok(),
            Self::Hex => hex::decode(text).ok(),
        };
        decoded.map(Zeroizing::new).ok_or(NotInEncoding)
    }
}

/// The secret is not in its declared encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the HMAC secret is not in the encoding that secret_encoding names")]
pub(super) struct NotInEncoding;

/// The floor for secrets that an operator accepts although they are short: below it, all texts can be tried.
pub(super) const MIN_SHORT_SECRET_BYTES: usize = 16;

/// RFC 7518 §3.2: an HMAC key must be at least as long as the hash it keys.
pub(super) const MIN_HMAC_SECRET_BYTES: usize = 32;
/// A secret that repeats a text of at most this length is as weak as that text.
const MAX_REPEATED_BYTES: usize = 16;

/// Words of placeholders, as they stand without spaces and punctuation. No random secret holds one.
const PLACEHOLDER_WORDS: [&str; 9] = [
    "bitsecret",
    "bitslong",
    "bytessecret",
    "changeme",
    "changethis",
    "djangoinsecure",
    "replaceme",
    "supersecret",
    "yoursecret",
];

/// Secrets that are published, and long enough otherwise.
const PUBLISHED_SECRETS: [&str; 4] = [
    // RFC 7515 §A.1.1.
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    // The keys of the most copied tutorials for Spring Boot.
    "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
    "5367566B59703373367639792F423F4528482B4D6251655468576D5A71347437",
    // RFC 7520 §3.5.
    "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",
];

/// Why a text is not taken as an HMAC secret. It says nothing of what the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum WeakHmacSecret {
    #[error("the HMAC secret has {0} bytes, fewer than {MIN_HMAC_SECRET_BYTES} (RFC 7518 §3.2)")]
    Short(usize),
    #[error("the HMAC secret has {0} bytes, and fewer than {MIN_SHORT_SECRET_BYTES} are never accepted")]
    TooShort(usize),
    #[error("the HMAC secret is a key or certificate in PEM, which may be public (RFC 8725 §2.1)")]
    Pem,
    #[error("the HMAC secret is JSON, such as a key set, which may be public (RFC 8725 §2.1)")]
    Json,
    #[error("the HMAC secret is a short text that is repeated")]
    Repeated,
    #[error("the HMAC secret is an example or a placeholder, which everybody knows")]
    Known,
}

impl WeakHmacSecret {
    /// Returns what the operator can do.
    pub(super) fn help(self) -> &'static str {
        match self {
            Self::Short(_) => {
                "use a random one, such as from `openssl rand -base64 48`; if it cannot be changed today, allow_short_secret = true takes one of at least 16 bytes, with a warning"
            }
            _ => "use a random one, such as from `openssl rand -base64 48`",
        }
    }
}

/// Checks that a text is none that others know or guess.
pub(super) fn check_hmac_secret(secret: &[u8], allow_short: bool) -> Result<(), WeakHmacSecret> {
    if secret.len() < MIN_HMAC_SECRET_BYTES && !allow_short {
        Err(WeakHmacSecret::Short(secret.len()))
    } else if secret.len() < MIN_SHORT_SECRET_BYTES {
        Err(WeakHmacSecret::TooShort(secret.len()))
    } else if contains(secret, b"-----BEGIN") {
        Err(WeakHmacSecret::Pem)
    } else if is_json(secret) {
        Err(WeakHmacSecret::Json)
    } else if is_repeated(secret) {
        Err(WeakHmacSecret::Repeated)
    } else if is_known(secret) {
        Err(WeakHmacSecret::Known)
    } else {
        Ok(())
    }
}

/// Checks that what encodes a secret is no published text: the tutorials' secrets are texts that are decoded.
pub(super) fn check_written_secret(written: &[u8]) -> Result<(), WeakHmacSecret> {
    if is_known(written.trim_ascii()) { Err(WeakHmacSecret::Known) } else { Ok(()) }
}

fn is_json(secret: &[u8]) -> bool {
    matches!(secret.trim_ascii_start().first(), Some(b'{' | b'['))
        && serde_json::from_slice::<serde::de::IgnoredAny>(secret).is_ok()
}

fn is_repeated(secret: &[u8]) -> bool {
    let max_length = MAX_REPEATED_BYTES.min(secret.len() / 2);
    (1..=max_length).any(|length| secret.iter().zip(secret.iter().skip(length)).all(|(a, b)| a == b))
}

fn is_known(secret: &[u8]) -> bool {
    let letters: Vec<u8> =
        secret.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect();
    PUBLISHED_SECRETS.iter().any(|known| known.as_bytes() == secret)
        || PLACEHOLDER_WORDS.iter().any(|word| contains(&letters, word.as_bytes()))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_others_know_or_guess_is_no_secret() {
        use WeakHmacSecret::{Json, Known, Pem, Repeated, Short};
        for (secret, expected) in [
            ("secret", Short(6)),
            ("your-256-bit-secret", Short(19)),
            ("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZI\n-----END PUBLIC KEY-----", Pem),
            ("\u{feff}-----BEGIN CERTIFICATE-----\nMFkwEwYHKoZIzj0CAQYIKoZI", Pem),
            (r#" {"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0"}]}"#, Json),
            (r#"["0123456789abcdef0123456789abcdefgh"]"#, Json),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", Repeated),
            ("secretsecretsecretsecretsecretsecre", Repeated),
            ("0123456789abcdef0123456789abcdef", Repeated),
            ("a-string-secret-at-least-256-bits-long", Known),
            ("a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long", Known),
            ("this-is-your-secret-of-thirty-two-bytes", Known),
            ("Change_Me: a long secret of this service", Known),
            ("django-insecure-x7w!k2m#9v$q4z&8b*3n(5c)1", Known),
            (PUBLISHED_SECRETS[0], Known),
        ] {
            assert_eq!(check_hmac_secret(secret.as_bytes(), false), Err(expected), "{secret}");
        }
    }

    #[test]
    fn a_short_secret_is_taken_only_if_the_operator_says_so_and_never_below_the_floor() {
        use WeakHmacSecret::{Repeated, Short, TooShort};
        let short = b"q8Zt0vX2mR5nK7pL3wY9aB1c6D";
        assert_eq!(check_hmac_secret(short, false), Err(Short(26)));
        assert_eq!(check_hmac_secret(short, true), Ok(()));
        assert_eq!(check_hmac_secret(&short[..16], true), Ok(()));
        assert_eq!(check_hmac_secret(&short[..15], true), Err(TooShort(15)));
        assert_eq!(check_hmac_secret(b"aaaaaaaaaaaaaaaaaaaa", true), Err(Repeated));
    }

    #[test]
    fn a_secret_is_decoded_as_its_issuer_decodes_it() {
        use SecretEncoding::{Base64, Base64url, Hex, Raw, Text};
        // RFC 4648 §10, and texts that Java's decoders take.
        for (encoding, text, secret) in [
            (Text, "Zm9vYmE=", "Zm9vYmE="),
            (Base64, "Zm9vYmE=", "fooba"),
            (Base64, "Zm9vYmE", "fooba"),
            (Base64, "Zm9vYmF", "fooba"),
            (Base64url, "Pz8_", "???"),
            (Hex, "666f6F", "foo"),
            (Raw, "a\n", "a\n"),
        ] {
            assert_eq!(encoding.decode(text.as_bytes()).unwrap().as_slice(), secret.as_bytes(), "{text}");
        }
        for (encoding, text) in
            [(Base64, "a-_b"), (Base64url, "a+/b"), (Hex, "0"), (Hex, "xy"), (Base64, "not base64")]
        {
            let error = encoding.decode(text.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_published_secret_is_known_however_it_is_encoded() {
        for known in PUBLISHED_SECRETS {
            for written in [known.to_owned(), format!("{known}\n")] {
                assert_eq!(check_written_secret(written.as_bytes()), Err(WeakHmacSecret::Known), "{written}");
            }
        }
        assert_eq!(check_written_secret(b"q8Zt0vX2mR5nK7pL3wY9aB1c6DeF4gHi"), Ok(()));
    }

    proptest! {
        #[test]
        fn a_random_secret_is_taken(base64 in "[A-Za-z0-9+/]{43}=", hex in "[0-9a-f]{64}", bytes in any::<[u8; 32]>()) {
            for secret in [base64.as_bytes(), hex.as_bytes(), &bytes] {
                prop_assert_eq!(check_hmac_secret(secret, false), Ok(()));
            }
        }
    }
}
