//! A JWT before anybody vouched for it: taken apart, screened, and its claims checked against a clock.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::error::Rejection;
use crate::config::Issuer;
use diagnostics::one_line;

/// A token whose signature nobody has checked.
#[derive(Debug)]
pub(super) struct UnverifiedToken<'a> {
    pub(super) message: &'a str,
    pub(super) signature: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) typ: Option<String>,
    pub(super) claims: Map<String, Value>,
}

/// The longest header worth reading.
const LONGEST_HEADER: usize = 4096;
/// The longest `kid`.
const LONGEST_KID: usize = 256;

/// 9999-12-31T23:59:59Z.
const LAST_SECOND: i64 = 253_402_300_799;

/// Headers that bring a key of their own, change what is signed, or must be understood and are not
/// (RFC 7515 §4.1, RFC 7797, RFC 8725 §3.10).
const REFUSED_HEADERS: [&str; 8] = ["crit", "jku", "jwk", "x5u", "x5c", "zip", "b64", "enc"];

impl<'a> UnverifiedToken<'a> {
    /// Takes a token apart.
    pub(super) fn parse(token: &'a str) -> Result<Self, Rejection> {
        let (message, signature) = token.rsplit_once('.').ok_or(Rejection::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Rejection::Malformed)?;
        if payload.contains('.') || header.len() > LONGEST_HEADER {
            return Err(Rejection::Malformed);
        }
        let header = object(header)?;
        if REFUSED_HEADERS.iter().any(|name| header.contains_key(*name)) {
            return Err(Rejection::RefusedHeader);
        }
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= LONGEST_KID => Ok(Some(text.clone())),
            Some(_) => Err(Rejection::Malformed),
        };
        let algorithm = text("alg")?.and_then(|name| name.parse().ok()).ok_or(Rejection::Algorithm)?;
        Ok(Self {
            message,
            signature,
            algorithm,
            kid: text("kid")?,
            typ: text("typ")?,
            claims: object(payload)?,
        })
    }

    /// The issuer it names.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// Until when its claims hold for this issuer's rules, leeway included.
    pub(super) fn valid_until(&self, issuer: &Issuer, now: Timestamp) -> Result<Timestamp, Rejection> {
        if let Some(wanted) = &issuer.required_typ
            && !self.typ.as_deref().is_some_and(|typ| same_type(typ, wanted))
        {
            return Err(Rejection::Type);
        }
        if self.issuer() != Some(issuer.issuer.as_str()) {
            return Err(Rejection::Issuer);
        }
        let ours = |audience: &str| issuer.audience.iter().any(|one| one == audience);
        let meant_for_us = match self.claims.get("aud") {
            Some(Value::String(one)) => ours(one),
            Some(Value::Array(many)) => {
                many.iter().all(Value::is_string) && many.iter().filter_map(Value::as_str).any(ours)
            }
            _ => false,
        };
        if !meant_for_us {
            let named = one_line(&self.claims.get("aud").map(ToString::to_string).unwrap_or_default());
            tracing::info!(aud = named, configured = ?issuer.audience, "a token for another audience");
            return Err(Rejection::Audience);
        }
        let leeway = issuer.leeway;
        let until = self.time("exp")?.ok_or(Rejection::Expiry)?.saturating_add(leeway);
        let until = until.map_err(|_| Rejection::Expiry)?;
        if until <= now {
            return Err(Rejection::Expired);
        }
        if let Some(start) = self.time("nbf")? {
            let earliest = start.saturating_sub(leeway).map_err(|_| Rejection::Malformed)?;
            if now < earliest {
                return Err(Rejection::NotYetValid);
            }
        }
        Ok(until)
    }

    /// A NumericDate (RFC 7519 §2), which may have a fraction.
    fn time(&self, name: &str) -> Result<Option<Timestamp>, Rejection> {
        let Some(value) = self.claims.get(name) else {
            return Ok(None);
        };
        let wrong = || {
            if name == "exp" { Rejection::Expiry } else { Rejection::Malformed }
        };
        let seconds = value.as_i64().or_else(|| value.as_f64().and_then(whole_seconds)).ok_or_else(wrong)?;
        // The last second of the year 9999 is how some issuers write "never".
        let seconds = if seconds <= LAST_SECOND { seconds.min(Timestamp::MAX.as_second()) } else { seconds };
        Timestamp::from_second(seconds).map(Some).map_err(|_| wrong())
    }
}

fn whole_seconds(seconds: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked, the fraction is meant to go")]
    (0.0..253_402_300_800.0).contains(&seconds).then_some(seconds as i64)
}

/// RFC 7515 §4.1.9: media types compare without case, `application/` may be left out.
fn same_type(typ: &str, wanted: &str) -> bool {
    let bare = |text: &str| {
        let lower = text.to_ascii_lowercase();
        lower.strip_prefix("application/").map(str::to_owned).unwrap_or(lower)
    };
    bare(typ) == bare(wanted)
}

/// A base64url part as a JSON object; padding, stray bits, duplicates and anything else are refused.
fn object(part: &str) -> Result<Map<String, Value>, Rejection> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Rejection::Malformed)?;
    match strict_json::strict(&bytes) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Rejection::Malformed),
    }
}
