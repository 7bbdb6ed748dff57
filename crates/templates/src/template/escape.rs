//! The filter `escape`, which writes every text into a key: a plain text as it is, any other one with escapes.
//!
//! A byte that is not plain becomes `!` and its two hexadecimal digits: `auth0|12` is written `auth0!7C12`. COS names
//! `!` among the characters with which keys are the most compatible (docs 436/13324). In a policy it is no wildcard,
//! as `*` and `?` are, and begins no variable, as `$` does. URL decoding leaves it alone, unlike `%` and `+`, and the
//! vendor's SDKs write it as `%21` in URLs and signatures. No bare value and no output of another filter has it.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The maximum length of a value that is written as it is or with escapes. It is the same for both, so that a
/// template keeps its size when it changes to `escape`.
pub(super) const MAX_PLAIN_BYTES: usize = 128;

/// What begins the output for a longer text. An escape never begins so, because `s` is no hexadecimal digit.
const HASH_TAG: &str = "!sha256_";

/// Writes a text. If that takes more than [`MAX_PLAIN_BYTES`], returns the tag and the text's SHA-256.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut previous = None;
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if is_plain_between(previous, byte, bytes.peek().copied()) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string never fails.
            let _ = write!(escaped, "!{byte:02X}");
        }
        previous = Some(byte);
    }
    if escaped.len() <= MAX_PLAIN_BYTES {
        return escaped;
    }
    format!("{HASH_TAG}{}", hex::encode(Sha256::digest(text)))
}

/// Whether some text is written as `output`.
pub(super) fn is_output(output: &str) -> bool {
    output.strip_prefix(HASH_TAG).is_some_and(|hash| hash.len() == 64) || unescape(output).is_some()
}

/// Returns the text that is written as `output`. `None` if there is none, or if the output is a hash.
pub(super) fn unescape(output: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(output.len());
    let mut rest = output.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'!' { escaped_byte(rest.next()?, rest.next()?)? } else { byte });
    }
    let text = String::from_utf8(bytes).ok()?;
    // Each text has one output; this rules out escapes that are not needed, and digits in lower case.
    (!text.is_empty() && escape(&text) == output).then_some(text)
}

fn escaped_byte(high: u8, low: u8) -> Option<u8> {
    let digits = [high, low];
    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()
}

/// Whether a byte can stand for itself, so that no reading of a key changes it: a letter or digit; `-` and `_`
/// except at the beginning, where `_` begins the tag of a filter; a dot inside and alone, so that no segment is
/// `.` or `..`.
pub(super) fn is_plain_between(previous: Option<u8>, byte: u8, next: Option<u8>) -> bool {
    match byte {
        b'-' | b'_' => previous.is_some(),
        b'.' => next.is_some() && previous.is_some_and(|previous| previous != b'.'),
        _ => byte.is_ascii_alphanumeric(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plain_text_stays_and_every_other_one_is_readable() {
        for (text, output) in [
            ("alice", "alice"),
            ("alice_b", "alice_b"),
            ("a.b-c_", "a.b-c_"),
            ("V1StGXR8_Z5jdHi6B-myT", "V1StGXR8_Z5jdHi6B-myT"),
            ("-V1St", "!2DV1St"),
            ("_b64_YQ", "!5Fb64_YQ"),
            ("auth0|12", "auth0!7C12"),
            ("alice@example.com", "alice!40example.com"),
            ("auth0!7C12", "auth0!217C12"),
            (".", "!2E"),
            ("..", "!2E!2E"),
            ("a..b", "a.!2Eb"),
            ("a.", "a!2E"),
            ("../bob", "!2E!2E!2Fbob"),
            ("a/b", "a!2Fb"),
            ("*", "!2A"),
            ("用户", "!E7!94!A8!E6!88!B7"),
            ("a\u{0}b", "a!00b"),
        ] {
            assert_eq!(escape(text), output);
            assert_eq!(unescape(output).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_text_that_would_be_too_long_is_hashed() {
        assert_eq!(escape(&"a".repeat(MAX_PLAIN_BYTES)), "a".repeat(MAX_PLAIN_BYTES));
        for text in ["a".repeat(MAX_PLAIN_BYTES + 1), "|".repeat(43), "x".repeat(100_000)] {
            let output = escape(&text);
            assert_eq!(output, format!("!sha256_{}", hex::encode(Sha256::digest(&text))));
            assert!(is_output(&output) && unescape(&output).is_none());
        }
        assert!(escape("!sha256_").starts_with("!21"), "no text is written like a hash");
    }

    #[test]
    fn an_output_has_one_spelling() {
        for text in [
            "", "!7c", "!41", "a!7", "a!", "!zz", "a.!2E.b", "!FF", "a|b", ".a", "a.", "-a", "_a", "!+1",
            "!sha256_",
        ] {
            assert!(!is_output(text), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn every_text_has_an_output_of_its_own_in_a_harmless_alphabet(
            text in prop_oneof!["\\PC{1,40}", "[a-c._!|-]{1,12}", any::<String>().prop_filter("not empty", |text| !text.is_empty())],
        ) {
            let output = escape(&text);
            prop_assert!(output.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-!".contains(&byte)));
            prop_assert!(!output.starts_with(['.', '-', '_']) && !output.ends_with('.') && !output.contains(".."));
            prop_assert!(!output.is_empty() && output.len() <= MAX_PLAIN_BYTES);
            prop_assert!(is_output(&output));
            prop_assert_eq!(unescape(&output).is_none(), output.starts_with(HASH_TAG));
            if let Some(back) = unescape(&output) {
                prop_assert_eq!(back, text);
            }
        }
    }
}
