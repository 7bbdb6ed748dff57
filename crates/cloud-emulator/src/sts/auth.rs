//! The checks of both signature versions: the timestamp and the `SecretId`.

use jiff::Timestamp;

use super::error::StsError;
use crate::account::Account;

/// The largest difference between a request's time and the emulator's clock (`docs/understand/tencent.md`).
const MAX_CLOCK_SKEW_SECONDS: i64 = 300;

/// Returns the time that a request names, if it is close enough to `now`.
pub(super) fn check_timestamp(seconds: &str, now: Timestamp) -> Result<Timestamp, StsError> {
    let at = seconds
        .parse()
        .ok()
        .and_then(|second| Timestamp::from_second(second).ok())
        .ok_or_else(|| StsError::new("InvalidParameter", "the timestamp is not in seconds"))?;
    if (at.as_second() - now.as_second()).abs() > MAX_CLOCK_SKEW_SECONDS {
        return Err(StsError::new(
            "AuthFailure.SignatureExpire",
            "the timestamp is too far from the current time",
        ));
    }
    Ok(at)
}

/// Refuses a `SecretId` of another account.
pub(super) fn check_secret_id(account: &Account, secret_id: &str) -> Result<(), StsError> {
    if secret_id == account.secret_id {
        return Ok(());
    }
    Err(StsError::new("AuthFailure.SecretIdNotFound", "the SecretId is not found"))
}
