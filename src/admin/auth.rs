//! Authentication on the operators' listener: a bearer token for programs, a login cookie for browsers.
//!
//! The cookie holds its session's id and expiry time, and is signed with a key that is derived from the token. It grants
//! nothing else, survives a restart, and becomes invalid when the token is changed. Logging out ends the session on the
//! server as well, until it restarts.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::http::{
    header::{self, HeaderMap, HeaderName},
    uri::Authority,
};
use cookie::{Cookie, CookieJar, Key, SameSite};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use runtime::entropy::Entropy;

/// The time that a browser stays logged in: a working day, or a night on call.
const SESSION_TTL: Duration = Duration::from_hours(12);
/// The name of the login cookie.
pub(super) const COOKIE_NAME: &str = "cosbroker_admin";

/// The access rule of the operators' listener.
#[derive(Debug)]
pub(super) struct AdminAuth {
    token: Option<SecretString>,
    /// The sessions that were logged out before they expire, and when they do.
    ended: Mutex<HashMap<String, Timestamp>>,
}

/// A browser that is logged in.
#[derive(Debug, PartialEq, Eq)]
struct Session {
    id: String,
    expires_at: Timestamp,
}

/// The reason why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthFailure {
    /// It has neither the token nor a valid cookie.
    InvalidToken,
    /// No token is configured, and the `Host` of the request is a name other than localhost.
    HostNotLoopback,
}

impl AdminAuth {
    pub(super) fn new(token: Option<SecretString>) -> Self {
        Self { token, ended: Mutex::default() }
    }

    /// Returns whether a token is required.
    pub(super) fn requires_token(&self) -> bool {
        self.token.is_some()
    }

    /// Checks the headers of a request, and its login cookie.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        cookie: Option<Cookie<'static>>,
        now: Timestamp,
    ) -> Result<(), AuthFailure> {
        let Some(token) = &self.token else {
            return if is_host_of_this_machine(headers) { Ok(()) } else { Err(AuthFailure::HostNotLoopback) };
        };
        let session = cookie.and_then(|cookie| Session::of(token, cookie, now));
        let is_valid = session.is_some_and(|session| !self.ended().contains_key(&session.id))
            || is_same_token(token, bearer(headers));
        if is_valid { Ok(()) } else { Err(AuthFailure::InvalidToken) }
    }

    /// Returns the login cookie, if a token is configured and `token` is it.
    pub(super) fn login(
        &self,
        token: &str,
        secure: bool,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Option<Cookie<'static>> {
        let configured =
            self.token.as_ref().filter(|configured| is_same_token(configured, token.as_bytes()))?;
        let session = Session { id: entropy.hex_id(), expires_at: now + SESSION_TTL };
        let mut jar = CookieJar::new();
        jar.signed_mut(&signing_key(configured)?).add(cookie(session.to_value(), secure, SESSION_TTL));
        jar.get(COOKIE_NAME).cloned()
    }

    /// Ends the session of a cookie: it is not valid any more, wherever it is.
    pub(super) fn logout(&self, cookie: Cookie<'static>, now: Timestamp) {
        let session = self.token.as_ref().and_then(|token| Session::of(token, cookie, now));
        let mut ended = self.ended();
        ended.retain(|_, expires_at| now < *expires_at);
        ended.extend(session.map(|session| (session.id, session.expires_at)));
    }

    fn ended(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Returns the session of a cookie, if this listener signed it and it has not expired.
    fn of(token: &SecretString, cookie: Cookie<'static>, now: Timestamp) -> Option<Self> {
        let cookie = CookieJar::new().signed(&signing_key(token)?).verify(cookie)?;
        let (id, expires_at) = cookie.value().split_once('.')?;
        let expires_at = Timestamp::from_second(expires_at.parse().ok()?).ok()?;
        (now < expires_at).then(|| Self { id: id.to_owned(), expires_at })
    }

    fn to_value(&self) -> String {
        format!("{}.{}", self.id, self.expires_at.as_second())
    }
}

/// Returns the cookie that removes the login cookie from the browser.
pub(super) fn logout_cookie() -> Cookie<'static> {
    cookie(String::new(), false, Duration::ZERO)
}

fn cookie(value: String, secure: bool, max_age: Duration) -> Cookie<'static> {
    Cookie::build(COOKIE_NAME, value)
        .path("/")
        .http_only(true)
        .secure(secure)
        // No request from a page of another site carries it, not even a link.
        .same_site(SameSite::Strict)
        .max_age(max_age.try_into().unwrap_or_default())
        .finish()
}

