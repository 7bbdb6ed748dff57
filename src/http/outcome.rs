//! How a request ended: one value, made by a handler and told to every observer by `observe`.

use std::{sync::Arc, time::Duration};

use super::refusal::Refusal;
use crate::credential_cache::{CacheOutcome, CachedCredential};
use templates::Grant;

/// How a request ended.
#[derive(Debug)]
pub(super) enum RequestOutcome {
    /// With a credential.
    Served {
        credential: Arc<CachedCredential>,
        how: CacheOutcome,
        /// Time until the credential expires.
        ttl: Duration,
    },
    /// With an answer that holds no credential: an explanation, a probe, a CORS preflight.
    Answered,
    /// With a refusal.
    Refused(Refusal),
    /// Without an answer: the client disconnected while the request waited for STS.
    Abandoned { grant: Arc<Grant> },
}

/// The `outcome` label of a request for a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutcomeLabel {
    /// It got a credential.
    Served(CacheOutcome),
    /// It was refused, or its client disconnected.
    Refused,
}

impl OutcomeLabel {
    /// Every label.
    pub const ALL: [Self; 7] = [
        Self::Served(CacheOutcome::Hit),
        Self::Served(CacheOutcome::Refreshed),
        Self::Served(CacheOutcome::Fetched),
        Self::Served(CacheOutcome::Coalesced),
        Self::Served(CacheOutcome::Shared),
        Self::Served(CacheOutcome::Stale),
        Self::Refused,
    ];

    /// Text of the label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Served(how) => how.name(),
            Self::Refused => "refused",
        }
    }

    /// Whether a fresh credential was in the cache.
    pub fn is_hit(self) -> bool {
        matches!(self, Self::Served(how) if how.is_hit())
    }

    /// Whether the request waited for STS and got a new credential.
    pub fn waited_for_sts(self) -> bool {
        matches!(self, Self::Served(how) if how.waited_for_sts())
    }
}

impl RequestOutcome {
    /// Its label; none for an answer without a credential.
    pub(super) fn label(&self) -> Option<OutcomeLabel> {
        match self {
            Self::Served { how, .. } => Some(OutcomeLabel::Served(*how)),
            Self::Refused(_) | Self::Abandoned { .. } => Some(OutcomeLabel::Refused),
            Self::Answered => None,
        }
    }
}
