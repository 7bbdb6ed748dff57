//! What an operator must know about an issuer that is accepted with less than usual.

use secrecy::ExposeSecret;

use super::{Audience, Issuer, KeySource};
use crate::config::hmac_secret::MIN_HMAC_SECRET_BYTES;

/// Defaults of frameworks that are shorter than an HMAC secret has to be, and are published.
const PUBLISHED_SHORT_SECRETS: [(&[u8], &str); 1] = [(b"abcdefghijklmnopqrstuvwxyz", "RuoYi")];

impl Issuer {
    /// Returns a warning, with its place, for each check that the configuration turns off.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.audience == Audience::Absent {
            warnings.push("audience = \"absent\": every token that this issuer signs is accepted, whichever service it is for; right only while issuer and key belong to one app".to_owned());
        }
        if self.name.may_be_absent() {
            warnings.push("issuer_claim = \"absent\": a token without `iss` is taken for one of this issuer; right only while its key signs for no other service".to_owned());
        }
        warnings.extend(self.short_secret());
        let name = self.name.canonical();
        warnings.into_iter().map(|warning| format!("{}: issuer `{name}`: {warning}", self.place)).collect()
    }

    fn short_secret(&self) -> Option<String> {
        let KeySource::Secret(secret) = &self.keys else { return None };
        let secret = secret.expose_secret();
        if secret.len() >= MIN_HMAC_SECRET_BYTES {
            return None;
        }
        let mut warning = format!(
            "allow_short_secret: the HMAC secret has {} bytes, fewer than {MIN_HMAC_SECRET_BYTES} (RFC 7518 §3.2): change it as soon as the app can",
            secret.len()
        );
        if let Some((_, framework)) = PUBLISHED_SHORT_SECRETS.iter().find(|(known, _)| *known == secret) {
            warning.push_str("; it is the published default of ");
            warning.push_str(framework);
            warning.push_str(", with which anybody can sign tokens for any user: change it now");
        }
        Some(warning)
    }
}
