//! Pages of the active credentials, in the order of expiry, over all of them.
//!
//! A page begins after a cursor, so that the last page costs what the first does, and looks at a bounded number of
//! credentials. Other orders would need all of them to be sorted, or an index that issuing must keep.

use std::{
    fmt::{self, Display, Formatter},
    num::ParseIntError,
    ops::{Bound, ControlFlow},
    str::FromStr,
};

use jiff::Timestamp;

use super::{ActiveCredential, Coverage, CredentialCache, Inventory, KeyFilter, Selector};

/// Credentials whose texts are compared for one page. Comparing so many takes some 20 ms when their texts are in no cache of
/// the processor.
const MAX_COMPARED: usize = 100_000;

/// The place of a credential in the order of expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    expires_at_ms: i64,
    /// Tells apart those that expire together.
    number: u64,
}

/// The order of a list of credentials.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyOrder {
    /// The last to expire first.
    #[default]
    LastToExpire,
    /// The first to expire first.
    FirstToExpire,
}

/// A page of the active credentials that a filter selects.
#[derive(Debug)]
pub struct CredentialPage {
    /// Those on this page.
    pub keys: Vec<ActiveCredential>,
    /// The cursor after which the next page begins; none on the last one.
    pub next: Option<Cursor>,
    /// Whether the page ends because enough credentials were compared: whether there are more is not known.
    pub is_unfinished: bool,
    /// Number of all active credentials, whatever the filter selects.
    pub active: usize,
    /// When the last of all expires.
    pub expires_last_at: Option<Timestamp>,
    /// What is not included.
    pub coverage: Coverage,
}

impl Cursor {
    pub(super) fn new(expires_at: Timestamp, number: u64) -> Self {
        Self { expires_at_ms: expires_at.as_millisecond(), number }
    }

    pub(super) fn expires_at(self) -> Timestamp {
        Timestamp::from_millisecond(self.expires_at_ms).unwrap_or_default()
    }
}

impl KeyOrder {
    /// Returns the range of what comes after a cursor.
    pub(super) fn bounds(self, after: Option<Cursor>) -> (Bound<Cursor>, Bound<Cursor>) {
        let beyond = after.map_or(Bound::Unbounded, Bound::Excluded);
        match self {
            Self::LastToExpire => (Bound::Unbounded, beyond),
            Self::FirstToExpire => (beyond, Bound::Unbounded),
        }
    }
}

impl CredentialCache {
    /// Returns up to `limit` active credentials after a cursor. Not for an async worker thread.
    pub fn credential_page(
        &self,
        filter: &KeyFilter,
        order: KeyOrder,
        after: Option<Cursor>,
        limit: usize,
    ) -> CredentialPage {
        self.0.inventory.page(filter, order, after, limit, self.0.clock.now())
    }
}

impl Inventory {
    fn page(
        &self,
        filter: &KeyFilter,
        order: KeyOrder,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> CredentialPage {
        let ((active, expires_last_at), coverage) = self.totals(now);
        let selector = Selector::of(filter);
        let (mut keys, mut next, mut is_unfinished, mut compared) = (Vec::new(), None, false, 0);
        let (mut last_listed, mut last_compared) = (after, after);
        self.look_through(order, after, |cursor, entry| {
            if !selector.may_select(entry) {
                return ControlFlow::Continue(());
            }
            if compared == MAX_COMPARED {
                (next, is_unfinished) = (last_compared, true);
                return ControlFlow::Break(());
            }
            compared += 1;
            last_compared = Some(cursor);
            if selector.selects(entry) {
                if keys.len() == limit {
                    next = last_listed;
                    return ControlFlow::Break(());
                }
                last_listed = Some(cursor);
                keys.push(entry.describe(cursor));
            }
            ControlFlow::Continue(())
        });
        CredentialPage { keys, next, is_unfinished, active, expires_last_at, coverage }
    }
}

impl Display for Cursor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.expires_at_ms, self.number)
    }
}

/// A text that is no cursor.
#[derive(Debug, thiserror::Error)]
#[error("this is not the beginning of a page; follow the links of the page")]
pub struct NoCursor;

impl From<ParseIntError> for NoCursor {
    fn from(_: ParseIntError) -> Self {
        Self
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let (expires_at, number) = text.rsplit_once('-').ok_or(NoCursor)?;
        Ok(Self { expires_at_ms: expires_at.parse()?, number: number.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, Instant},
    };

    use super::{
        super::tests::{at, credential, entry, grant},
        *,
    };

    /// Reads all pages of 7, and checks that each but the last is full.
    fn all_pages(inventory: &Inventory, filter: &KeyFilter, order: KeyOrder) -> Vec<ActiveCredential> {
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let page = inventory.page(filter, order, after, 7, at(0));
            assert!(page.next.is_none() || page.keys.len() == 7, "{page:?}");
            keys.extend(page.keys);
            // As an address has it.
            match page.next.map(|next| next.to_string().parse().unwrap()) {
                Some(next) => after = Some(next),
                None => return keys,
            }
        }
    }

