//! Cache outcomes: how a credential was obtained, and why a lookup missed.

/// How a served credential was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheOutcome {
    /// From the cache.
    Hit,
    /// From the cache, and the request started a refresh.
    Refreshed,
    /// By an STS call that this request started.
    Fetched,
    /// By an STS call that another request had started.
    Coalesced,
    /// From Redis, where another replica had put it.
    Shared,
    /// An older credential from the cache, because STS failed.
    Stale,
}

impl CacheOutcome {
    /// Every outcome.
    pub const ALL: [Self; 6] =
        [Self::Hit, Self::Refreshed, Self::Fetched, Self::Coalesced, Self::Shared, Self::Stale];

    /// Value of the `outcome` label and of the audit field.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Refreshed => "refreshed",
            Self::Fetched => "fetched",
            Self::Coalesced => "coalesced",
            Self::Shared => "shared",
            Self::Stale => "stale",
        }
    }

    /// Whether a fresh credential was in the cache.
    pub fn is_hit(self) -> bool {
        matches!(self, Self::Hit | Self::Refreshed)
    }

    /// Whether the request waited for STS and got a new credential.
    pub fn waited_for_sts(self) -> bool {
        matches!(self, Self::Fetched | Self::Coalesced)
    }

    /// Whether the request caused no STS call.
    pub fn saved_a_call(self) -> bool {
        matches!(self, Self::Hit | Self::Coalesced | Self::Shared)
    }
}

/// Why no cached credential was fresh enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MissReason {
    /// Never requested before, as far as is remembered.
    Cold,
    /// Its remaining TTL is below the minimum.
    Expired,
    /// Evicted to make room for others.
    Evicted,
    /// The same user and template have another policy now.
    PolicyChanged,
    /// Issued with source credentials that were rotated since.
    SourceCredentialsRotated,
    /// Its remaining TTL is below what the request asks for.
    MinRemaining,
    /// Its holder was revoked after it was issued, and restored since.
    Revoked,
}

impl MissReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Cold,
        Self::Expired,
        Self::Evicted,
        Self::PolicyChanged,
        Self::SourceCredentialsRotated,
        Self::MinRemaining,
        Self::Revoked,
    ];

    /// Value of the `reason` label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Expired => "expired",
            Self::Evicted => "evicted",
            Self::PolicyChanged => "policy_changed",
            Self::SourceCredentialsRotated => "source_credentials_rotated",
            Self::MinRemaining => "min_remaining",
            Self::Revoked => "revoked",
        }
    }
}
