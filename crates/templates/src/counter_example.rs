//! Two people and an object that both could reach, under templates that need not be proved.
//!
//! A search, not a proof: what it finds is true, because the evaluator said yes to both; what it does not
//! find may exist all the same. The proof does without it. `lint` shows what it finds to the person who must
//! mend a template, and tests hold the proof against it.

mod context;
mod people;

use std::{cell::Cell, collections::BTreeMap, fmt};

use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Map, Value};

use self::people::Principal;
use super::{
    action::{self, Reach},
    issuer_trust::IssuerTrust,
    render,
    template::{Bucket, Service, Template},
    variable::Subject,
};
use crate::identity::Identity;
use cam::{
    self, Comparison, Effect, Policy,
    evaluate::{Reading, Request, evaluate_as},
    pattern,
};

/// Two owners who could both reach one object.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CounterExample {
    /// The object.
    pub key: String,
    /// How resources must be read for it.
    pub reading: Reading,
    /// Who.
    pub holders: [Holder; 2],
}

/// One of them: who they are, and the request that would go through.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Holder {
    /// The template of their key.
    pub template: String,
    /// All claims of their token.
    pub claims: Map<String, Value>,
    /// The policy of their key.
    pub policy: Policy,
    /// What they would call.
    pub action: String,
    /// On which resource.
    pub resource: String,
    /// With what in the request.
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
        let claims = self.claims.iter().filter(|(name, _)| *name != "iss" || self.names_issuer());
        let said: Vec<String> = claims.map(|(name, value)| format!("{name} {value}")).collect();
        let action = self.action.rsplit(':').next().unwrap_or(&self.action);
        write!(f, "{} ({action}, template `{}`)", said.join(" with "), self.template)
    }
}

impl Holder {
    /// Whether it matters whose word the rest is.
    fn names_issuer(&self) -> bool {
        self.claims.get("iss").is_some_and(|issuer| issuer != people::ISSUER)
    }
}

/// Somebody whose claims a template's variables take.
pub(super) fn anybody(template: &Template) -> Option<Identity> {
    people::around(&[template], false).first()?.identity()
}

/// Somebody made up under a name of one's choosing, who carries what the template requires.
pub(super) fn made_up(template: &Template, issuer: &str, name: &str, number: u64) -> Option<Identity> {
    people::made_up(template, issuer, name, number)
}

/// Looks for two owners, one under each template, who could reach one object; through one statement of the
/// first template alone, if that is asked for.
pub(super) fn find(
    a: &Template,
    b: &Template,
    statement: Option<usize>,
    issuer_trust: &IssuerTrust,
) -> Option<CounterExample> {
    let people = people::around(&[a, b], issuer_trust.several);
    let usual: Vec<Held<'_>> =
        people.iter().take(people::USUAL).filter_map(|principal| Held::by(principal, b)).collect();
    let patience = Cell::new(PATIENCE);
    people.iter().take_while(|_| patience.get() > 0).find_map(|principal| {
        let held = Held::by(principal, a)?;
        let differ = |other: &Principal| are_different_owners(principal, other, a, b, issuer_trust);
        let overlaps = |other: &Held<'_>| overlap(&held, other, statement, &patience);
        usual.iter().filter(|other| differ(other.principal)).find_map(overlaps).or_else(|| {
            let alike = held.ways.iter().flat_map(|way| people::written_alike(&way.keys, b, principal));
            let alike = alike.take_while(|_| patience.get() > 0);
            alike.filter(|other| differ(other)).find_map(|other| overlaps(&Held::by(&other, b)?))
        })
    })
}

/// Pairs of patterns that one search compares; enough for any template that a person writes.
const PATIENCE: usize = 50_000;

/// Whether these two are different people as far as the owners of the templates tell people apart: a claim
/// that users choose tells nobody apart.
fn are_different_owners(
    principal: &Principal,
    other: &Principal,
    a: &Template,
    b: &Template,
    issuer_trust: &IssuerTrust,
) -> bool {
    let owners = || a.owners.iter().chain(&b.owners);
    let told_by_choice = owners().any(|owner| !issuer_trust.vouch_for(owner));
    let issuer = issuer_trust.several.then_some(&Subject::Iss);
    let subject = told_by_choice.then_some(&Subject::Sub);
    let trusted = owners().filter(|owner| issuer_trust.vouch_for(owner));
    trusted.chain(issuer).chain(subject).any(|owner| principal.value(owner) != other.value(owner))
}

/// A person, the policy of their key under one template, and what it leads to.
struct Held<'a> {
    principal: &'a Principal,
    template: &'a Template,
    policy: Policy,
    ways: Vec<Way>,
}

/// What one allow statement reaches: the keys of objects, or through a list the keys it shows.
struct Way {
    /// Its place in the policy, and in the template.
    statement: usize,
    keys: String,
    /// The prefix pattern, for a list.
    lists: Option<String>,
}

