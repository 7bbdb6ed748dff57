//! Inventory of the active credentials: who holds which, and until when. It holds no secret.
//!
//! Holds more than the cache does: an evicted or refreshed credential stays valid until it expires. Bounded in
//! bytes: when full, the entries that expire first are dropped and counted in `forgotten`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{CredentialCache, cached_credential::CachedCredential};

/// A credential that has not expired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveCredential {
    /// The token's `iss`.
    pub issuer: String,
    /// The token's `sub`.
    pub subject: String,
    /// Name of its template.
    pub template: String,
    /// Bucket, with its APPID.
    pub bucket: String,
    /// Region, such as `ap-guangzhou`.
    pub region: String,
    /// The folder it is confined to.
    pub prefix: String,
    /// Whether its holder chose a narrower scope than the template's.
    pub narrowed: bool,
    /// `TmpSecretId`: identifies the credential and is no secret. Stands in COS's access log.
    pub key_id: String,
    /// As in the answer, the log and the STS session name.
    pub grant_id: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires, by STS's clock.
    pub expires_at: Timestamp,
}

/// Selects active credentials. What is absent or empty selects all.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyFilter {
    /// Exactly this issuer.
    pub issuer: Option<String>,
    /// Exactly this subject.
    pub subject: Option<String>,
    /// Folders that begin with this.
    pub prefix: Option<String>,
    /// Bound on the credentials listed; 1000 by default, at most 10,000.
    pub limit: Option<usize>,
}

/// The active credentials that a filter selects.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActiveCredentials {
    /// Those listed, the last to expire first.
    pub keys: Vec<ActiveCredential>,
    /// Number of all that the filter selects.
    pub active: usize,
    /// Number of those listed.
    pub listed: usize,
    /// When the last of them expires.
    pub expires_last_at: Option<Timestamp>,
    /// What is not included.
    #[serde(flatten)]
    pub coverage: Coverage,
}

/// What the inventory does not include: it begins with the process, and its memory is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The time now, by this broker's clock.
    pub now: Timestamp,
    /// Credentials issued before, or by other replicas, are not known here.
    pub known_since: Timestamp,
    /// Active credentials of any user that were dropped because the inventory is full.
    pub forgotten: u64,
    /// When the last of those expires.
    pub forgotten_until: Option<Timestamp>,
}

/// Credentials listed by default.
const DEFAULT_LIST_LIMIT: usize = 1000;
/// Bound on the credentials listed: some 4 MiB of JSON.
const MAX_LIST_LIMIT: usize = 10_000;
/// Approximate size of what surrounds a text in memory.
const TEXT_OVERHEAD_BYTES: usize = 16;
/// Approximate size of an entry's place in the map.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// The active credentials.
#[derive(Debug)]
pub(super) struct Inventory {
    max_bytes: u64,
    since: Timestamp,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    /// In the order of expiry; the number tells apart those that expire together.
    credentials: BTreeMap<(Timestamp, u64), Arc<ActiveCredential>>,
    bytes: u64,
    added: u64,
    /// Number of dropped credentials by the minute in which they expire: few numbers, however many are dropped.
    forgotten: BTreeMap<i64, u64>,
}

impl CredentialCache {
    /// Lists the active credentials. Iterates over all of them: not for an async worker thread.
    pub fn active_credentials(&self, filter: &KeyFilter) -> ActiveCredentials {
        self.0.inventory.list(filter, self.0.clock.now())
    }
}

impl Inventory {
    /// An empty inventory of at most `max_bytes`.
    pub(super) fn new(max_bytes: u64, since: Timestamp) -> Self {
        Self { max_bytes, since, entries: Mutex::default() }
    }

    /// Adds a new credential.
    pub(super) fn add(&self, cached: &CachedCredential, now: Timestamp) {
        self.insert(ActiveCredential::new(cached, now), now);
    }

    fn insert(&self, credential: ActiveCredential, now: Timestamp) {
        let mut entries = self.entries();
        entries.remove_expired(now);
        entries.added += 1;
        entries.bytes += credential.weight();
        let place = (credential.expires_at, entries.added);
        entries.credentials.insert(place, Arc::new(credential));
        while entries.bytes > self.max_bytes {
            entries.evict_earliest_expiry();
        }
    }

