//! The keys that live: who holds which, until when. Never what opens anything.
//!
//! Holds more than the cache does: a key that made room for others, or was replaced ahead, still opens its
//! home until it ends. Bounded in bytes; what goes beyond is forgotten, those that end first first, and
//! counted until they would have ended.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::key::Key;

/// A key that was made, and has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveCredential {
    /// The token's `iss`.
    pub issuer: String,
    /// The token's `sub`.
    pub subject: String,
    /// The template it was made by.
    pub template: String,
    /// With its appid.
    pub bucket: String,
    /// Such as `ap-guangzhou`.
    pub region: String,
    /// The folder it is confined to.
    pub prefix: String,
    /// Whether its holder chose a narrower scope than the template's.
    pub narrowed: bool,
    /// `TmpSecretId`: names the key, opens nothing. Stands in COS's access log.
    pub key_id: String,
    /// As in the answer, the log and the STS session name.
    pub grant_id: String,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it ends, by STS's clock.
    pub expires_at: Timestamp,
}

/// Which keys are asked for; what is absent or empty asks for all.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyFilter {
    /// Exactly this issuer's.
    pub issuer: Option<String>,
    /// Exactly this subject's.
    pub subject: Option<String>,
    /// Those whose folder begins with this.
    pub prefix: Option<String>,
    /// So many at most; 1000 without, and never more than 10,000.
    pub limit: Option<usize>,
}

/// The living keys that were asked for, those that live longest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActiveCredentials {
    /// As many as were to be listed.
    pub keys: Vec<ActiveCredential>,
    /// How many live.
    pub active: usize,
    /// How many of these are listed.
    pub listed: usize,
    /// Until when the last of them lives.
    pub expires_last_at: Option<Timestamp>,
    /// What cannot be told.
    #[serde(flatten)]
    pub coverage: Coverage,
}

/// What the inventory cannot tell: it begins with the process, and its memory is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The time now, by this broker's clock.
    pub now: Timestamp,
    /// Keys that were made before are not known here, nor those of other replicas.
    pub known_since: Timestamp,
    /// Living keys, whoever's, that there was no room to remember.
    pub forgotten: u64,
    /// Until when the last of those lives.
    pub forgotten_until: Option<Timestamp>,
}

/// Keys listed where nobody says how many.
const LISTED: usize = 1000;
/// Keys listed at most: some 4 MiB of JSON.
const MOST_LISTED: usize = 10_000;

/// The living keys.
#[derive(Debug)]
pub(super) struct Inventory {
    most_bytes: u64,
    since: Timestamp,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// In the order they end; the second number tells apart those that end together.
    keys: BTreeMap<(Timestamp, u64), Arc<ActiveCredential>>,
    bytes: u64,
    made: u64,
    /// Living keys without a place here, by the minute in which they have ended: few numbers, however many.
    forgotten: BTreeMap<i64, u64>,
}

impl Inventory {
    /// An empty one that takes at most so many bytes.
    pub(super) fn new(most_bytes: u64, since: Timestamp) -> Self {
        Self { most_bytes, since, held: Mutex::default() }
    }

    /// Notes a key that was just made.
    pub(super) fn add(&self, key: &Key, now: Timestamp) {
        let (grant, credential) = (key.grant(), key.credential());
        self.note(
            ActiveCredential {
                issuer: grant.principal().issuer().to_owned(),
                subject: grant.principal().subject().to_owned(),
                template: grant.template_name().to_owned(),
                bucket: grant.bucket().name.clone(),
                region: grant.bucket().region.clone(),
                prefix: grant.home().to_owned(),
                narrowed: grant.is_narrowed(),
                key_id: credential.secret_id.clone(),
                grant_id: grant.id().to_string(),
                issued_at: now,
                expires_at: credential.expires_at,
            },
            now,
        );
    }

    fn note(&self, key: ActiveCredential, now: Timestamp) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.bury(now);
        held.made += 1;
        held.bytes += key.weight();
        let place = (key.expires_at, held.made);
        held.keys.insert(place, Arc::new(key));
        while held.bytes > self.most_bytes {
            held.forget_one();
        }
    }

    /// The living keys that somebody asks for.
    pub(super) fn list(&self, filter: &KeyFilter, now: Timestamp) -> ActiveCredentials {
        let most = filter.limit.unwrap_or(LISTED).min(MOST_LISTED);
        let (mut active, mut expires_last_at, mut listed) = (0, None, Vec::new());
        let coverage = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.bury(now);
            for key in held.keys.values().rev().filter(|key| filter.takes(key)) {
                active += 1;
                expires_last_at = expires_last_at.max(Some(key.expires_at));
                if listed.len() < most {
                    listed.push(Arc::clone(key));
                }
            }
            Coverage {
                now,
                known_since: self.since,
                forgotten: held.forgotten.values().sum(),
                forgotten_until: held.forgotten.keys().next_back().and_then(|minute| end_of(*minute)),
            }
        };
        let keys: Vec<ActiveCredential> = listed.iter().map(|key| ActiveCredential::clone(key)).collect();
        ActiveCredentials { active, listed: keys.len(), expires_last_at, keys, coverage }
    }
}

