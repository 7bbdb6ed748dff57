//! The operation on a bucket itself that set-up scripts begin with: `PUT /`.

use super::{auth::Caller, error::CosError};

/// Returns why a bucket is not created: to a key of the account, that it exists already, as every bucket does. The
/// keys of users create no buckets, whatever their policy says.
pub(super) fn put_bucket(caller: &Caller) -> CosError {
    match caller {
        Caller::Account => CosError::BucketAlreadyOwnedByYou,
        Caller::TemporaryKey(_) => {
            CosError::AccessDenied("name/cos:PutBucket is only for the account's permanent key".to_owned())
        }
    }
}