/// Derives the key that signs cookies. A hash of 64 bytes is what [`Key`] takes, so this never fails.
fn signing_key(token: &SecretString) -> Option<Key> {
    let hash =
        Sha512::new().chain_update("cosbroker admin cookie\0").chain_update(token.expose_secret()).finalize();
    Key::try_from(hash.as_slice()).ok()
}

/// Compares hashes in constant time, so that the time reveals neither the length nor the content of the token.
fn is_same_token(token: &SecretString, given: &[u8]) -> bool {
    Sha256::digest(token.expose_secret()).as_slice().ct_eq(Sha256::digest(given).as_slice()).into()
}

/// Returns the bearer token of a request, or no bytes. The case of the scheme does not matter (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> &[u8] {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|header| header.as_bytes().split_at_checked("bearer ".len()))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
        .map_or(&[], |(_, token)| token)
}

/// Returns whether the `Host` of a request is an IP address or localhost. A page of another site can point its own
/// name to loopback (DNS rebinding); the `Host` of its requests is still that name.
fn is_host_of_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()).is_some_and(|authority| {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
    })
}

/// Returns whether a page of another site sent this request. On loopback, any page that an operator has open could
/// send one; a browser names the page in each request that changes something.
pub(super) fn is_cross_site(headers: &HeaderMap) -> bool {
    // W3C's Fetch Metadata: a page can neither omit nor forge it.
    if header_text(headers, &HeaderName::from_static("sec-fetch-site")) == Some("cross-site") {
        return true;
    }
    let Some(origin) = header_text(headers, &header::ORIGIN) else { return false };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_none() || host != header_text(headers, &header::HOST)
}

fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::entropy::SystemEntropy;

    fn auth() -> AdminAuth {
        AdminAuth::new(Some(SecretString::from("the operators' token")))
    }

    fn login(auth: &AdminAuth) -> Cookie<'static> {
        auth.login("the operators' token", false, at(0), &SystemEntropy).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn accepts(auth: &AdminAuth, cookie: &str, second: i64) -> bool {
        let cookie = Cookie::new(COOKIE_NAME, cookie.to_owned());
        auth.check(&HeaderMap::new(), Some(cookie), at(second)).is_ok()
    }

    #[test]
    fn a_browser_stays_logged_in_for_twelve_hours() {
        let cookie = login(&auth());
        assert!(accepts(&auth(), cookie.value(), 0) && accepts(&auth(), cookie.value(), 43_199));
        assert!(!accepts(&auth(), cookie.value(), 43_200), "expired");
        assert_eq!(cookie.http_only(), Some(true));
        assert_eq!(cookie.same_site(), Some(SameSite::Strict));
    }

    #[test]
    fn a_new_token_ends_the_sessions_of_the_old_one() {
        let cookie = login(&auth());
        let other = AdminAuth::new(Some(SecretString::from("a new token")));
        assert!(!accepts(&other, cookie.value(), 0));
    }

    #[test]
    fn logging_out_ends_the_session_and_no_other() {
        let auth = auth();
        let (one, other) = (login(&auth), login(&auth));
        auth.logout(one.clone(), at(1));
        assert!(!accepts(&auth, one.value(), 2) && accepts(&auth, other.value(), 2));
        auth.logout(other, at(43_201));
        assert!(auth.ended().is_empty(), "an expired session needs no memory");
    }

    #[test]
    fn a_forged_cookie_is_refused() {
        let cookie = login(&auth());
        let signature = cookie.value().strip_suffix("43200").unwrap();
        for forged in [
            format!("{signature}99999999999"),
            format!("{}43200", "A".repeat(signature.len())),
            "43200".to_owned(),
            "id.43200".to_owned(),
            signature.to_owned(),
            String::new(),
        ] {
            assert!(!accepts(&auth(), &forged, 0), "{forged}");
        }
    }

    #[test]
    fn a_wrong_token_is_refused() {
        for wrong in ["", "the operators' tokem", "the operators' token "] {
            assert!(auth().login(wrong, false, at(0), &SystemEntropy).is_none());
        }
        assert_eq!(auth().check(&HeaderMap::new(), None, at(0)), Err(AuthFailure::InvalidToken));
    }

    #[test]
    fn without_a_configured_token_no_token_is_right() {
        assert!(AdminAuth::new(None).login("", false, at(0), &SystemEntropy).is_none());
    }
}
