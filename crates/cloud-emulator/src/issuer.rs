//! A token issuer that signs for anybody: the app's login, as far as a sandbox needs one.

mod keys;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use actix_web::{HttpResponse, web};
use jiff::SignedDuration;
use jsonwebtoken::{Algorithm, Header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::keys::Keys;
pub use self::keys::{Signature, UnknownSignature};
use runtime::clock::Clock;

/// How long a token lives.
const LIFETIME: SignedDuration = SignedDuration::from_hours(12);

/// Signs tokens with keys made at start.
pub struct TokenIssuer {
    issuer: String,
    audience: String,
    keys: RwLock<Keys>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenIssuer").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// A token as somebody wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Whose it is.
    pub subject: String,
    /// The claims beside `sub`. Registered ones given here are taken as they are: an expired token or one for
    /// another audience is what an app wants to see once.
    pub claims: Map<String, Value>,
    /// How it is signed.
    pub signature: Signature,
    /// From now to its `exp`; may lie in the past.
    pub lifetime: SignedDuration,
}

impl Wanted {
    /// The usual token.
    pub fn of(subject: &str) -> Self {
        Self {
            subject: subject.to_owned(),
            claims: Map::new(),
            signature: Signature::default(),
            lifetime: LIFETIME,
        }
    }
}

/// Why no token can be made.
#[derive(Debug, thiserror::Error)]
pub enum IssuerFault {
    /// The machine gives no randomness.
    #[error("no signing key can be made")]
    Key,
    /// The token library.
    #[error("no token can be signed: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
}

impl TokenIssuer {
    /// What it signs with.
    pub const ALGORITHMS: [Algorithm; 3] = [Algorithm::ES256, Algorithm::RS256, Algorithm::EdDSA];

    /// An issuer of this name, with new keys.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(issuer: &str, audience: &str, clock: Arc<dyn Clock>) -> Result<Self, IssuerFault> {
        let keys = RwLock::new(Keys::new()?);
        Ok(Self { issuer: issuer.to_owned(), audience: audience.to_owned(), keys, clock })
    }

    /// A token for a subject, with claims of one's choice.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn token(&self, subject: &str, claims: Map<String, Value>) -> Result<String, IssuerFault> {
        self.sign(Wanted { claims, ..Wanted::of(subject) })
    }

    /// A token as it is wanted.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign(&self, wanted: Wanted) -> Result<String, IssuerFault> {
        let now = self.clock.now().as_second();
        let mut claims = wanted.claims;
        for (name, value) in [
            ("iss", json!(self.issuer)),
            ("aud", json!(self.audience)),
            ("iat", json!(now)),
            ("exp", json!(now.saturating_add(wanted.lifetime.as_secs()))),
        ] {
            claims.entry(name).or_insert(value);
        }
        claims.insert("sub".to_owned(), Value::from(wanted.subject));
        let keys = self.keys();
        let key = keys.signing(wanted.signature);
        let mut header = Header::new(wanted.signature.algorithm());
        header.kid = Some(key.kid.clone());
        Ok(jsonwebtoken::encode(&header, &claims, &key.private)?)
    }

    /// Has other keys sign from now on. The last ones stay published until the next rotation, unless they are
    /// to be forgotten at once.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn rotate(&self, forget: bool) -> Result<(), IssuerFault> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if forget { keys.forget() } else { keys.rotate() }
    }

    fn keys(&self) -> RwLockReadGuard<'_, Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The `kid`s that sign now, and all that are published.
    fn kids(&self) -> Value {
        let keys = self.keys();
        let signing = Signature::ALL.map(|signature| keys.signing(signature).kid.as_str());
        let published: Vec<&str> = keys.published().map(|key| key.kid.as_str()).collect();
        json!({"signing": signing, "kids": published})
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    sub: Option<String>,
    claims: Option<String>,
    alg: Option<String>,
    lifetime: Option<String>,
}

impl Query {
    fn wanted(self) -> Result<Wanted, String> {
        let mut wanted = Wanted::of(&self.sub.ok_or("say for whom: /token?sub=bob")?);
        if let Some(claims) = self.claims {
            wanted.claims = serde_json::from_str(&claims)
                .map_err(|error| format!("claims is not a JSON object: {error}"))?;
        }
        if let Some(name) = self.alg {
            wanted.signature = name.parse().map_err(|error: UnknownSignature| error.to_string())?;
        }
        if let Some(text) = self.lifetime {
            wanted.lifetime = text.parse().map_err(|_| {
                format!("lifetime `{text}` is not a duration; write it like 10m or 1h30m, or -1h for an expired token")
            })?;
        }
        Ok(wanted)
    }
}