impl Held {
    /// Drops what has ended.
    fn bury(&mut self, now: Timestamp) {
        while let Some(first) = self.keys.first_entry().filter(|first| first.key().0 <= now) {
            self.bytes -= first.remove().weight();
        }
        while let Some(first) = self.forgotten.first_entry()
            && end_of(*first.key()).is_none_or(|end| end <= now)
        {
            first.remove();
        }
    }

    fn forget_one(&mut self) {
        if let Some(((expires, _), key)) = self.keys.pop_first() {
            self.bytes -= key.weight();
            *self.forgotten.entry(minute_of(expires)).or_default() += 1;
        }
    }
}

/// The minute at whose end a key has ended.
fn minute_of(expires: Timestamp) -> i64 {
    expires.as_second().div_euclid(60)
}

fn end_of(minute: i64) -> Option<Timestamp> {
    Timestamp::from_second((minute + 1) * 60).ok()
}

impl KeyFilter {
    fn takes(&self, key: &ActiveCredential) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.is_empty() || wanted == found)
        };
        is(&self.subject, &key.subject)
            && is(&self.issuer, &key.issuer)
            && self.prefix.as_ref().is_none_or(|prefix| key.prefix.starts_with(prefix))
    }
}

impl ActiveCredential {
    /// Roughly the bytes it takes: its texts, what stands around each, its place.
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
        let bytes: usize = texts.iter().map(|text| text.len() + 16).sum();
        (bytes + size_of::<Self>() + 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn key(subject: &str, issued: i64, expires: i64) -> ActiveCredential {
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
            expires_at: at(expires),
        }
    }

    fn of(subject: &str) -> KeyFilter {
        KeyFilter { subject: Some(subject.to_owned()), ..KeyFilter::default() }
    }

    #[test]
    fn a_key_is_listed_until_it_ends_and_an_older_one_beside_it() {
        let inventory = Inventory::new(1 << 20, at(0));
        inventory.note(key("alice", 0, 1800), at(0));
        inventory.note(key("bob", 10, 1810), at(10));
        inventory.note(key("alice", 1200, 3000), at(1200));
        let alices = inventory.list(&of("alice"), at(1799));
        assert_eq!((alices.active, alices.expires_last_at), (2, Some(at(3000))));
        assert_eq!(alices.keys, [key("alice", 1200, 3000), key("alice", 0, 1800)], "the latest end first");
        assert_eq!(inventory.list(&of("alice"), at(1800)).keys, [key("alice", 1200, 3000)]);
        let nobody = inventory.list(&KeyFilter::default(), at(3000));
        assert_eq!((nobody.active, nobody.expires_last_at, nobody.coverage.forgotten), (0, None, 0));
        assert_eq!(inventory.held.lock().unwrap().bytes, 0);
    }

    #[test]
    fn one_asks_by_issuer_subject_and_prefix_and_what_is_empty_asks_for_all() {
        let inventory = Inventory::new(1 << 20, at(0));
        for subject in ["alice", "alicia", "bob"] {
            inventory.note(key(subject, 0, 1800), at(0));
        }
        inventory.note(ActiveCredential { issuer: "other".to_owned(), ..key("alice", 1, 1800) }, at(1));
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
    fn what_there_is_no_room_for_is_counted_until_it_would_have_ended() {
        let room = key("u00", 0, 1800).weight() * 10;
        let inventory = Inventory::new(room, at(0));
        for n in 10..40 {
            inventory.note(key(&format!("u{n}"), 0, 1800 + n * 60), at(0));
        }
        let all = inventory.list(&KeyFilter::default(), at(0));
        assert_eq!((all.active, all.coverage.forgotten), (10, 20));
        assert!(all.keys.iter().all(|key| key.expires_at > at(1800 + 29 * 60)), "the last to end are kept");
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
        fn it_stays_within_its_bound_and_loses_nothing_that_it_has_room_for(
            steps in proptest::collection::vec((0i64..600, 1i64..4000, 0usize..5), 1..200),
            room in 1u64..60,
        ) {
            let users = ["a", "b", "c", "d", "e"];
            let bound = key("a", 0, 0).weight() * room;
            let inventory = Inventory::new(bound, at(0));
            let (mut now, mut all, mut was_full) = (0, Vec::new(), false);
            for (passes, lives, user) in steps {
                now += passes;
                let made = key(users[user], now, now + lives);
                inventory.note(made.clone(), at(now));
                all.push(made);
                all.retain(|key| key.expires_at > at(now));
                was_full |= all.iter().map(ActiveCredential::weight).sum::<u64>() > bound;
                prop_assert!(inventory.held.lock().unwrap().bytes <= bound);
                let listed = inventory.list(&KeyFilter::default(), at(now));
                let lost = (all.len() - listed.active) as u64;
                prop_assert!(listed.coverage.forgotten >= lost, "what is lost is counted");
                prop_assert!(was_full || lost == 0, "nothing is lost while there is room");
                let last = all.iter().map(|key| key.expires_at).max();
                prop_assert!(listed.expires_last_at == last || listed.coverage.forgotten_until >= last);
            }
        }
    }
}
