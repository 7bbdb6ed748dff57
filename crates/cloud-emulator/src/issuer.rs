//! A token issuer that signs a token for any user name: the login server of a sandbox.

mod algorithm;
mod error;
mod http;
mod keys;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use jiff::SignedDuration;
use jsonwebtoken::{Algorithm, Header};
use serde_json::{Map, Value, json};

pub(crate) use self::http::routes;
use self::keys::KeyRing;
pub use self::{
    algorithm::{SigningAlgorithm, UnknownAlgorithm},
    error::IssuerError,
};
use runtime::clock::Clock;

const DEFAULT_TOKEN_LIFETIME: SignedDuration = SignedDuration::from_hours(12);

/// Signs tokens with keys that are generated at start.
pub struct TokenIssuer {
    issuer: String,
    audience: String,
    keys: RwLock<KeyRing>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenIssuer").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// The contents and signature of a token to be signed.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenRequest {
    /// The claim `sub`.
    pub subject: String,
    /// The other claims. Registered claims given here replace the usual ones, so that an app can be tried with
    /// an expired token or a token for another audience.
    pub claims: Map<String, Value>,
    /// How the token is signed.
    pub algorithm: SigningAlgorithm,
    /// The time from now to `exp`; negative for an expired token.
    pub lifetime: SignedDuration,
}

impl TokenRequest {
    /// A token for `subject` with default claims, algorithm and lifetime.
    pub fn new(subject: &str) -> Self {
        Self {
            subject: subject.to_owned(),
            claims: Map::new(),
            algorithm: SigningAlgorithm::default(),
            lifetime: DEFAULT_TOKEN_LIFETIME,
        }
    }
}

impl TokenIssuer {
    /// The algorithms it signs with. All of them have public keys.
    pub const ALGORITHMS: [Algorithm; 3] = [Algorithm::ES256, Algorithm::RS256, Algorithm::EdDSA];

    /// Creates an issuer of this name (`iss`) and audience (`aud`), with new keys.
    ///
    /// # Errors
    /// If the system provides no random bytes for a key.
    pub fn new(issuer: &str, audience: &str, clock: Arc<dyn Clock>) -> Result<Self, IssuerError> {
        let keys = RwLock::new(KeyRing::generate()?);
        Ok(Self { issuer: issuer.to_owned(), audience: audience.to_owned(), keys, clock })
    }

    /// Signs a token for a subject with these additional claims.
    ///
    /// # Errors
    /// If the token library cannot sign it.
    pub fn token(&self, subject: &str, claims: Map<String, Value>) -> Result<String, IssuerError> {
        self.sign(TokenRequest { claims, ..TokenRequest::new(subject) })
    }

    /// Signs a token.
    ///
    /// # Errors
    /// If the token library cannot sign it.
    pub fn sign(&self, request: TokenRequest) -> Result<String, IssuerError> {
        let now = self.clock.now().as_second();
        let mut claims = request.claims;
        for (name, value) in [
            ("iss", json!(self.issuer)),
            ("aud", json!(self.audience)),
            ("iat", json!(now)),
            ("exp", json!(now.saturating_add(request.lifetime.as_secs()))),
        ] {
            claims.entry(name).or_insert(value);
        }
        claims.insert("sub".to_owned(), Value::from(request.subject));
        let keys = self.keys();
        let key = keys.signing(request.algorithm);
        let mut header = Header::new(request.algorithm.algorithm());
        header.kid = Some(key.kid.clone());
        Ok(jsonwebtoken::encode(&header, &claims, &key.private)?)
    }

    /// Signs with the next keys from now on. The previous keys stay published until the next rotation, unless
    /// `forget` withdraws all keys at once.
    ///
    /// # Errors
    /// If the system provides no random bytes for a key.
    pub fn rotate(&self, forget: bool) -> Result<(), IssuerError> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if forget { keys.replace_all() } else { keys.rotate() }
    }

    fn keys(&self) -> RwLockReadGuard<'_, KeyRing> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};

    use super::*;
    use runtime::clock::TestClock;

    fn issuer() -> TokenIssuer {
        TokenIssuer::new("http://id.test/", "app", TestClock::at(1_800_000_000)).unwrap()
    }

    /// The claims, if a published key verifies the token.
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

    fn token_of_each_algorithm(issuer: &TokenIssuer) -> [String; 3] {
        SigningAlgorithm::ALL
            .map(|algorithm| issuer.sign(TokenRequest { algorithm, ..TokenRequest::new("a") }).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_of_each_algorithm_is_verified_by_a_published_key() {
        let issuer = issuer();
        for (name, expected) in ["ES256", "RS256", "EdDSA"].into_iter().zip(TokenIssuer::ALGORITHMS) {
            let request = TokenRequest { algorithm: name.parse().unwrap(), ..TokenRequest::new("bob") };
            let token = issuer.sign(request).unwrap();
            assert_eq!(jsonwebtoken::decode_header(&token).unwrap().alg, expected);
            let claims = verified(&issuer, &token).unwrap();
            assert_eq!(
                Value::from(claims),
                json!({"iss": "http://id.test/", "aud": "app", "sub": "bob", "iat": 1_800_000_000, "exp": 1_800_043_200})
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn given_claims_replace_all_claims_except_the_subject() {
        let issuer = issuer();
        let lifetime = SignedDuration::from_hours(-1);
        let claims = json!({"team": "red", "aud": "other", "nbf": 7, "sub": "eve"});
        let claims = claims.as_object().unwrap().clone();
        let token = issuer.sign(TokenRequest { claims, lifetime, ..TokenRequest::new("bob") }).unwrap();
        assert_eq!(
            Value::from(verified(&issuer, &token).unwrap()),
            json!({"iss": "http://id.test/", "aud": "other", "sub": "bob", "team": "red", "nbf": 7,
                   "iat": 1_800_000_000, "exp": 1_799_996_400})
        );
        let lifetime = SignedDuration::from_hours(1);
        let claims = json!({"exp": 1}).as_object().unwrap().clone();
        let token = issuer.sign(TokenRequest { claims, lifetime, ..TokenRequest::new("bob") }).unwrap();
        assert_eq!(verified(&issuer, &token).unwrap()["exp"], 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_stays_valid_for_one_rotation_unless_all_keys_are_withdrawn() {
        let issuer = issuer();
        let first = token_of_each_algorithm(&issuer);
        issuer.rotate(false).unwrap();
        let second = token_of_each_algorithm(&issuer);
        assert!(first.iter().chain(&second).all(|token| verified(&issuer, token).is_some()));
        issuer.rotate(false).unwrap();
        assert!(first.iter().all(|token| verified(&issuer, token).is_none()));
        assert!(second.iter().all(|token| verified(&issuer, token).is_some()));
        issuer.rotate(true).unwrap();
        assert!(second.iter().all(|token| verified(&issuer, token).is_none()));
        assert!(token_of_each_algorithm(&issuer).iter().all(|token| verified(&issuer, token).is_some()));
    }
}
