//! Inventory of the active credentials: who holds which, and until when. It holds no secret.
//!
//! Holds more than the cache does: an evicted or refreshed credential stays valid until it expires. Bounded in
//! bytes: when full, the entries that expire first are dropped and counted in `forgotten`.

mod pages;

use std::{
    collections::BTreeMap,
    hash::BuildHasher,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::fast::FixedState;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::pages::{CredentialPage, Cursor, KeyOrder};
use super::{CredentialCache, cached_credential::CachedCredential};
use templates::{Grant, allocation::block};

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
/// Size of an entry and its cursor in the map, whose nodes are little more than half full: they fill up in order.
const ENTRY_BYTES: usize = 112;
/// Entries looked at while the lock is held: a request that issues a credential waits for it no longer than that takes.
const MAX_ENTRIES_PER_LOCK: usize = 1000;

/// The active credentials.
#[derive(Debug)]
pub(super) struct Inventory {
    max_bytes: u64,
    since: Timestamp,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    credentials: BTreeMap<Cursor, Entry>,
    bytes: u64,
    added: u64,
    /// Number of dropped credentials by the minute in which they expire: few numbers, however many are dropped.
    forgotten: BTreeMap<i64, u64>,
}

/// A credential, beside when it expires. The grant is shared with the cache while the credential is there.
#[derive(Debug, Clone)]
struct Entry {
    grant: Arc<Grant>,
    /// The hash of the subject, by which others are told apart without a look at their grants.
    subject_hash: u64,
    key_id: Box<str>,
    issued_at_ms: i64,
}

/// What a filter selects, with the hash of its subject.
#[derive(Debug)]
struct Selector<'a> {
    filter: &'a KeyFilter,
    subject_hash: Option<u64>,
}

impl CredentialCache {
    /// Lists the active credentials. Iterates over all of them: not for an async worker thread.
    pub fn active_credentials(&self, filter: &KeyFilter) -> ActiveCredentials {
        self.0.inventory.list(filter, self.0.clock.now())
    }

    /// The number of active credentials, which is known without a look at each.
    pub fn active_count(&self) -> u64 {
        self.0.inventory.count(self.0.clock.now())
    }
}

impl Inventory {
    /// An empty inventory of at most `max_bytes`.
    pub(super) fn new(max_bytes: u64, since: Timestamp) -> Self {
        Self { max_bytes, since, entries: Mutex::default() }
    }

    /// Adds a new credential.
    pub(super) fn add(&self, cached: &CachedCredential, now: Timestamp) {
        let entry = Entry::new(Arc::clone(cached.grant()), cached.key_id(), now);
        self.insert(entry, cached.expires_at(), now);
    }

    fn insert(&self, entry: Entry, expires_at: Timestamp, now: Timestamp) {
        let mut entries = self.entries();
        entries.remove_expired(now);
        entries.added += 1;
        entries.bytes += entry.weight();
        let cursor = Cursor::new(expires_at, entries.added);
        entries.credentials.insert(cursor, entry);
        while entries.bytes > self.max_bytes {
            entries.evict_earliest_expiry();
        }
    }

    /// Lists the active credentials that a filter selects.
    pub(super) fn list(&self, filter: &KeyFilter, now: Timestamp) -> ActiveCredentials {
        let limit = filter.limit.unwrap_or(DEFAULT_LIST_LIMIT).min(MAX_LIST_LIMIT);
        let (all, coverage) = self.totals(now);
        let (selector, selects_all) = (Selector::of(filter), filter.selects_all());
        let (mut active, mut expires_last_at, mut listed) = (0, None, Vec::new());
        self.look_through(KeyOrder::LastToExpire, None, |cursor, entry| {
            if selects_all && listed.len() == limit {
                return ControlFlow::Break(());
            }
            if selector.selects(entry) {
                active += 1;
                expires_last_at.get_or_insert(cursor.expires_at());
                if listed.len() < limit {
                    listed.push((cursor, entry.clone()));
                }
            }
            ControlFlow::Continue(())
        });
        if selects_all {
            (active, expires_last_at) = all;
        }
        // Most of their texts are copied while the lock is free.
        let keys: Vec<_> = listed.iter().map(|(cursor, entry)| entry.describe(*cursor)).collect();
        ActiveCredentials { active, listed: keys.len(), expires_last_at, keys, coverage }
    }

