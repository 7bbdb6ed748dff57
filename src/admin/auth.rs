//! Authentication on the operators' listener: a bearer token for programs, a login cookie for browsers.
//! There is a token for operators and one for those who only look.
//!
//! The cookie holds its session's id and expiry time, and is signed with a key that is derived from the token, which also
//! tells the role. It grants nothing else, survives a restart, and becomes invalid when the token is changed. Logging out
//! ends the session on the server as well, until it restarts.

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

use super::login_attempts::LoginAttempts;
use crate::config::{AdminTokens, Role};
use runtime::{clock::Clock, entropy::Entropy};

/// The time that a browser stays logged in: a working day, or a night on call.
const SESSION_TTL: Duration = Duration::from_hours(12);
/// The name of the login cookie.
pub(super) const COOKIE_NAME: &str = "cosbroker_admin";

/// The access rule of the operators' listener.
#[derive(Debug)]
pub(super) struct AdminAuth {
    /// None if every client is an operator.
    tokens: Option<AdminTokens>,
    attempts: LoginAttempts,
    /// The sessions that were logged out before they expire, and when they do.
    ended: Mutex<HashMap<String, Timestamp>>,
}

/// The time now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// For sessions, which outlive the process.
    pub(super) wall: Timestamp,
    /// For waits.
    pub(super) monotonic: Duration,
}

impl Now {
    pub(super) fn of(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), monotonic: clock.monotonic() }
    }
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
    /// It has neither a token nor a valid cookie.
    InvalidToken,
    /// Its address sent too many wrong tokens, and must wait so long before another is looked at.
    MustWait(Duration),
    /// No token is configured, and the `Host` of the request is a name other than localhost.
    HostNotLoopback,
}

impl AdminAuth {
    pub(super) fn new(tokens: Option<AdminTokens>) -> Self {
        Self { tokens, attempts: LoginAttempts::default(), ended: Mutex::default() }
    }

    /// Returns whether a token is required.
    pub(super) fn requires_token(&self) -> bool {
        self.tokens.is_some()
    }