    /// Lists the active credentials that a filter selects.
    pub(super) fn list(&self, filter: &KeyFilter, now: Timestamp) -> ActiveCredentials {
        let limit = filter.limit.unwrap_or(DEFAULT_LIST_LIMIT).min(MAX_LIST_LIMIT);
        let (mut active, mut expires_last_at, mut listed) = (0, None, Vec::new());
        let mut entries = self.entries();
        entries.remove_expired(now);
        for credential in entries.credentials.values().rev().filter(|one| filter.selects(one)) {
            active += 1;
            expires_last_at = expires_last_at.max(Some(credential.expires_at));
            if listed.len() < limit {
                listed.push(Arc::clone(credential));
            }
        }
        let coverage = Coverage {
            now,
            known_since: self.since,
            forgotten: entries.forgotten.values().sum(),
            forgotten_until: entries.forgotten.keys().next_back().and_then(|minute| end_of(*minute)),
        };
        // Copied after the lock is released.
        drop(entries);
        let keys: Vec<_> = listed.iter().map(|credential| ActiveCredential::clone(credential)).collect();
        ActiveCredentials { active, listed: keys.len(), expires_last_at, keys, coverage }
    }

    /// A poisoned lock is usable: the entries are consistent after each call.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn remove_expired(&mut self, now: Timestamp) {
        while let Some(first) = self.credentials.first_entry().filter(|first| first.key().0 <= now) {
            self.bytes -= first.remove().weight();
        }
        while let Some(first) = self.forgotten.first_entry()
            && end_of(*first.key()).is_none_or(|end| end <= now)
        {
            first.remove();
        }
    }

    fn evict_earliest_expiry(&mut self) {
        if let Some(((expires_at, _), credential)) = self.credentials.pop_first() {
            self.bytes -= credential.weight();
            *self.forgotten.entry(minute_of(expires_at)).or_default() += 1;
        }
    }
}

/// The minute at whose end a credential has expired.
fn minute_of(expires_at: Timestamp) -> i64 {
    expires_at.as_second().div_euclid(60)
}

fn end_of(minute: i64) -> Option<Timestamp> {
    Timestamp::from_second((minute + 1) * 60).ok()
}

impl KeyFilter {
    fn selects(&self, credential: &ActiveCredential) -> bool {
        is_unset_or(self.subject.as_ref(), &credential.subject)
            && is_unset_or(self.issuer.as_ref(), &credential.issuer)
            && self.prefix.as_ref().is_none_or(|prefix| credential.prefix.starts_with(prefix))
    }
}

fn is_unset_or(wanted: Option<&String>, found: &str) -> bool {
    wanted.is_none_or(|wanted| wanted.is_empty() || wanted == found)
}

impl ActiveCredential {
    fn new(cached: &CachedCredential, issued_at: Timestamp) -> Self {
        let (grant, credential) = (cached.grant(), cached.credential());
        Self {
            issuer: grant.principal().issuer().to_owned(),
            subject: grant.principal().subject().to_owned(),
            template: grant.template_name().to_owned(),
            bucket: grant.bucket().name.clone(),
            region: grant.bucket().region.clone(),
            prefix: grant.home().to_owned(),
            narrowed: grant.is_narrowed(),
            key_id: credential.secret_id.clone(),
            grant_id: grant.id().to_string(),
            issued_at,
            expires_at: credential.expires_at,
        }
    }