    /// Returns the number of active credentials, when the last of them expires, and what is not included.
    fn totals(&self, now: Timestamp) -> ((usize, Option<Timestamp>), Coverage) {
        let mut entries = self.entries();
        entries.remove_expired(now);
        let coverage = Coverage {
            now,
            known_since: self.since,
            forgotten: entries.forgotten.values().sum(),
            forgotten_until: entries.forgotten.keys().next_back().and_then(|minute| end_of(*minute)),
        };
        let last = entries.credentials.last_key_value().map(|(cursor, _)| cursor.expires_at());
        ((entries.credentials.len(), last), coverage)
    }

    /// Looks through the credentials after a cursor until `visit` breaks off. The lock is released again and again: what is
    /// added or expires meanwhile may be missed.
    fn look_through(
        &self,
        order: KeyOrder,
        mut after: Option<Cursor>,
        mut visit: impl FnMut(Cursor, &Entry) -> ControlFlow<()>,
    ) {
        loop {
            let entries = self.entries();
            let mut range = entries.credentials.range(order.bounds(after));
            for _ in 0..MAX_ENTRIES_PER_LOCK {
                let next = match order {
                    KeyOrder::LastToExpire => range.next_back(),
                    KeyOrder::FirstToExpire => range.next(),
                };
                let Some((cursor, entry)) = next else { return };
                if visit(*cursor, entry).is_break() {
                    return;
                }
                after = Some(*cursor);
            }
        }
    }

    pub(super) fn count(&self, now: Timestamp) -> u64 {
        let mut entries = self.entries();
        entries.remove_expired(now);
        entries.credentials.len() as u64
    }