impl<'a> Held<'a> {
    fn by(principal: &'a Principal, template: &'a Template) -> Option<Self> {
        let policy = render::policy_for(template, &principal.identity()?).ok()?;
        let allows = policy.statement.iter().enumerate();
        let ways = allows
            .filter(|(_, statement)| statement.effect == Effect::Allow)
            .flat_map(|(index, statement)| ways_through(index, statement, &template.bucket))
            .collect();
        Some(Self { principal, template, policy, ways })
    }

    /// Whether a way was made for everybody on purpose, and only for reading.
    fn shares(&self, way: &Way) -> bool {
        self.template.statements.get(way.statement).is_some_and(|statement| {
            statement.shared.is_some() && statement.actions().all(|one| one.reach() != Reach::WriteObject)
        })
    }

    /// The request by which a way leads to a key, if the whole policy lets it through.
    fn request(&self, way: &Way, key: &str, reading: Reading) -> Option<Holder> {
        let statement = self.policy.statement.get(way.statement)?;
        let mut context = context::satisfying(&statement.condition)?;
        let prefix = way.lists.as_deref().map(|prefix| if prefix.ends_with('*') { key } else { prefix });
        if let Some(prefix) = prefix {
            context.insert("cos:prefix".to_owned(), render::encode_parameter(prefix));
        }
        statement.action.iter().find_map(|action| {
            let start = self.template.bucket.resource(Service::of(action));
            let resources = [format!("{start}{}", prefix.unwrap_or(key)), start];
            let resource = resources.into_iter().find(|resource| {
                let context = context.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                evaluate_as(reading, &self.policy, &Request { action, resource, context }).is_allowed()
            })?;
            Some(Holder {
                template: self.template.name.clone(),
                claims: self.principal.claims(),
                policy: self.policy.clone(),
                action: action.clone(),
                resource,
                context: context.clone(),
            })
        })
    }
}

fn ways_through(index: usize, statement: &cam::Statement, bucket: &Bucket) -> Vec<Way> {
    let way = |keys: String, lists| Way { statement: index, keys, lists };
    let lists = statement.action.iter().filter_map(|name| action::find(name));
    if lists.into_iter().all(|action| action.reach() != Reach::List) {
        let starts = [Service::Cos, Service::Ci].map(|service| bucket.resource(service));
        let keys = statement
            .resource
            .iter()
            .filter_map(|resource| starts.iter().find_map(|start| resource.strip_prefix(start.as_str())));
        return keys.map(|keys| way(keys.to_owned(), None)).collect();
    }
    let bound = statement.condition.0.iter().filter_map(|(operator, keys)| {
        Some((operator.comparison == Comparison::StringLike, keys.get("cos:prefix")?))
    });
    let prefixes: Vec<(bool, String)> = bound
        .flat_map(|(like, values)| values.iter().map(move |value| (like, value.to_string())))
        .map(|(like, value)| (like, percent_decode_str(&value).decode_utf8_lossy().into_owned()))
        .collect();
    if prefixes.is_empty() {
        return vec![way("*".to_owned(), Some("*".to_owned()))];
    }
    // A star stands for other text only where it is compared so; and only at the end does the key itself
    // show what text that was.
    let plain = |(like, prefix): &(bool, String)| {
        !prefix.contains('*') || *like && prefix.find('*') == prefix.len().checked_sub(1)
    };
    let plain = prefixes.into_iter().filter(plain);
    plain.map(|(_, prefix)| way(format!("{prefix}*"), Some(prefix))).collect()
}

/// An object that two keys both reach, unless both were given it to share.
fn overlap(
    a: &Held<'_>,
    b: &Held<'_>,
    through: Option<usize>,
    patience: &Cell<usize>,
) -> Option<CounterExample> {
    let ways = a.ways.iter().filter(|way| through.is_none_or(|wanted| wanted == way.statement));
    let pairs = ways.flat_map(|way| b.ways.iter().map(move |other| (way, other)));
    let pairs = pairs.take(patience.get());
    patience.set(patience.get().saturating_sub(a.ways.len() * b.ways.len()));
    pairs.filter(|(way, other)| !(a.shares(way) && b.shares(other))).find_map(|(way, other)| {
        let matters = |reading: &Reading| reading.matters_to(&way.keys) || reading.matters_to(&other.keys);
        Reading::ALL.into_iter().filter(matters).find_map(|reading| meet(a, way, b, other, reading))
    })
}

fn meet(a: &Held<'_>, way: &Way, b: &Held<'_>, other: &Way, reading: Reading) -> Option<CounterExample> {
    let found = pattern::common_text(&reading.pattern(&way.keys), &reading.pattern(&other.keys))?;
    // An object reads better with a name, where both patterns leave room for one.
    let slash = if found.is_empty() || found.ends_with('/') { "" } else { "/" };
    let candidates = [format!("{found}{slash}photo.jpg"), format!("{found}photo.jpg"), found];
    candidates.into_iter().filter(|key| !key.is_empty()).find_map(|key| {
        let holders = [a.request(way, &key, reading)?, b.request(other, &key, reading)?];
        Some(CounterExample { key, reading, holders })
    })
}

#[cfg(test)]
mod tests;