    #[test]
    fn the_pages_hold_every_key_once_in_either_order() {
        let inventory = Inventory::new(1 << 20, at(0));
        for n in 0..50 {
            // Several expire together.
            inventory.insert(credential(&format!("u{n}"), n), at(1000 + n / 3), at(0));
        }
        let filter = KeyFilter::default();
        let last = all_pages(&inventory, &filter, KeyOrder::LastToExpire);
        let mut first = all_pages(&inventory, &filter, KeyOrder::FirstToExpire);
        assert_eq!(last.len(), 50);
        assert!(last.is_sorted_by_key(|key| std::cmp::Reverse(key.expires_at)), "{last:?}");
        first.reverse();
        assert_eq!(first, last);
        let empty = inventory.page(&filter, KeyOrder::default(), None, 7, at(5000));
        assert_eq!((empty.keys.len(), empty.next, empty.active), (0, None, 0));
    }

    #[test]
    fn the_pages_of_a_search_hold_what_it_selects_and_end_with_it() {
        let inventory = Inventory::new(1 << 20, at(0));
        for n in 0..20 {
            for subject in ["alice", "bob", "alicia"] {
                inventory.insert(credential(subject, 0), at(1000 + n), at(0));
            }
        }
        let subject = KeyFilter { subject: Some("bob".to_owned()), ..KeyFilter::default() };
        let prefix = KeyFilter { prefix: Some("users/ali".to_owned()), ..KeyFilter::default() };
        for (filter, count) in [(subject, 20), (prefix, 40)] {
            assert_eq!(all_pages(&inventory, &filter, KeyOrder::LastToExpire).len(), count, "{filter:?}");
        }
        let exact = KeyFilter { subject: Some("alice".to_owned()), ..KeyFilter::default() };
        let page = inventory.page(&exact, KeyOrder::default(), None, 20, at(0));
        assert_eq!((page.keys.len(), page.next, page.is_unfinished, page.active), (20, None, false, 60));
    }

    #[test]
    fn a_search_compares_a_bounded_number_and_goes_on_from_there() {
        let inventory = Inventory::new(1 << 30, at(0));
        let bobs = grant("https://id.test/", "bob");
        inventory.insert(credential("alice", 0), at(10), at(0));
        for _ in 0..MAX_COMPARED {
            inventory.insert(entry(Arc::clone(&bobs), 0), at(1000), at(0));
        }
        let filter = KeyFilter { prefix: Some("users/alice".to_owned()), ..KeyFilter::default() };
        let first = inventory.page(&filter, KeyOrder::default(), None, 7, at(0));
        assert_eq!((first.keys.len(), first.is_unfinished), (0, true));
        let second = inventory.page(&filter, KeyOrder::default(), first.next, 7, at(0));
        assert_eq!((second.keys.len(), second.is_unfinished, second.next), (1, false, None));
        let of_subject = KeyFilter { subject: Some("alice".to_owned()), ..KeyFilter::default() };
        let found = inventory.page(&of_subject, KeyOrder::default(), None, 7, at(0));
        assert_eq!((found.keys.len(), found.is_unfinished), (1, false), "others are not compared");
    }

    #[test]
    fn a_text_that_is_no_cursor_is_refused() {
        for text in ["", "-", "1", "x-1", "1-x", "99999999999999999999999999999999999-1"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }

    #[test]
    #[ignore = "a measurement: a million keys take minutes to set up"]
    #[expect(clippy::disallowed_methods, reason = "it measures time")]
    fn pages_of_a_million_keys() {
        const KEYS: i64 = 1_000_000;
        // Far more than the processor's caches hold.
        const USERS: usize = 50_000;
        let inventory = Inventory::new(4 << 30, at(0));
        let grants: Vec<_> =
            (0..USERS).map(|user| grant("https://id.test/", &format!("user-{user}"))).collect();
        for (n, user) in (0..KEYS).zip((0..USERS).cycle()) {
            // Neighbours in the order of expiry are no neighbours in memory.
            let made = entry(Arc::clone(&grants[user * 7_919 % grants.len()]), 0);
            inventory.insert(made, at(3600 + n / 500), at(0));
        }
        let subject = KeyFilter { subject: Some("user-5".to_owned()), ..KeyFilter::default() };
        let prefix =
            KeyFilter { prefix: Some("users/user-49999/nothing".to_owned()), ..KeyFilter::default() };
        let middle = Some(Cursor::new(at(4600), 0));
        let longest_insert = std::sync::Mutex::new(Duration::ZERO);
        std::thread::scope(|scope| {
            let pages = scope.spawn(|| {
                for (what, filter, after) in [
                    ("the first page", &KeyFilter::default(), None),
                    ("a page in the middle", &KeyFilter::default(), middle),
                    ("a subject", &subject, None),
                    ("a prefix of few, up to the bound", &prefix, None),
                ] {
                    let started = Instant::now();
                    let page = inventory.page(filter, KeyOrder::default(), after, 25, at(0));
                    eprintln!("{what}: {:?}, {} keys", started.elapsed(), page.keys.len());
                }
                let started = Instant::now();
                let count = inventory.list(&KeyFilter { limit: Some(0), ..subject.clone() }, at(0)).active;
                eprintln!("the count of a subject: {:?}, {count} keys", started.elapsed());
            });
            let mut n = 0;
            let added = grant("https://id.test/", "added");
            while !pages.is_finished() {
                n += 1;
                let made = entry(Arc::clone(&added), 0);
                let started = Instant::now();
                inventory.insert(made, at(3600 + n % 2000), at(0));
                let took = started.elapsed();
                let mut longest = longest_insert.lock().unwrap();
                *longest = took.max(*longest);
                drop(longest);
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        eprintln!("the longest wait of an insert meanwhile: {:?}", longest_insert.lock().unwrap());
    }
}
