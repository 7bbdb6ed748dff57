//! A JWT whose signature is not verified: parsed and screened. What it must say is decided in `checks`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::error::Rejection;
use crate::config::parse_algorithm;

/// A token whose signature is not verified.
#[derive(Debug)]
pub(super) struct UnverifiedToken<'a> {
    pub(super) message: &'a str,
    pub(super) signature: &'a str,
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
}

/// The limit for the base64url header. A certificate chain in `x5c` takes a few kilobytes.
const MAX_HEADER_BYTES: usize = 12 * 1024;

/// The Unix time of 9999-12-31T23:59:59Z, which some issuers write for "never".
pub(super) const END_OF_YEAR_9999: i64 = 253_402_300_799;

/// Header members that change what is signed, or must be understood and are not (RFC 7515 §4.1, RFC 7797,
/// RFC 8725 §3.10).
const REFUSED_HEADERS: [&str; 4] = ["crit", "zip", "b64", "enc"];

/// Header members that bring a key or say where one is (RFC 7515 §4.1).
const KEY_HEADERS: [&str; 4] = ["jku", "jwk", "x5u", "x5c"];

impl<'a> UnverifiedToken<'a> {
    /// Parses a token, and refuses headers that change how it must be read.
    pub(super) fn parse(token: &'a str) -> Result<Self, Rejection> {
        let (message, signature) = token.rsplit_once('.').ok_or(Rejection::Opaque)?;
        let (header, payload) = message.split_once('.').ok_or(Rejection::Malformed)?;
        if payload.contains('.') {
            let parts = token.split('.').count();
            return Err(if parts == 5 { Rejection::Encrypted } else { Rejection::Malformed });
        }
        if [header, payload, signature].iter().any(|part| part.ends_with('=')) {
            return Err(Rejection::Padded);
        }
        if header.len() > MAX_HEADER_BYTES {
            return Err(Rejection::Malformed);
        }
        let token = Self { message, signature, header: object(header)?, claims: object(payload)? };
        if REFUSED_HEADERS.iter().any(|name| token.header.contains_key(*name)) {
            return Err(Rejection::RefusedHeader);
        }
        for name in ["alg", "kid", "typ"] {
            if !matches!(token.header.get(name), None | Some(Value::Null | Value::String(_))) {
                return Err(Rejection::Malformed);
            }
        }
        Ok(token)
    }

    /// Returns the algorithm, if it is a known one.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        parse_algorithm(self.header_text("alg")?)
    }

    /// Returns the id of the key that signed it. A null is none.
    pub(super) fn kid(&self) -> Option<&str> {
        self.header_text("kid")
    }

    /// Returns a member of the header, if it is a text.
    pub(super) fn header_text(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }

    /// Returns the first member of the header that brings a key.
    pub(super) fn key_header(&self) -> Option<&'static str> {
        KEY_HEADERS.into_iter().find(|name| self.header.contains_key(*name))
    }

    /// Returns a claim. A null is none, because such a claim says nothing.
    pub(super) fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name).filter(|value| !value.is_null())
    }

    /// Reads a NumericDate (RFC 7519 §2), which may have a fraction.
    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, InvalidTime> {
        let Some(value) = self.claim(name) else { return Ok(None) };
        let seconds = value.as_i64().or_else(|| value.as_f64().and_then(whole_seconds)).ok_or(InvalidTime)?;
        let seconds =
            if seconds <= END_OF_YEAR_9999 { seconds.min(Timestamp::MAX.as_second()) } else { seconds };
        Timestamp::from_second(seconds).map(Some).map_err(|_| InvalidTime)
    }
}

/// The error for a claim that is not a NumericDate.
#[derive(Debug)]
pub(super) struct InvalidTime;

fn whole_seconds(seconds: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked, the fraction is meant to go")]
    (0.0..253_402_300_800.0).contains(&seconds).then_some(seconds as i64)
}

/// Decodes a base64url part into a JSON object. Refuses padding, stray bits and duplicate names. A text that is no
/// Unicode, because half of a surrogate pair is missing, becomes null.
fn object(part: &str) -> Result<Map<String, Value>, Rejection> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Rejection::Malformed)?;
    match strict_json::from_slice_of_any_utf16(&bytes) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Rejection::Malformed),
    }
}
