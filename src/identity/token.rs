//! A JWT whose signature is not verified: parsed, screened, and its claims checked against the time.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::error::Rejection;
use crate::config::{Issuer, parse_algorithm};
use diagnostics::to_single_line;

/// A token whose signature is not verified.
#[derive(Debug)]
pub(super) struct UnverifiedToken<'a> {
    pub(super) message: &'a str,
    pub(super) signature: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) typ: Option<String>,
    pub(super) claims: Map<String, Value>,
}

/// The limit for the base64url header. Headers of known issuers have a few hundred bytes.
const MAX_HEADER_BYTES: usize = 4096;

/// The limit for a text in the header, such as `kid`.
const MAX_HEADER_TEXT_BYTES: usize = 256;

/// The Unix time of 9999-12-31T23:59:59Z, which some issuers write for "never".
const END_OF_YEAR_9999: i64 = 253_402_300_799;

/// Header members that bring a key, change what is signed, or must be understood and are not (RFC 7515 §4.1, RFC 7797, RFC 8725 §3.10).
const REFUSED_HEADERS: [&str; 8] = ["crit", "jku", "jwk", "x5u", "x5c", "zip", "b64", "enc"];

impl<'a> UnverifiedToken<'a> {
    /// Parses a token and refuses dangerous headers.
    pub(super) fn parse(token: &'a str) -> Result<Self, Rejection> {
        let (message, signature) = token.rsplit_once('.').ok_or(Rejection::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Rejection::Malformed)?;
        if payload.contains('.') || header.len() > MAX_HEADER_BYTES {
            return Err(Rejection::Malformed);
        }
        let header = object(header)?;
        if REFUSED_HEADERS.iter().any(|name| header.contains_key(*name)) {
            return Err(Rejection::RefusedHeader);
        }
        let algorithm = header_text(&header, "alg")?.as_deref().and_then(parse_algorithm);
        Ok(Self {
            message,
            signature,
            algorithm: algorithm.ok_or(Rejection::Algorithm)?,
            kid: header_text(&header, "kid")?,
            typ: header_text(&header, "typ")?,
            claims: object(payload)?,
        })
    }

    /// Returns the claim `iss`, if it is a text.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// Checks the claims against an issuer's rules, and returns when the token expires, leeway included.
    pub(super) fn check_claims(&self, issuer: &Issuer, now: Timestamp) -> Result<Timestamp, Rejection> {
        if let Some(required) = &issuer.required_typ
            && self.typ.as_deref().is_none_or(|typ| media_type(typ) != media_type(required))
        {
            return Err(Rejection::Type);
        }
        if self.issuer() != Some(issuer.issuer.as_str()) {
            return Err(Rejection::Issuer);
        }
        if !self.is_for_audience(&issuer.audience) {
            let aud = to_single_line(&self.claims.get("aud").map(ToString::to_string).unwrap_or_default());
            tracing::info!(aud, configured = ?issuer.audience, "rejected a token for another audience");
            return Err(Rejection::Audience);
        }
        let leeway = issuer.leeway;
        let exp = self.time("exp").map_err(|InvalidTime| Rejection::Expiry)?.ok_or(Rejection::Expiry)?;
        let until = exp.saturating_add(leeway).map_err(|_| Rejection::Expiry)?;
        if until <= now {
            return Err(Rejection::Expired);
        }
        if let Some(nbf) = self.time("nbf").map_err(|InvalidTime| Rejection::Malformed)? {
            let earliest = nbf.saturating_sub(leeway).map_err(|_| Rejection::Malformed)?;
            if now < earliest {
                return Err(Rejection::NotYetValid);
            }
        }
        Ok(until)
    }

    fn is_for_audience(&self, configured: &[String]) -> bool {
        match self.claims.get("aud") {
            Some(Value::String(aud)) => configured.contains(aud),
            Some(Value::Array(list)) => {
                list.iter().all(Value::is_string)
                    && list
                        .iter()
                        .filter_map(Value::as_str)
                        .any(|aud| configured.iter().any(|one| one == aud))
            }
            _ => false,
        }
    }

    /// Reads a NumericDate (RFC 7519 §2), which may have a fraction.
    fn time(&self, name: &str) -> Result<Option<Timestamp>, InvalidTime> {
        let Some(value) = self.claims.get(name) else {
            return Ok(None);
        };
        let seconds = value.as_i64().or_else(|| value.as_f64().and_then(whole_seconds)).ok_or(InvalidTime)?;
        let seconds =
            if seconds <= END_OF_YEAR_9999 { seconds.min(Timestamp::MAX.as_second()) } else { seconds };
        Timestamp::from_second(seconds).map(Some).map_err(|_| InvalidTime)
    }
}

/// The error for a claim that is not a NumericDate.
struct InvalidTime;

fn header_text(header: &Map<String, Value>, name: &str) -> Result<Option<String>, Rejection> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= MAX_HEADER_TEXT_BYTES => Ok(Some(text.clone())),
        Some(_) => Err(Rejection::Malformed),
    }
}

fn whole_seconds(seconds: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked, the fraction is meant to go")]
    (0.0..253_402_300_800.0).contains(&seconds).then_some(seconds as i64)
}

/// Returns a `typ` in its comparable form: without case and without `application/` (RFC 7515 §4.1.9).
fn media_type(typ: &str) -> String {
    let lower = typ.to_ascii_lowercase();
    lower.strip_prefix("application/").map(str::to_owned).unwrap_or(lower)
}

/// Decodes a base64url part into a JSON object. Refuses padding, stray bits and duplicate names.
fn object(part: &str) -> Result<Map<String, Value>, Rejection> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Rejection::Malformed)?;
    match strict_json::from_slice(&bytes) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Rejection::Malformed),
    }
}
