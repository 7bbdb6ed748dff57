//! Which tokens were looked up in a set that was fetched after they had come. Only such a token is known to name no key
//! of the issuer: before, the key may be a new one.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use templates::fingerprint::Fingerprint;

/// The limit for the tokens that are remembered. Forged ones fill it; it is then emptied, and a token is told once more to
/// come again.
const MAX_TOKENS: usize = 4096;

/// The limit for the `kid`s of withdrawn keys that are remembered.
const MAX_WITHDRAWN: usize = 1024;

/// The tokens whose key was not found, each with the number of fetches that had started when it first came.
#[derive(Debug, Default)]
pub(super) struct FirstSeen(Mutex<HashMap<Fingerprint, u64>>);

impl FirstSeen {
    /// Returns the number of fetches that had started when the token first came: `fetches`, if it comes now.
    pub(super) fn of(&self, token: Fingerprint, fetches: u64) -> u64 {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= MAX_TOKENS && !tokens.contains_key(&token) {
            tokens.clear();
        }
        *tokens.entry(token).or_insert(fetches)
    }
}

/// The `kid`s that earlier sets had and the current one does not.
#[derive(Debug, Default)]
pub(super) struct Withdrawn(HashSet<String>);

impl Withdrawn {
    pub(super) fn contains(&self, kid: &str) -> bool {
        self.0.contains(kid)
    }

    /// Returns those after another set replaced the one with the `old` keys.
    pub(super) fn after<'a>(
        &'a self,
        old: impl Iterator<Item = &'a str>,
        is_published: impl Fn(&str) -> bool,
    ) -> Self {
        let earlier = self.0.iter().map(String::as_str);
        let withdrawn = old.chain(earlier).filter(|kid| !is_published(kid)).take(MAX_WITHDRAWN);
        Self(withdrawn.map(str::to_owned).collect())
    }
}
