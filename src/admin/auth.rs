//! Who may come in to the operators' listener: programs with the token, and browsers that were shown it.
//!
//! Knows the token and the time. A browser is given a cookie that says until when, signed with the token: it
//! opens nothing else, outlives a restart, and ends when the token is changed.

use std::{net::IpAddr, time::Duration};

use actix_web::{
    cookie::{Cookie, SameSite, time},
    http::{
        header::{self, HeaderMap},
        uri::Authority,
    },
};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// How long a browser stays let in: a working day, and a night on call.
const SESSION: Duration = Duration::from_hours(12);
/// The cookie's name.
pub(super) const COOKIE: &str = "cosbroker_operators";

/// The way in.
#[derive(Debug)]
pub(super) struct AdminAuth {
    token: Option<SecretString>,
}

/// Why somebody stays outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outside {
    /// No token, or another.
    Unknown,
    /// Without a token there is only the address to go by, and this is not one.
    ByName,
}

impl AdminAuth {
    pub(super) fn new(token: Option<SecretString>) -> Self {
        Self { token }
    }

    /// Whether there is a token to be shown.
    pub(super) fn is_locked(&self) -> bool {
        self.token.is_some()
    }

    /// Whether a request with these headers, and this cookie of ours, may come in.
    pub(super) fn admits(
        &self,
        headers: &HeaderMap,
        cookie: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Outside> {
        let Some(token) = &self.token else {
            return if is_for_this_machine(headers) { Ok(()) } else { Err(Outside::ByName) };
        };
        // RFC 9110 §11.1: the scheme's case does not matter.
        let bearer =
            headers.get(header::AUTHORIZATION).and_then(|header| header.as_bytes().split_at_checked(7));
        let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
        let bearer = bearer.map(|(_, token)| token).unwrap_or_default();
        let session = cookie.is_some_and(|cookie| holds(token, cookie, now));
        if session || is_same(token, bearer) { Ok(()) } else { Err(Outside::Unknown) }
    }

    /// The cookie for a browser that was shown the right token, if there is one to be shown.
    pub(super) fn open(&self, shown: &str, secure: bool, now: Timestamp) -> Option<Cookie<'static>> {
        let token = self.token.as_ref().filter(|token| is_same(token, shown.as_bytes()))?;
        let until = (now + SESSION).as_second().to_string();
        let signed = hex::encode(signature(token, &until)?.finalize().into_bytes());
        Some(cookie(format!("{until}.{signed}"), secure, SESSION))
    }
}

/// The cookie that takes the other back.
pub(super) fn shut() -> Cookie<'static> {
    cookie(String::new(), false, Duration::ZERO)
}

fn cookie(value: String, secure: bool, lives: Duration) -> Cookie<'static> {
    Cookie::build(COOKIE, value)
        .path("/")
        .http_only(true)
        .secure(secure)
        // No page of another site has it sent, not even by a link.
        .same_site(SameSite::Strict)
        .max_age(time::Duration::try_from(lives).unwrap_or_default())
        .finish()
}

fn signature(token: &SecretString, until: &str) -> Option<Hmac<Sha256>> {
    let keyed = Hmac::<Sha256>::new_from_slice(token.expose_secret().as_bytes()).ok()?;
    Some(keyed.chain_update(b"cosbroker operators' session until ").chain_update(until))
}

/// Whether a cookie is one of ours, and not over.
fn holds(token: &SecretString, cookie: &str, now: Timestamp) -> bool {
    let Some((until, signed)) = cookie.split_once('.') else { return false };
    let (Some(signature), Ok(signed)) = (signature(token, until), hex::decode(signed)) else { return false };
    signature.verify_slice(&signed).is_ok() && until.parse().is_ok_and(|until: i64| now.as_second() < until)
}

/// Compares keyed hashes, so that neither length nor content shows in the time it takes.
fn is_same(token: &SecretString, given: &[u8]) -> bool {
    let tag = |text: &[u8]| {
        Hmac::<Sha256>::new_from_slice(b"cosbroker operators").map(|mac| mac.chain_update(text))
    };
    match (tag(token.expose_secret().as_bytes()), tag(given)) {
        (Ok(wanted), Ok(given)) => wanted.verify(&given.finalize().into_bytes()).is_ok(),
        _ => false,
    }
}

/// A page can have its own name lead to loopback, and is then of the same origin as what listens there; the
/// `Host` of what it sends is still that name.
fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()).is_some_and(|authority| {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
    })
}

/// Whether a page of another site sent this. A browser names the page that sends a request that changes
/// something; on loopback, any page an operator has open could send one.
pub(super) fn is_from_a_page_elsewhere(headers: &HeaderMap) -> bool {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // W3C's Fetch Metadata: what no page can leave out or make up.
    if header(header::HeaderName::from_static("sec-fetch-site")) == Some("cross-site") {
        return true;
    }
    let Some(origin) = header(header::ORIGIN) else { return false };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_none() || host != header(header::HOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth() -> AdminAuth {
        AdminAuth::new(Some(SecretString::from("the operators' token")))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_browser_that_was_shown_the_token_is_let_in_for_twelve_hours() {
        let cookie = auth().open("the operators' token", false, at(0)).unwrap();
        let admits = |auth: &AdminAuth, cookie: &str, second| {
            auth.admits(&HeaderMap::new(), Some(cookie), at(second)).is_ok()
        };
        assert!(admits(&auth(), cookie.value(), 0) && admits(&auth(), cookie.value(), 43_199));
        assert!(!admits(&auth(), cookie.value(), 43_200), "it is over");
        let other = AdminAuth::new(Some(SecretString::from("a new token")));
        assert!(!admits(&other, cookie.value(), 0), "a new token ends what the old one opened");
        let (_, signed) = cookie.value().split_once('.').unwrap();
        for forged in [
            format!("99999999999.{signed}"),
            format!("43200.{}", "0".repeat(64)),
            "43200.".to_owned(),
            String::new(),
        ] {
            assert!(!admits(&auth(), &forged, 0), "{forged}");
        }
        assert_eq!(cookie.http_only(), Some(true));
        assert_eq!(cookie.same_site(), Some(SameSite::Strict));
    }

    #[test]
    fn a_wrong_token_opens_nothing() {
        for wrong in ["", "the operators' tokem", "the operators' token "] {
            assert!(auth().open(wrong, false, at(0)).is_none());
        }
        assert_eq!(auth().admits(&HeaderMap::new(), None, at(0)), Err(Outside::Unknown));
        assert!(AdminAuth::new(None).open("", false, at(0)).is_none(), "where there is none, none is right");
    }
}
