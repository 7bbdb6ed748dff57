//! The state of the COS emulator.

use std::sync::Arc;

use super::{auth::Authenticator, bucket_policy::BucketPolicies};
use crate::{
    account::Account, account_policies::AccountPolicies, session::SessionKey, storage::Storage,
    weakness::Weakness,
};
use runtime::{clock::Clock, entropy::Entropy};

/// A COS for one account.
#[derive(Debug)]
pub(crate) struct CosEmulator {
    pub(super) authenticator: Authenticator,
    /// The policies of the account, which temporary keys cannot exceed.
    pub(super) account_policies: Arc<AccountPolicies>,
    pub(super) bucket_policies: BucketPolicies,
    pub(super) weakness: Option<Weakness>,
    pub(super) storage: Storage,
    /// The region of buckets whose host name has none.
    pub(super) default_region: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

/// What a COS is made of.
pub(crate) struct CosParts {
    pub(crate) account: Account,
    pub(crate) account_policies: Arc<AccountPolicies>,
    pub(crate) session_key: Arc<SessionKey>,
    pub(crate) storage: Storage,
    pub(crate) default_region: String,
    pub(crate) weakness: Option<Weakness>,
}

impl CosEmulator {
    /// Creates a COS that accepts the account's keys and the temporary keys sealed with this session key.
    pub(crate) fn new(parts: CosParts, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let CosParts { account, account_policies, session_key, storage, default_region, weakness } = parts;
        Self {
            authenticator: Authenticator::new(account, session_key),
            account_policies,
            bucket_policies: BucketPolicies::default(),
            weakness,
            storage,
            default_region,
            clock,
            entropy,
        }
    }
}
