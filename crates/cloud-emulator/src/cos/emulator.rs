//! The state of the COS emulator.

use std::sync::Arc;

use super::auth::Authenticator;
use crate::{account::Account, session::SessionKey, storage::Storage};
use runtime::{clock::Clock, entropy::Entropy};

/// A COS for one account.
#[derive(Debug)]
pub(crate) struct CosEmulator {
    pub(super) authenticator: Authenticator,
    pub(super) storage: Storage,
    /// The region of buckets whose host name has none.
    pub(super) default_region: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

impl CosEmulator {
    /// Creates a COS that accepts the account's keys and the temporary keys sealed with this session key.
    pub(crate) fn new(
        account: Account,
        session_key: Arc<SessionKey>,
        storage: Storage,
        default_region: String,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let authenticator = Authenticator::new(account, session_key);
        Self { authenticator, storage, default_region, clock, entropy }
    }
}
