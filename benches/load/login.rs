//! A login: signs tokens, and publishes its key.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};

use crate::BenchError;

pub(crate) const ISSUER: &str = "https://id.test/";
/// The variable with the secret of [`Login::with_secret`].
pub(crate) const SECRET_VARIABLE: &str = "JWT_SECRET";
pub(crate) const SECRET: &str = "a-secret-of-a-bench-0123456789abcdef";
const TOKEN_LIFETIME_SECONDS: u64 = 6 * 3600;

/// A key, and the header of its tokens.
#[derive(Debug, Clone)]
struct SigningKey(EncodingKey, Header);

/// Signs tokens.
#[derive(Debug)]
pub(crate) struct Login {
    key: SigningKey,
    cheaper_key: SigningKey,
    /// The `[[issuer]]` section's lines that say how its tokens are verified.
    pub(crate) config: String,
    /// The content of `jwks.json`, if it has a public key.
    pub(crate) jwks: Option<Value>,
    issued_at: u64,
}

impl Login {
    /// Signs with RS256, as most logins do, and with ES256 where that would take too long.
    pub(crate) fn with_public_keys() -> Result<Self, BenchError> {
        let pair = KeyPair::generate(KeySize::Rsa2048)?;
        let der: Pkcs8V1Der<'_> = pair.as_der()?;
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let (key, public) = published(EncodingKey::from_rsa_pem(pem.as_bytes())?, Algorithm::RS256)?;
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())?;
        let (cheaper_key, cheaper_public) =
            published(EncodingKey::from_ec_der(der.as_ref()), Algorithm::ES256)?;
        Ok(Self {
            key,
            cheaper_key,
            config: "algorithms = [\"RS256\", \"ES256\"]\njwks_file = \"jwks.json\"\n".to_owned(),
            jwks: Some(json!({"keys": [public, cheaper_public]})),
            issued_at: now()?,
        })
    }

    /// Signs with HS256, for as many users as RSA would need an hour for.
    pub(crate) fn with_secret() -> Result<Self, BenchError> {
        let key = SigningKey(EncodingKey::from_secret(SECRET.as_bytes()), Header::new(Algorithm::HS256));
        Ok(Self {
            cheaper_key: key.clone(),
            key,
            config: format!("algorithms = [\"HS256\"]\nsecret_env = \"{SECRET_VARIABLE}\"\n"),
            jwks: None,
            issued_at: now()?,
        })
    }

    /// The token of a user, with the claims of an ordinary login: about 1 KB with RS256. Always the same.
    pub(crate) fn token(&self, user: u64) -> Result<String, BenchError> {
        self.signed(&self.key, user)
    }

    /// The same, signed in less time.
    pub(crate) fn cheaper_token(&self, user: u64) -> Result<String, BenchError> {
        self.signed(&self.cheaper_key, user)
    }

    fn signed(&self, SigningKey(key, header): &SigningKey, user: u64) -> Result<String, BenchError> {
        let subject = format!("{user:08x}-4d1b-4f6e-9c2a-7d5e8b3a1f90");
        let claims = json!({
            "iss": ISSUER,
            "aud": "app",
            "sub": subject,
            "iat": self.issued_at,
            "exp": self.issued_at + TOKEN_LIFETIME_SECONDS,
            "jti": format!("{user:08x}-0a1b-4c2d-8e3f-4a5b6c7d8e9f"),
            "auth_time": self.issued_at,
            "azp": "app",
            "sid": format!("{user:08x}-9e8d-4c7b-a6f5-e4d3c2b1a098"),
            "scope": "openid profile email",
            "email_verified": true,
            "name": format!("User {user:08}"),
            "preferred_username": format!("user-{user:08}"),
            "email": format!("user-{user:08}@example.com"),
        });
        Ok(encode(header, &claims, key)?)
    }
}

/// A key with its id, and its published half.
fn published(key: EncodingKey, algorithm: Algorithm) -> Result<(SigningKey, Jwk), BenchError> {
    let id = format!("bench-{algorithm:?}-of-2026");
    let mut public = Jwk::from_encoding_key(&key, algorithm)?;
    public.common.key_id = Some(id.clone());
    Ok((SigningKey(key, Header { kid: Some(id), ..Header::new(algorithm) }), public))
}

pub(crate) fn now() -> Result<u64, BenchError> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}