    /// Checks the headers of a request, and its login cookie. A cookie that is valid is never held up.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        cookie: Option<Cookie<'static>>,
        client: Option<IpAddr>,
        now: Now,
    ) -> Result<Role, AuthFailure> {
        let Some(tokens) = &self.tokens else {
            let is_local = is_host_of_this_machine(headers);
            return if is_local { Ok(Role::Operator) } else { Err(AuthFailure::HostNotLoopback) };
        };
        if let Some(role) = cookie.and_then(|cookie| self.role_of_session(tokens, &cookie, now.wall)) {
            return Ok(role);
        }
        match bearer(headers) {
            None => Err(AuthFailure::InvalidToken),
            Some(token) => self.checked_token(tokens, token, client, now).map(|(role, _)| role),
        }
    }

    /// Returns the login cookie for a token.
    pub(super) fn login(
        &self,
        token: &str,
        secure: bool,
        client: Option<IpAddr>,
        now: Now,
        entropy: &dyn Entropy,
    ) -> Result<Cookie<'static>, AuthFailure> {
        let tokens = self.tokens.as_ref().ok_or(AuthFailure::InvalidToken)?;
        let (_, configured) = self.checked_token(tokens, token.as_bytes(), client, now)?;
        let session = Session { id: entropy.hex_id(), expires_at: now.wall + SESSION_TTL };
        let key = signing_key(configured).ok_or(AuthFailure::InvalidToken)?;
        let mut jar = CookieJar::new();
        jar.signed_mut(&key).add(cookie(session.to_value(), secure, SESSION_TTL));
        jar.get(COOKIE_NAME).cloned().ok_or(AuthFailure::InvalidToken)
    }

    /// Returns the role of a token and the configured token that it equals, unless its address has to wait.
    fn checked_token<'a>(
        &self,
        tokens: &'a AdminTokens,
        given: &[u8],
        client: Option<IpAddr>,
        now: Now,
    ) -> Result<(Role, &'a SecretString), AuthFailure> {
        if let Some(wait) = self.attempts.wait(client, now.monotonic) {
            return Err(AuthFailure::MustWait(wait));
        }
        let Some(found) = tokens.by_role().find(|(_, token)| is_same_token(token, given)) else {
            self.attempts.note_failure(client, now.monotonic);
            return Err(AuthFailure::InvalidToken);
        };
        self.attempts.note_success(client);
        Ok(found)
    }

    fn role_of_session(
        &self,
        tokens: &AdminTokens,
        cookie: &Cookie<'static>,
        now: Timestamp,
    ) -> Option<Role> {
        tokens.by_role().find_map(|(role, token)| {
            let session = Session::of(token, cookie.clone(), now)?;
            (!self.ended().contains_key(&session.id)).then_some(role)
        })
    }

    /// Ends the session of a cookie: it is not valid any more, wherever it is.
    pub(super) fn logout(&self, cookie: &Cookie<'static>, now: Timestamp) {
        let mut tokens = self.tokens.iter().flat_map(AdminTokens::by_role);
        let session = tokens.find_map(|(_, token)| Session::of(token, cookie.clone(), now));
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

/// Returns the bearer token of a request. Credentials of another scheme are a token that is always wrong. The case of
/// the scheme does not matter (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let credentials = headers.get(header::AUTHORIZATION)?.as_bytes();
    let token = credentials
        .split_at_checked("bearer ".len())
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
        .map_or(&[][..], |(_, token)| token);
    Some(token)
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
    use std::net::Ipv4Addr;

    use super::*;
    use runtime::entropy::SystemEntropy;

    const CLIENT: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));

    fn tokens(operator: &str) -> AdminTokens {
        AdminTokens {
            operator: SecretString::from(operator),
            viewer: Some(SecretString::from("the viewers' token")),
        }
    }

    fn auth() -> AdminAuth {
        AdminAuth::new(Some(tokens("the operators' token")))
    }

    fn login_with(auth: &AdminAuth, token: &str) -> Result<Cookie<'static>, AuthFailure> {
        auth.login(token, false, CLIENT, at(0), &SystemEntropy)
    }

    fn login(auth: &AdminAuth) -> Cookie<'static> {
        login_with(auth, "the operators' token").unwrap()
    }

    fn at(second: i64) -> Now {
        Now {
            wall: Timestamp::from_second(second).unwrap(),
            monotonic: Duration::from_secs(second.unsigned_abs()),
        }
    }

    fn role_of(auth: &AdminAuth, cookie: &str, second: i64) -> Result<Role, AuthFailure> {
        let cookie = Cookie::new(COOKIE_NAME, cookie.to_owned());
        auth.check(&HeaderMap::new(), Some(cookie), CLIENT, at(second))
    }

    fn accepts(auth: &AdminAuth, cookie: &str, second: i64) -> bool {
        role_of(auth, cookie, second).is_ok()
    }

    #[test]
    fn a_session_has_the_role_of_the_token_that_it_was_opened_with() {
        let auth = auth();
        for (token, role) in [("the operators' token", Role::Operator), ("the viewers' token", Role::Viewer)]
        {
            let cookie = login_with(&auth, token).unwrap();
            assert_eq!(role_of(&auth, cookie.value(), 1), Ok(role), "{token}");
        }
    }

    #[test]
    fn after_wrong_tokens_the_right_one_has_to_wait_and_a_session_does_not() {
        let auth = auth();
        let open = login(&auth);
        for _ in 0..6 {
            assert_eq!(login_with(&auth, "a guess"), Err(AuthFailure::InvalidToken));
        }
        let held_up = Err(AuthFailure::MustWait(Duration::from_secs(10)));
        assert_eq!(login_with(&auth, "the operators' token"), held_up);
        assert!(accepts(&auth, open.value(), 0));
        assert!(auth.login("the operators' token", false, CLIENT, at(10), &SystemEntropy).is_ok());
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
        let other = AdminAuth::new(Some(tokens("a new token")));
        assert!(!accepts(&other, cookie.value(), 0));
    }

    #[test]
    fn logging_out_ends_the_session_and_no_other() {
        let auth = auth();
        let (one, other) = (login(&auth), login(&auth));
        auth.logout(&one, at(1).wall);
        assert!(!accepts(&auth, one.value(), 2) && accepts(&auth, other.value(), 2));
        auth.logout(&other, at(43_201).wall);
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
            assert_eq!(login_with(&auth(), wrong), Err(AuthFailure::InvalidToken));
        }
        assert_eq!(auth().check(&HeaderMap::new(), None, CLIENT, at(0)), Err(AuthFailure::InvalidToken));
    }

    #[test]
    fn without_a_configured_token_no_token_is_right() {
        assert_eq!(login_with(&AdminAuth::new(None), ""), Err(AuthFailure::InvalidToken));
    }
}
