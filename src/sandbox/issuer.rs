//! A token issuer that signs for anybody: the app's login, as far as a sandbox needs one.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpResponse, web};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::clock::Clock;

/// How long a token lives.
const LIFETIME: Duration = Duration::from_hours(12);
const KID: &str = "sandbox-1";

/// Signs tokens with a key made at start.
pub struct TokenIssuer {
    issuer: String,
    audience: String,
    key: EncodingKey,
    jwk: Jwk,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenIssuer").field("issuer", &self.issuer).finish_non_exhaustive()
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
    /// An issuer of this name, with a new ES256 key.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(issuer: &str, audience: &str, clock: Arc<dyn Clock>) -> Result<Self, IssuerFault> {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| IssuerFault::Key)?;
        let key = EncodingKey::from_ec_der(der.as_ref());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
        jwk.common.key_id = Some(KID.to_owned());
        Ok(Self { issuer: issuer.to_owned(), audience: audience.to_owned(), key, jwk, clock })
    }

    /// A token for a subject, with claims of one's choice beside the registered ones.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn token(&self, subject: &str, mut claims: Map<String, Value>) -> Result<String, IssuerFault> {
        let now = self.clock.now().as_second();
        for (name, value) in [
            ("iss", json!(self.issuer)),
            ("aud", json!(self.audience)),
            ("sub", json!(subject)),
            ("iat", json!(now)),
            ("exp", json!(now + LIFETIME.as_secs().cast_signed())),
        ] {
            claims.insert(name.to_owned(), value);
        }
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(KID.to_owned());
        Ok(jsonwebtoken::encode(&header, &claims, &self.key)?)
    }
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    sub: Option<String>,
    claims: Option<String>,
}

/// `GET /token?sub=bob[&claims={"team":"red"}]`
pub(super) async fn token(issuer: web::Data<TokenIssuer>, wanted: web::Query<Wanted>) -> HttpResponse {
    let Wanted { sub, claims } = wanted.into_inner();
    let claims = claims.as_deref().map_or(Ok(Map::new()), serde_json::from_str);
    match (sub, claims) {
        (Some(sub), Ok(claims)) => match issuer.token(&sub, claims) {
            Ok(token) => HttpResponse::Ok().content_type("text/plain").body(token),
            Err(error) => HttpResponse::InternalServerError().body(format!("{error}\n")),
        },
        (None, _) => HttpResponse::BadRequest().body("say for whom: /token?sub=bob\n"),
        (_, Err(error)) => HttpResponse::BadRequest().body(format!("claims is not a JSON object: {error}\n")),
    }
}

/// `GET /jwks.json`
pub(super) async fn jwks(issuer: web::Data<TokenIssuer>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"keys": [issuer.jwk]}))
}

/// `GET /.well-known/openid-configuration`
pub(super) async fn discovery(issuer: web::Data<TokenIssuer>) -> HttpResponse {
    let base = issuer.issuer.trim_end_matches('/');
    HttpResponse::Ok().json(json!({
        "issuer": issuer.issuer,
        "jwks_uri": format!("{base}/jwks.json"),
        "id_token_signing_alg_values_supported": ["ES256"],
    }))
}