/// `GET /token?sub=bob[&claims={"team":"red"}][&alg=RS256][&lifetime=10m]`
pub(super) async fn token(issuer: web::Data<TokenIssuer>, query: web::Query<Query>) -> HttpResponse {
    match query.into_inner().wanted().map(|wanted| issuer.sign(wanted)) {
        Ok(Ok(token)) => HttpResponse::Ok().content_type("text/plain").body(token),
        Ok(Err(error)) => HttpResponse::InternalServerError().body(format!("{error}\n")),
        Err(fault) => HttpResponse::BadRequest().body(format!("{fault}\n")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    #[serde(default)]
    forget: bool,
}

/// `POST /rotate[?forget=true]`
pub(super) async fn rotate(issuer: web::Data<TokenIssuer>, rotation: web::Query<Rotation>) -> HttpResponse {
    match issuer.rotate(rotation.forget) {
        Ok(()) => HttpResponse::Ok().json(issuer.kids()),
        Err(error) => HttpResponse::InternalServerError().body(format!("{error}\n")),
    }
}

/// `GET /jwks.json`
pub(super) async fn jwks(issuer: web::Data<TokenIssuer>) -> HttpResponse {
    let keys = issuer.keys();
    let published: Vec<_> = keys.published().map(|key| &key.public).collect();
    HttpResponse::Ok().json(json!({"keys": published}))
}

/// `GET /.well-known/openid-configuration`
///
/// Clients refuse a document without the fields that OIDC Discovery §3 requires. Nobody is asked to log in
/// here, so both endpoints are where a token is had.
pub(super) async fn discovery(issuer: web::Data<TokenIssuer>) -> HttpResponse {
    let base = issuer.issuer.trim_end_matches('/');
    let token = format!("{base}/token");
    HttpResponse::Ok().json(json!({
        "issuer": issuer.issuer,
        "jwks_uri": format!("{base}/jwks.json"),
        "authorization_endpoint": token,
        "token_endpoint": token,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": TokenIssuer::ALGORITHMS,
        "scopes_supported": ["openid"],
        "claims_supported": ["iss", "aud", "sub", "iat", "exp"],
    }))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};

    use super::*;
    use runtime::clock::TestClock;

    fn issuer() -> TokenIssuer {
        TokenIssuer::new("http://id.test/", "app", TestClock::at(1_800_000_000)).unwrap()
    }

    fn query(text: &str) -> Result<Wanted, String> {
        web::Query::<Query>::from_query(text).unwrap().into_inner().wanted()
    }

    /// The claims, if a key of the set verifies the token.
    fn verified(issuer: &TokenIssuer, token: &str) -> Option<Map<String, Value>> {
        let keys = issuer.keys().published().map(|key| key.public.clone()).collect();
        let header = jsonwebtoken::decode_header(token).unwrap();
        let set = JwkSet { keys };
        let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap())?).unwrap();
        let mut rules = Validation::new(header.alg);
        rules.validate_aud = false;
        rules.validate_exp = false;
        Some(jsonwebtoken::decode(token, &key, &rules).unwrap().claims)
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_of_each_kind_is_verified_by_the_published_set() {
        let issuer = issuer();
        for (alg, expected) in ["ES256", "RS256", "EdDSA"].into_iter().zip(TokenIssuer::ALGORITHMS) {
            let token = issuer.sign(query(&format!("sub=bob&alg={alg}")).unwrap()).unwrap();
            assert_eq!(jsonwebtoken::decode_header(&token).unwrap().alg, expected);
            let claims = verified(&issuer, &token).unwrap();
            assert_eq!(
                Value::from(claims),
                json!({"iss": "http://id.test/", "aud": "app", "sub": "bob", "iat": 1_800_000_000, "exp": 1_800_043_200})
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn claims_of_ones_choice_win_over_all_but_the_subject() {
        let issuer = issuer();
        let text = r#"sub=bob&lifetime=-1h&claims={"team":"red","aud":"other","nbf":7,"sub":"eve"}"#;
        let claims = verified(&issuer, &issuer.sign(query(text).unwrap()).unwrap()).unwrap();
        assert_eq!(
            Value::from(claims),
            json!({"iss": "http://id.test/", "aud": "other", "sub": "bob", "team": "red", "nbf": 7,
                   "iat": 1_800_000_000, "exp": 1_799_996_400})
        );
        let claims = issuer.sign(query(r#"sub=bob&lifetime=1h&claims={"exp":1}"#).unwrap()).unwrap();
        assert_eq!(verified(&issuer, &claims).unwrap()["exp"], 1);
    }

    #[test]
    fn what_cannot_be_had_is_said_with_a_mend() {
        for (text, said) in [
            ("", "/token?sub=bob"),
            ("sub=bob&claims=[]", "not a JSON object"),
            ("sub=bob&alg=HS256", "one of ES256, RS256, EdDSA"),
            ("sub=bob&alg=es256", "one of ES256, RS256, EdDSA"),
            ("sub=bob&lifetime=soon", "write it like 10m"),
            ("sub=bob&lifetime=600", "write it like 10m"),
        ] {
            assert!(query(text).unwrap_err().contains(said), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_outlives_one_rotation_and_no_forgetting() {
        let issuer = issuer();
        let tokens =
            || Signature::ALL.map(|signature| issuer.sign(Wanted { signature, ..Wanted::of("a") }).unwrap());
        let first = tokens();
        issuer.rotate(false).unwrap();
        let second = tokens();
        assert!(first.iter().chain(&second).all(|token| verified(&issuer, token).is_some()));
        issuer.rotate(false).unwrap();
        assert!(first.iter().all(|token| verified(&issuer, token).is_none()));
        assert!(second.iter().all(|token| verified(&issuer, token).is_some()));
        issuer.rotate(true).unwrap();
        assert!(second.iter().all(|token| verified(&issuer, token).is_none()));
        assert!(tokens().iter().all(|token| verified(&issuer, token).is_some()));
    }
}
