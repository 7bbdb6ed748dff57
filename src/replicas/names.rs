//! The names of keys and channels in Redis. They tell nothing of users, and all have one hash tag, so that scripts may
//! use several of them in a cluster.

use super::seal::Name;

/// The names of one installation.
#[derive(Debug)]
pub(super) struct Names {
    /// `{prefix}`: what the braces hold decides on the slot in a cluster.
    tag: String,
}

impl Names {
    pub(super) fn new(key_prefix: &str) -> Self {
        Self { tag: format!("{{{key_prefix}}}") }
    }

    /// The credential of a grant.
    pub(super) fn credential(&self, name: Name) -> String {
        format!("{}:key:{name}", self.tag)
    }

    /// Who fetches it.
    pub(super) fn lease(&self, name: Name) -> String {
        format!("{}:lease:{name}", self.tag)
    }

    /// The scopes for which a user holds credentials, and when each expires.
    pub(super) fn scopes(&self, user: Name) -> String {
        format!("{}:scopes:{user}", self.tag)
    }

    /// When nothing of a user's rate limit is used any more.
    pub(super) fn requests(&self, user: Name) -> String {
        format!("{}:requests:{user}", self.tag)
    }

    /// When the next call to STS may be made.
    pub(super) fn quota(&self) -> String {
        format!("{}:quota", self.tag)
    }

    /// Whether replicas may still be alone that were so during an outage.
    pub(super) fn outage(&self) -> String {
        format!("{}:outage", self.tag)
    }

    /// What the replicas with one key say of themselves, by their id.
    pub(super) fn replicas(&self, key: Name) -> String {
        format!("{}:replicas:{key}", self.tag)
    }

    /// When each of them was last seen.
    pub(super) fn seen(&self) -> String {
        format!("{}:seen", self.tag)
    }

    /// When each version of the templates was first seen.
    pub(super) fn versions(&self) -> String {
        format!("{}:versions", self.tag)
    }

    /// Changes of revocations that were sealed with one key.
    pub(super) fn revocations(&self, key: Name) -> String {
        format!("{}:revocations:{key}", self.tag)
    }

    /// How many changes of revocations there were.
    pub(super) fn revocation_count(&self) -> String {
        format!("{}:revocation-count", self.tag)
    }

    pub(super) fn probe(&self) -> String {
        format!("{}:probe", self.tag)
    }

    /// A part of what `cosbroker check` writes and deletes.
    pub(super) fn check(&self, part: &str) -> String {
        format!("{}:check:{part}", self.tag)
    }

    /// Where the end of a fetch is told.
    pub(super) fn done_channel(&self) -> String {
        format!("{}:done", self.tag)
    }

    /// Where changes of revocations are told.
    pub(super) fn revoked_channel(&self) -> String {
        format!("{}:revoked", self.tag)
    }
}