    /// A poisoned lock is usable: the entries are consistent after each call.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn remove_expired(&mut self, now: Timestamp) {
        while let Some(first) = self.credentials.first_entry().filter(|first| first.key().expires_at() <= now)
        {
            self.bytes -= first.remove().weight();
        }
        while let Some(first) = self.forgotten.first_entry()
            && end_of(*first.key()).is_none_or(|end| end <= now)
        {
            first.remove();
        }
    }

    fn evict_earliest_expiry(&mut self) {
        if let Some((cursor, credential)) = self.credentials.pop_first() {
            self.bytes -= credential.weight();
            *self.forgotten.entry(minute_of(cursor.expires_at())).or_default() += 1;
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
    fn selects_all(&self) -> bool {
        [&self.issuer, &self.subject, &self.prefix].into_iter().flatten().all(String::is_empty)
    }
}

impl<'a> Selector<'a> {
    fn of(filter: &'a KeyFilter) -> Self {
        let subject = filter.subject.as_ref().filter(|subject| !subject.is_empty());
        Self { filter, subject_hash: subject.map(|subject| hash_of(subject)) }
    }

    /// Returns whether an entry can be of the wanted subject, without a look at its grant.
    fn may_select(&self, entry: &Entry) -> bool {
        self.subject_hash.is_none_or(|wanted| wanted == entry.subject_hash)
    }

    fn selects(&self, entry: &Entry) -> bool {
        let KeyFilter { issuer, subject, prefix, .. } = self.filter;
        let principal = entry.grant.principal();
        self.may_select(entry)
            && is_unset_or(subject.as_ref(), principal.subject())
            && is_unset_or(issuer.as_ref(), principal.issuer())
            && prefix.as_ref().is_none_or(|prefix| entry.grant.home().starts_with(prefix))
    }
}

/// Hashes a subject. Who makes up subjects with the same hash only makes them slower to look up.
fn hash_of(subject: &str) -> u64 {
    FixedState::default().hash_one(subject)
}

fn is_unset_or(wanted: Option<&String>, found: &str) -> bool {
    wanted.is_none_or(|wanted| wanted.is_empty() || wanted == found)
}

impl Entry {
    fn new(grant: Arc<Grant>, key_id: Box<str>, issued_at: Timestamp) -> Self {
        let subject_hash = hash_of(grant.principal().subject());
        Self { grant, subject_hash, key_id, issued_at_ms: issued_at.as_millisecond() }
    }

    /// Returns the credential with all its texts.
    fn describe(&self, cursor: Cursor) -> ActiveCredential {
        let Self { grant, key_id, issued_at_ms, .. } = self;
        ActiveCredential {
            issuer: grant.principal().issuer().to_owned(),
            subject: grant.principal().subject().to_owned(),
            template: grant.template_name().to_owned(),
            bucket: grant.bucket().name.clone(),
            region: grant.bucket().region.clone(),
            prefix: grant.home().to_owned(),
            narrowed: grant.is_narrowed(),
            key_id: key_id.to_string(),
            grant_id: grant.id().to_string(),
            issued_at: Timestamp::from_millisecond(*issued_at_ms).unwrap_or_default(),
            expires_at: cursor.expires_at(),
        }
    }

    /// Approximate size in bytes: itself and its place, its key id, and the grant, which nothing else may hold any more.
    fn weight(&self) -> u64 {
        (ENTRY_BYTES + block(self.key_id.len()) + self.grant.weight()) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::{super::tests::shipped_templates, *};
    use templates::{TemplateSet, identity::Identity};

    pub(super) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    static TEMPLATES: LazyLock<TemplateSet> = LazyLock::new(shipped_templates);

    /// What the shipped template `upload` grants.
    pub(super) fn grant(issuer: &str, subject: &str) -> Arc<Grant> {
        TEMPLATES.grant(None, &Identity::for_tests(issuer, subject, &[])).unwrap()
    }

    pub(super) fn entry(grant: Arc<Grant>, issued: i64) -> Entry {
        Entry::new(grant, format!("AKID{issued}").into(), at(issued))
    }

    pub(super) fn credential(subject: &str, issued: i64) -> Entry {
        entry(grant("https://id.test/", subject), issued)
    }

    fn of(subject: &str) -> KeyFilter {
        KeyFilter { subject: Some(subject.to_owned()), ..KeyFilter::default() }
    }

    #[test]
    fn a_credential_is_listed_until_it_expires_and_so_is_an_older_one() {
        let inventory = Inventory::new(1 << 20, at(0));
        inventory.insert(credential("alice", 0), at(1800), at(0));
        inventory.insert(credential("bob", 10), at(1810), at(10));
        inventory.insert(credential("alice", 1200), at(3000), at(1200));
        let alices = inventory.list(&of("alice"), at(1799));
        assert_eq!((alices.active, alices.expires_last_at), (2, Some(at(3000))));
        let of_alice =
            |issued, expires_at| credential("alice", issued).describe(Cursor::new(at(expires_at), 0));
        assert_eq!(alices.keys, [of_alice(1200, 3000), of_alice(0, 1800)], "the last to expire first");
        assert_eq!(inventory.list(&of("alice"), at(1800)).keys, alices.keys[..1]);
        let none = inventory.list(&KeyFilter::default(), at(3000));
        assert_eq!((none.active, none.expires_last_at, none.coverage.forgotten), (0, None, 0));
        assert_eq!(inventory.entries.lock().unwrap().bytes, 0);
    }

    #[test]
    fn a_filter_selects_by_issuer_subject_and_prefix_and_an_empty_value_selects_all() {
        let inventory = Inventory::new(1 << 20, at(0));
        for subject in ["alice", "alicia", "bob"] {
            inventory.insert(credential(subject, 0), at(1800), at(0));
        }
        inventory.insert(entry(grant("other", "alice"), 1), at(1800), at(1));
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
        let max_bytes = credential("u00", 0).weight() * 10;
        let inventory = Inventory::new(max_bytes, at(0));
        for n in 10..40 {
            inventory.insert(credential(&format!("u{n}"), 0), at(1800 + n * 60), at(0));
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

    static GRANTS: LazyLock<[Arc<Grant>; 5]> =
        LazyLock::new(|| ["a", "b", "c", "d", "e"].map(|subject| grant("https://id.test/", subject)));

    proptest! {
        #[test]
        fn it_stays_within_its_bound_and_drops_nothing_that_fits(
            steps in proptest::collection::vec((0i64..600, 1i64..4000, 0usize..5), 1..200),
            room in 1u64..60,
        ) {
            let grants = GRANTS.each_ref();
            let bound = credential("a", 0).weight() * room;
            let inventory = Inventory::new(bound, at(0));
            let (mut now, mut all, mut was_full) = (0, Vec::new(), false);
            for (passes, lifetime, user) in steps {
                now += passes;
                let made = entry(Arc::clone(grants[user]), now);
                inventory.insert(made.clone(), at(now + lifetime), at(now));
                all.push((made, at(now + lifetime)));
                all.retain(|(_, expires_at)| *expires_at > at(now));
                was_full |= all.iter().map(|(entry, _)| entry.weight()).sum::<u64>() > bound;
                prop_assert!(inventory.entries.lock().unwrap().bytes <= bound);
                let listed = inventory.list(&KeyFilter::default(), at(now));
                let dropped = (all.len() - listed.active) as u64;
                prop_assert!(listed.coverage.forgotten >= dropped, "what is dropped is counted");
                prop_assert!(was_full || dropped == 0, "nothing is dropped while there is room");
                let last = all.iter().map(|(_, expires_at)| *expires_at).max();
                prop_assert!(listed.expires_last_at == last || listed.coverage.forgotten_until >= last);
            }
        }
    }
}