    /// Approximate size in bytes: its texts, what surrounds each, and its place.
    fn weight(&self) -> u64 {
        let texts = [
            &self.issuer,
            &self.subject,
            &self.template,
            &self.bucket,
            &self.region,
            &self.prefix,
            &self.key_id,
            &self.grant_id,
        ];
        let bytes: usize = texts.iter().map(|text| text.len() + TEXT_OVERHEAD_BYTES).sum();
        (bytes + size_of::<Self>() + ENTRY_OVERHEAD_BYTES) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn credential(subject: &str, issued: i64, expires_at: i64) -> ActiveCredential {
        ActiveCredential {
            issuer: "https://id.test/".to_owned(),
            subject: subject.to_owned(),
            template: "upload".to_owned(),
            bucket: "examplebucket-1250000000".to_owned(),
            region: "ap-guangzhou".to_owned(),
            prefix: format!("users/{subject}/"),
            narrowed: false,
            key_id: format!("AKID{issued}"),
            grant_id: "abcdefghijklmnop".to_owned(),
            issued_at: at(issued),
            expires_at: at(expires_at),
        }
    }

    fn of(subject: &str) -> KeyFilter {
        KeyFilter { subject: Some(subject.to_owned()), ..KeyFilter::default() }
    }

    #[test]
    fn a_credential_is_listed_until_it_expires_and_so_is_an_older_one() {
        let inventory = Inventory::new(1 << 20, at(0));
        inventory.insert(credential("alice", 0, 1800), at(0));
        inventory.insert(credential("bob", 10, 1810), at(10));
        inventory.insert(credential("alice", 1200, 3000), at(1200));
        let alices = inventory.list(&of("alice"), at(1799));
        assert_eq!((alices.active, alices.expires_last_at), (2, Some(at(3000))));
        assert_eq!(
            alices.keys,
            [credential("alice", 1200, 3000), credential("alice", 0, 1800)],
            "the last to expire first"
        );
        assert_eq!(inventory.list(&of("alice"), at(1800)).keys, [credential("alice", 1200, 3000)]);
        let none = inventory.list(&KeyFilter::default(), at(3000));
        assert_eq!((none.active, none.expires_last_at, none.coverage.forgotten), (0, None, 0));
        assert_eq!(inventory.entries.lock().unwrap().bytes, 0);
    }

    #[test]
    fn a_filter_selects_by_issuer_subject_and_prefix_and_an_empty_value_selects_all() {
        let inventory = Inventory::new(1 << 20, at(0));
        for subject in ["alice", "alicia", "bob"] {
            inventory.insert(credential(subject, 0, 1800), at(0));
        }
        inventory.insert(ActiveCredential { issuer: "other".to_owned(), ..key("alice", 1, 1800) }, at(1));
        let text = |text: &str| Some(text.to_owned());
        for (issuer, subject, prefix, active) in [
            (None, None, None, 4),
            (text(""), text(""), text(""), 4),
            (None, text("alice"), None, 2),
            (text("other"), text("alice"), None, 1),
            (None, text("ali"), None, 0),
            (None, None, text("users/ali"), 3),
            (None, text("bob"), text("users/ali"), 0),
        ] {
            let filter = KeyFilter { issuer, subject, prefix, limit: None };
            assert_eq!(inventory.list(&filter, at(2)).active, active, "{filter:?}");
        }
        let two = inventory.list(&KeyFilter { limit: Some(2), ..KeyFilter::default() }, at(2));
        assert_eq!((two.keys.len(), two.listed, two.active), (2, 2, 4));
    }

    #[test]
    fn dropped_credentials_are_counted_until_they_would_have_expired() {
        let max_bytes = credential("u00", 0, 1800).weight() * 10;
        let inventory = Inventory::new(max_bytes, at(0));
        for n in 10..40 {
            inventory.insert(credential(&format!("u{n}"), 0, 1800 + n * 60), at(0));
        }
        let all = inventory.list(&KeyFilter::default(), at(0));
        assert_eq!((all.active, all.coverage.forgotten), (10, 20));
        assert!(
            all.keys.iter().all(|key| key.expires_at > at(1800 + 29 * 60)),
            "the last to expire are kept"
        );
        assert_eq!(
            all.coverage.forgotten_until,
            Some(at(1800 + 30 * 60)),
            "to the minute, and never too early"
        );
        let later = inventory.list(&KeyFilter::default(), at(1800 + 20 * 60));
        assert_eq!((later.active, later.coverage.forgotten), (10, 10));
        let end = inventory.list(&KeyFilter::default(), at(1800 + 40 * 60)).coverage;
        assert_eq!((end.forgotten, end.forgotten_until), (0, None));
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bound_and_drops_nothing_that_fits(
            steps in proptest::collection::vec((0i64..600, 1i64..4000, 0usize..5), 1..200),
            room in 1u64..60,
        ) {
            let users = ["a", "b", "c", "d", "e"];
            let bound = credential("a", 0, 0).weight() * room;
            let inventory = Inventory::new(bound, at(0));
            let (mut now, mut all, mut was_full) = (0, Vec::new(), false);
            for (passes, lifetime, user) in steps {
                now += passes;
                let made = credential(users[user], now, now + lifetime);
                inventory.insert(made.clone(), at(now));
                all.push(made);
                all.retain(|key| key.expires_at > at(now));
                was_full |= all.iter().map(ActiveCredential::weight).sum::<u64>() > bound;
                prop_assert!(inventory.entries.lock().unwrap().bytes <= bound);
                let listed = inventory.list(&KeyFilter::default(), at(now));
                let dropped = (all.len() - listed.active) as u64;
                prop_assert!(listed.coverage.forgotten >= dropped, "what is dropped is counted");
                prop_assert!(was_full || dropped == 0, "nothing is dropped while there is room");
                let last = all.iter().map(|key| key.expires_at).max();
                prop_assert!(listed.expires_last_at == last || listed.coverage.forgotten_until >= last);
            }
        }
    }
}
