//! Shadow templates: a version that does not serve yet. Live requests render it beside the serving version, and
//! the changes are counted per principal.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    fingerprint::Fingerprint,
    grant::{Grant, NoGrant, confined_policy},
    identity::Identity,
    proof::Proved,
    revision::Revision,
    verify::ConfinedPolicy,
};
use cam::compare::compare;

/// A version of a template that does not serve yet, from a `<name>.next.toml`.
#[derive(Debug)]
pub(super) struct Shadow {
    /// The file's SHA-256 in hexadecimal.
    pub(super) version: String,
    /// The proved template, or why it could not serve.
    pub(super) next: Result<Arc<Proved>, Vec<String>>,
    /// What it changes for all users.
    pub(super) revision: Revision,
    /// What it changes for the principals seen so far.
    pub(super) counts: Arc<ShadowCounts>,
}

/// Counts of principals by what a shadow changes for them. Each principal counts once.
#[derive(Debug, Default)]
pub(super) struct ShadowCounts(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    principals: HashMap<Fingerprint, Change>,
    failures: BTreeMap<String, usize>,
}

/// What a shadow changes for one principal.
#[derive(Debug, Clone, Copy, Default)]
struct Change {
    widened: bool,
    narrowed: bool,
    failed: bool,
    bytes_before: usize,
    bytes_after: usize,
}

/// Each principal takes some 64 bytes.
const MAX_PRINCIPALS: usize = 100_000;

/// The messages are bounded, because templates and claims are.
const MAX_FAILURE_KINDS: usize = 20;

/// What a shadow would change, according to live requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShadowReport {
    /// The file's SHA-256 in hexadecimal.
    pub version: String,
    /// Why it could not serve, if it could not.
    pub problems: Vec<String>,
    /// What it changes for all users.
    pub revision: Revision,
    /// The principals seen since both versions were loaded.
    pub users: usize,
    /// Those for whom nothing changes.
    pub unchanged: usize,
    /// Those who could do something new.
    pub widened: usize,
    /// Those who could no longer do something.
    pub narrowed: usize,
    /// Those who get a key now and would get none.
    pub failed: usize,
    /// The reasons for that, with their numbers.
    pub failures: BTreeMap<String, usize>,
    /// The sizes of the policies, in bytes.
    pub policy_bytes: PolicySizes,
}

/// Policy sizes of the principals who get a key under both versions.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct PolicySizes {
    /// The maximum under the serving version.
    pub now_largest: usize,
    /// The maximum under the shadow.
    pub next_largest: usize,
    /// The mean under the serving version.
    pub now_mean: usize,
    /// The mean under the shadow.
    pub next_mean: usize,
}

impl fmt::Display for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.next {
            Ok(_) => write!(f, "shadow: {}", self.revision),
            Err(problems) => write!(f, "shadow that could not serve: {}", problems.join("; ")),
        }
    }
}

impl Shadow {
    /// Counts what would change for an identity, given what it gets now.
    pub(super) fn observe(&self, identity: &Identity, now: Result<&Grant, &NoGrant>) {
        let Ok(next) = &self.next else { return };
        let principal = identity.principal().fingerprint();
        if self.counts.is_counted_or_full(principal) {
            return;
        }
        let next = confined_policy(next, identity);
        let change = Change::between(now.map(Grant::policy).ok(), next.as_ref().ok());
        let reason = next.err().filter(|_| change.failed).map(|error| error.to_string());
        self.counts.add(principal, change, reason);
    }

    /// Reports the counts so far.
    pub(super) fn report(&self) -> ShadowReport {
        let counts = self.counts.lock();
        let changes: Vec<Change> = counts.principals.values().copied().collect();
        ShadowReport {
            version: self.version.clone(),
            problems: self.next.as_ref().err().cloned().unwrap_or_default(),
            revision: self.revision.clone(),
            users: changes.len(),
            unchanged: changes.iter().filter(|one| !one.widened && !one.narrowed && !one.failed).count(),
            widened: changes.iter().filter(|one| one.widened).count(),
            narrowed: changes.iter().filter(|one| one.narrowed).count(),
            failed: changes.iter().filter(|one| one.failed).count(),
            failures: counts.failures.clone(),
            policy_bytes: PolicySizes::of(&changes),
        }
    }
}

impl Change {
    fn between(now: Option<&ConfinedPolicy>, next: Option<&ConfinedPolicy>) -> Self {
        let bytes_before = now.map_or(0, policy_bytes);
        let bytes_after = next.map_or(0, policy_bytes);
        let (widened, narrowed) = match (now, next) {
            (Some(now), Some(next)) => {
                let change = compare(&now.policy(), &next.policy());
                (change.widens(), change.lost().next().is_some())
            }
            (None, Some(_)) => (true, false),
            (Some(_) | None, None) => (false, false),
        };
        let failed = now.is_some() && next.is_none();
        Self { widened, narrowed, failed, bytes_before, bytes_after }
    }
}

fn policy_bytes(policy: &ConfinedPolicy) -> usize {
    policy.policy().to_json().len()
}

impl PolicySizes {
    fn of(changes: &[Change]) -> Self {
        let under_both = changes.iter().filter(|one| one.bytes_before > 0 && one.bytes_after > 0);
        let (before, after): (Vec<usize>, Vec<usize>) =
            under_both.map(|one| (one.bytes_before, one.bytes_after)).unzip();
        Self {
            now_largest: before.iter().max().copied().unwrap_or_default(),
            next_largest: after.iter().max().copied().unwrap_or_default(),
            now_mean: mean(&before),
            next_mean: mean(&after),
        }
    }
}

fn mean(sizes: &[usize]) -> usize {
    sizes.iter().sum::<usize>() / sizes.len().max(1)
}

impl ShadowCounts {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a principal is counted already, or no more can be counted.
    fn is_counted_or_full(&self, principal: Fingerprint) -> bool {
        let counts = self.lock();
        counts.principals.len() >= MAX_PRINCIPALS || counts.principals.contains_key(&principal)
    }

    fn add(&self, principal: Fingerprint, change: Change, failure: Option<String>) {
        let mut counts = self.lock();
        let is_new = counts.principals.insert(principal, change).is_none();
        if let Some(failure) = failure.filter(|_| is_new)
            && (counts.failures.len() < MAX_FAILURE_KINDS || counts.failures.contains_key(&failure))
        {
            *counts.failures.entry(failure).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(n: usize) -> Fingerprint {
        Fingerprint::of(&[n.to_string()])
    }

    #[test]
    fn the_number_of_counted_principals_is_bounded() {
        let counts = ShadowCounts::default();
        for n in 0..MAX_PRINCIPALS {
            assert!(!counts.is_counted_or_full(principal(n)), "{n}");
            counts.add(principal(n), Change::default(), None);
        }
        assert!(counts.is_counted_or_full(principal(MAX_PRINCIPALS)), "no more are counted");
    }

    #[test]
    fn the_number_of_failure_kinds_is_bounded_and_known_kinds_keep_counting() {
        let counts = ShadowCounts::default();
        for n in 0..MAX_FAILURE_KINDS * 2 {
            counts.add(principal(n), Change::default(), Some(format!("kind {n}")));
        }
        counts.add(principal(MAX_FAILURE_KINDS * 2), Change::default(), Some("kind 0".to_owned()));
        let failures = counts.lock().failures.clone();
        assert_eq!((failures.len(), failures["kind 0"]), (MAX_FAILURE_KINDS, 2));
    }
}
