//! A key of a JWK set (RFC 7517), read as issuers write them: padding, the plain base64 alphabet and leading zeros are
//! accepted, and a key that has only a certificate.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use jsonwebtoken::Algorithm;
use rustls::{pki_types::CertificateDer, server::ParsedCertificate};
use serde_json::{Map, Value};

use super::{
    key::Key,
    public_key::{Curve, PublicKey, PublicKeyFault},
};
use crate::config::parse_algorithm;
use diagnostics::to_single_line;

/// Why a key of a set is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum JwkFault {
    #[error("it is not a JSON object, or has a member twice")]
    NotAnObject,
    #[error("it is for encryption (`{0}`)")]
    Encryption(String),
    #[error("its `use` is `{0}`, not `sig`")]
    Use(String),
    #[error("it has no `kty`")]
    NoKeyType,
    #[error("its `kty` `{0}` is no public key; RSA, EC and OKP are")]
    KeyType(String),
    #[error("its curve `{0}` is not supported; P-256, P-384 and Ed25519 are")]
    Curve(String),
    #[error("its `{0}` is missing, or is not base64url")]
    Member(&'static str),
    #[error("its certificate in `x5c` cannot be read")]
    Certificate,
    #[error(transparent)]
    PublicKey(#[from] PublicKeyFault),
    #[error("its `alg` `{0}` is not supported")]
    Algorithm(String),
    #[error("its `alg` `{0}` does not belong to this kind of key")]
    OtherKind(String),
    #[error("it is for {0}, which the issuer's `algorithms` do not list")]
    NotListed(String),
}

impl JwkFault {
    /// Returns whether issuers publish such keys beside those that sign tokens.
    pub(super) fn is_usual(&self) -> bool {
        matches!(self, Self::Encryption(_))
    }
}

/// The members of a JWK.
pub(super) struct Jwk<'a>(pub(super) &'a Map<String, Value>);

/// Reads base64url with or without padding.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What the `alg` of keys for encryption begins with (RFC 7518 §4.1).
const ENCRYPTION_ALGORITHMS: [&str; 7] = ["RSA-OAEP", "RSA1_5", "ECDH-ES", "dir", "A128", "A192", "A256"];

impl<'a> Jwk<'a> {
    /// Returns the key for those of the allowed algorithms that it may verify.
    pub(super) fn key(&self, allowed: &[Algorithm]) -> Result<Key, JwkFault> {
        self.check_use()?;
        let named = self.algorithm()?;
        let public = self.public_key()?;
        let own = public.algorithms;
        if let Some(named) = named
            && !own.contains(&named)
        {
            return Err(JwkFault::OtherKind(self.shown("alg")));
        }
        let allowed: Vec<Algorithm> = allowed
            .iter()
            .copied()
            .filter(|algorithm| named.is_none_or(|named| named == *algorithm))
            .collect();
        Key::public(self.kid(), public, &allowed).ok_or_else(|| {
            let own = named.map_or_else(|| own.to_vec(), |named| vec![named]);
            JwkFault::NotListed(
                own.iter().map(|algorithm| format!("{algorithm:?}")).collect::<Vec<_>>().join(", "),
            )
        })
    }

    pub(super) fn kid(&self) -> Option<String> {
        self.text("kid").map(str::to_owned)
    }

    fn check_use(&self) -> Result<(), JwkFault> {
        match self.text("use") {
            None | Some("sig") => Ok(()),
            Some("enc") => Err(JwkFault::Encryption("use enc".to_owned())),
            Some(_) => Err(JwkFault::Use(self.shown("use"))),
        }
    }

    /// Returns the one algorithm that the key is for, if it names one.
    fn algorithm(&self) -> Result<Option<Algorithm>, JwkFault> {
        match self.0.get("alg") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(name)) => match parse_algorithm(name) {
                Some(algorithm) => Ok(Some(algorithm)),
                None if ENCRYPTION_ALGORITHMS.iter().any(|start| name.starts_with(start)) => {
                    Err(JwkFault::Encryption(format!("alg {}", to_single_line(name))))
                }
                None => Err(JwkFault::Algorithm(self.shown("alg"))),
            },
            Some(_) => Err(JwkFault::Algorithm("not a text".to_owned())),
        }
    }

    fn public_key(&self) -> Result<PublicKey, JwkFault> {
        let has_key = ["n", "x"].iter().any(|name| self.text(name).is_some());
        if !has_key && self.0.contains_key("x5c") {
            return self.key_of_certificate();
        }
        match (self.text("kty").ok_or(JwkFault::NoKeyType)?, self.text("crv")) {
            ("RSA", _) => Ok(PublicKey::rsa(&self.bytes("n")?, &self.bytes("e")?)?),
            ("EC", Some("P-256")) => Ok(PublicKey::ec(Curve::P256, &self.bytes("x")?, &self.bytes("y")?)?),
            ("EC", Some("P-384")) => Ok(PublicKey::ec(Curve::P384, &self.bytes("x")?, &self.bytes("y")?)?),
            ("OKP", Some("Ed25519")) => Ok(PublicKey::ed25519(&self.bytes("x")?)?),
            ("EC" | "OKP", _) => Err(JwkFault::Curve(self.shown("crv"))),
            _ => Err(JwkFault::KeyType(self.shown("kty"))),
        }
    }

    /// Returns the key of the first certificate, which is that of the JWK (RFC 7517 §4.7). That the set came from the
    /// issuer is what makes the key trusted, so the certificate's own chain and dates say nothing more.
    fn key_of_certificate(&self) -> Result<PublicKey, JwkFault> {
        let chain = self.0.get("x5c").and_then(Value::as_array);
        let first =
            chain.and_then(|chain| chain.first()).and_then(Value::as_str).ok_or(JwkFault::Certificate)?;
        let der = CertificateDer::from(decoded(first).ok_or(JwkFault::Certificate)?);
        let certificate = ParsedCertificate::try_from(&der).map_err(|_| JwkFault::Certificate)?;
        Ok(PublicKey::subject_public_key_info(&certificate.subject_public_key_info())?)
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// Returns a text for a message.
    fn shown(&self, name: &str) -> String {
        to_single_line(self.text(name).unwrap_or_default())
    }

    fn bytes(&self, name: &'static str) -> Result<Vec<u8>, JwkFault> {
        self.text(name).and_then(decoded).ok_or(JwkFault::Member(name))
    }
}

/// Decodes base64 in either alphabet, with or without padding and line breaks.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let text: String = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| match c {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    BASE64URL.decode(text).ok()
}
