//! Which texts are no secret for HMAC signatures: what others know, and what they guess first.

/// RFC 7518 §3.2: an HMAC key must be at least as long as the hash it keys.
const MIN_HMAC_SECRET_BYTES: usize = 32;
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
    #[error("the HMAC secret is a key or certificate in PEM, which may be public (RFC 8725 §2.1)")]
    Pem,
    #[error("the HMAC secret is JSON, such as a key set, which may be public (RFC 8725 §2.1)")]
    Json,
    #[error("the HMAC secret is a short text that is repeated")]
    Repeated,
    #[error("the HMAC secret is an example or a placeholder, which everybody knows")]
    Known,
}

/// Checks that a text is none that others know or guess.
pub(super) fn check_hmac_secret(secret: &[u8]) -> Result<(), WeakHmacSecret> {
    if secret.len() < MIN_HMAC_SECRET_BYTES {
        Err(WeakHmacSecret::Short(secret.len()))
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

fn is_json(secret: &[u8]) -> bool {
    matches!(secret.trim_ascii_start().first(), Some(b'{' | b'['))
        && serde_json::from_slice::<serde::de::IgnoredAny>(secret).is_ok()
}

fn is_repeated(secret: &[u8]) -> bool {
    (1..=MAX_REPEATED_BYTES).any(|length| secret.iter().zip(secret.iter().skip(length)).all(|(a, b)| a == b))
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
            assert_eq!(check_hmac_secret(secret.as_bytes()), Err(expected), "{secret}");
        }
    }

    proptest! {
        #[test]
        fn a_random_secret_is_taken(base64 in "[A-Za-z0-9+/]{43}=", hex in "[0-9a-f]{64}", bytes in any::<[u8; 32]>()) {
            for secret in [base64.as_bytes(), hex.as_bytes(), &bytes] {
                prop_assert_eq!(check_hmac_secret(secret), Ok(()));
            }
        }
    }
}
