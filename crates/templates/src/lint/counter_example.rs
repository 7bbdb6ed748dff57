//! Counter-examples: two users and an object that both could reach, under templates that need not be proved.
//!
//! This is a search, not a proof. What it finds is true, because the evaluator allows both requests; what it does
//! not find may still exist. The proof does not use it. `lint` shows what it finds, and tests compare the proof
//! with it.

mod candidates;
mod context;
mod holder;

use std::{cell::Cell, collections::BTreeMap, fmt};

use serde::Serialize;
use serde_json::{Map, Value};

use self::holder::{AccessPath, KeyHolder};
use crate::{
    serving_constraints::IssuerTrust,
    synthetic_identity::{self, SyntheticIdentity},
    template::{ClaimRef, Template},
};
use cam::{Policy, evaluate::Reading, pattern};

/// Two users who could both reach one object.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CounterExample {
    /// The key of the object that both reach.
    pub key: String,
    /// The reading of resources under which both are allowed.
    pub reading: Reading,
    /// The two users and their requests.
    pub holders: [Holder; 2],
}

/// A user of a counter-example, and the request that would be allowed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Holder {
    /// The template of the user's key.
    pub template: String,
    /// All claims of the user's token.
    pub claims: Map<String, Value>,
    /// The policy of the user's key.
    pub policy: Policy,
    /// The action of the request.
    pub action: String,
    /// The resource of the request.
    pub resource: String,
    /// The condition keys of the request.
    pub context: BTreeMap<String, String>,
}

impl fmt::Display for CounterExample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = &self.holders;
        write!(f, "both {a} and {b} can reach `{}`", self.key)?;
        match self.reading {
            Reading::Glob => Ok(()),
            Reading::Prefix => f.write_str(", where a resource without `*` takes what begins with it"),
            Reading::Merged => f.write_str(", where slashes are merged and `..` is resolved"),
            Reading::Decoded => f.write_str(", where escapes are decoded"),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let claims = self.claims.iter().filter(|(name, _)| *name != "iss" || self.issuer_matters());
        let claims: Vec<String> = claims.map(|(name, value)| format!("{name} {value}")).collect();
        let action = self.action.rsplit(':').next().unwrap_or(&self.action);
        write!(f, "{} ({action}, template `{}`)", claims.join(" with "), self.template)
    }
}

impl Holder {
    fn issuer_matters(&self) -> bool {
        self.claims.get("iss").is_some_and(|issuer| issuer != synthetic_identity::ISSUER)
    }
}

/// The maximum number of pairs of patterns that one search compares. Templates that people write need fewer.
const MAX_PAIRS: usize = 50_000;

/// How many of the candidates are tried for the second user: the usual ones.
const USUAL_CANDIDATES: usize = 7;

/// Searches for two owners, one under each template, who could reach one object. If `statement` is given, the
/// first one reaches it through that statement.
pub(super) fn find(
    a: &Template,
    b: &Template,
    statement: Option<usize>,
    issuer_trust: &IssuerTrust,
) -> Option<CounterExample> {
    let search = Search { a, b, statement, issuer_trust, remaining_pairs: Cell::new(MAX_PAIRS) };
    let candidates = candidates::candidates(&[a, b], issuer_trust.several);
    let usual: Vec<KeyHolder<'_>> =
        candidates.iter().take(USUAL_CANDIDATES).filter_map(|identity| KeyHolder::new(identity, b)).collect();
    candidates.iter().take_while(|_| !search.is_over()).find_map(|identity| {
        let holder = KeyHolder::new(identity, a)?;
        search.among(&holder, &usual).or_else(|| search.among_matching(&holder))
    })
}

/// A search between two templates.
struct Search<'a> {
    a: &'a Template,
    b: &'a Template,
    statement: Option<usize>,
    issuer_trust: &'a IssuerTrust,
    remaining_pairs: Cell<usize>,
}

impl Search<'_> {
    fn is_over(&self) -> bool {
        self.remaining_pairs.get() == 0
    }

    fn among(&self, holder: &KeyHolder<'_>, others: &[KeyHolder<'_>]) -> Option<CounterExample> {
        others
            .iter()
            .filter(|other| self.are_different_owners(holder.identity, other.identity))
            .find_map(|other| self.overlap(holder, other))
    }

    /// Searches among identities whose values are read off the patterns that the holder can reach.
    fn among_matching(&self, holder: &KeyHolder<'_>) -> Option<CounterExample> {
        holder
            .paths
            .iter()
            .flat_map(|path| candidates::matching(&path.keys, self.b, holder.identity))
            .take_while(|_| !self.is_over())
            .filter(|other| self.are_different_owners(holder.identity, other))
            .find_map(|other| self.overlap(holder, &KeyHolder::new(&other, self.b)?))
    }

    /// Whether the owners' claims of the templates distinguish two identities. A claim that users can choose does
    /// not; their subjects do instead.
    fn are_different_owners(&self, one: &SyntheticIdentity, other: &SyntheticIdentity) -> bool {
        let (trusted, chosen): (Vec<&ClaimRef>, Vec<&ClaimRef>) =
            self.a.owners.iter().chain(&self.b.owners).partition(|owner| self.issuer_trust.trusts(owner));
        let issuer = self.issuer_trust.several.then_some(&ClaimRef::Iss);
        let subject = (!chosen.is_empty()).then_some(&ClaimRef::Sub);
        trusted.into_iter().chain(issuer).chain(subject).any(|owner| one.value(owner) != other.value(owner))
    }

    /// Finds an object that both keys reach, unless both reach it in a folder that is shared on purpose.
    fn overlap(&self, a: &KeyHolder<'_>, b: &KeyHolder<'_>) -> Option<CounterExample> {
        let pairs = a
            .paths
            .iter()
            .filter(|path| self.statement.is_none_or(|statement| statement == path.statement))
            .flat_map(|path| b.paths.iter().map(move |other| (path, other)))
            .take(self.remaining_pairs.get());
        let compared = a.paths.len() * b.paths.len();
        self.remaining_pairs.set(self.remaining_pairs.get().saturating_sub(compared));
        pairs.filter(|(path, other)| !(a.shares(path) && b.shares(other))).find_map(|(path, other)| {
            let readings = Reading::ALL.into_iter();
            readings
                .filter(|reading| reading.matters_to(&path.keys) || reading.matters_to(&other.keys))
                .find_map(|reading| common_object((a, path), (b, other), reading))
        })
    }
}

/// Finds an object that two access paths lead to under one reading.
fn common_object(
    (a, path): (&KeyHolder<'_>, &AccessPath),
    (b, other): (&KeyHolder<'_>, &AccessPath),
    reading: Reading,
) -> Option<CounterExample> {
    let found = pattern::common_text(&reading.pattern(&path.keys), &reading.pattern(&other.keys))?;
    // An object with a file name is easier to understand, if both patterns allow one.
    let slash = if found.is_empty() || found.ends_with('/') { "" } else { "/" };
    let keys = [format!("{found}{slash}photo.jpg"), format!("{found}photo.jpg"), found];
    keys.into_iter().filter(|key| !key.is_empty()).find_map(|key| {
        let holders = [a.request(path, &key, reading)?, b.request(other, &key, reading)?];
        Some(CounterExample { key, reading, holders })
    })
}

#[cfg(test)]
mod tests;
