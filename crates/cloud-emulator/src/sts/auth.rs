//! The checks of both signature versions: the timestamp, and whose key signed a call.

use jiff::Timestamp;

use super::error::StsError;
use crate::{account::Account, session::SessionKey};
use cam::Policy;

/// The largest difference between a request's time and the emulator's clock (`docs/understand/tencent.md`).
const MAX_CLOCK_SKEW_SECONDS: i64 = 300;

/// Knows the account's permanent keys and the temporary keys of this STS.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signers<'a> {
    pub(super) account: &'a Account,
    pub(super) session_key: &'a SessionKey,
    pub(super) now: Timestamp,
}

/// The key that a call says it is signed with.
pub(super) struct SigningKey {
    pub(super) secret_id: String,
    pub(super) secret_key: String,
    pub(super) rights: Rights,
}

/// What the holder of a key may do, beside what the account may do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rights {
    /// All that the account may do.
    OfAccount,
    /// What this policy of a temporary key allows.
    OfTemporaryKey(Policy),
}

impl Signers<'_> {
    /// Returns the time that a request names, if it is close enough to now.
    pub(super) fn check_timestamp(&self, seconds: &str) -> Result<Timestamp, StsError> {
        let at = seconds
            .parse()
            .ok()
            .and_then(|second| Timestamp::from_second(second).ok())
            .ok_or_else(|| StsError::new("InvalidParameter", "the timestamp is not in seconds"))?;
        if (at.as_second() - self.now.as_second()).abs() > MAX_CLOCK_SKEW_SECONDS {
            return Err(StsError::new(
                "AuthFailure.SignatureExpire",
                "the timestamp is too far from the current time",
            ));
        }
        Ok(at)
    }

    /// Returns the key with this `SecretId`: a temporary one if there is a token, or else the account's.
    pub(super) fn key(&self, secret_id: &str, token: Option<&str>) -> Result<SigningKey, StsError> {
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            if secret_id != self.account.secret_id {
                return Err(StsError::new("AuthFailure.SecretIdNotFound", "the SecretId is not found"));
            }
            let Account { secret_id, secret_key } = self.account.clone();
            return Ok(SigningKey { secret_id, secret_key, rights: Rights::OfAccount });
        };
        let session = self.session_key.open(token).filter(|session| session.secret_id == secret_id);
        let session = session
            .ok_or_else(|| StsError::new("AuthFailure.TokenFailure", "the token is not of this SecretId"))?;
        if session.expires_at <= self.now.as_second() {
            return Err(StsError::new("AuthFailure.TokenFailure", "the token has expired"));
        }
        let policy = Policy::parse(session.policy.as_bytes())
            .map_err(|error| StsError::new("AuthFailure.TokenFailure", error.to_string()))?;
        let secret_key = self.session_key.secret_of(secret_id);
        let rights = Rights::OfTemporaryKey(policy);
        Ok(SigningKey { secret_id: session.secret_id, secret_key, rights })
    }
}
