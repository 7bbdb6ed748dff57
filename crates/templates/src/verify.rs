//! The second check of every rendering. It decodes the exact bytes that would be sent, derives the home again
//! from the identity, and evaluates the policy for keys next to the home.
//!
//! It shares no code with the renderer on purpose, so that a bug there is found here. Only this module makes a
//! [`ConfinedPolicy`], and nothing else is sent to STS. So no request to STS lacks a policy or has an empty one,
//! which STS treats as *all permissions* (docs 436/68283).

mod home;
mod shape;
mod statement;
mod wire;

use std::collections::BTreeSet;

pub(super) use self::shape::CommonShape;
use self::{
    home::derive_home,
    shape::Shape,
    statement::{AllowedArea, check_statements},
    wire::{decode, percent_encode},
};
use super::{
    allocation::block,
    fingerprint::Fingerprint,
    identity::Identity,
    proof::Proved,
    template::{Operand, Service, Statement, Template},
};
use cam::{
    Conditions, Effect, Malformed, Policy,
    evaluate::{Reading, Request, evaluate, evaluate_as},
};

/// An action in place of all: which action it is does not matter to what a resource reaches.
const SOME_ACTION: &str = "name/cos:PutObject";

/// A policy that is confined to one owner's home: the bytes that STS gets.
#[derive(Debug, Clone)]
pub struct ConfinedPolicy {
    shape: Shape,
    home: Box<str>,
}

/// The verifier refused a rendering. This is a bug of cosbroker, never a mistake of the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the verifier refused a rendering of template `{template}`: {fault}")]
pub struct Unconfined {
    /// The name of the template.
    pub template: String,
    /// What is wrong with the rendering.
    pub fault: VerifierFault,
}

/// What the verifier finds wrong with a rendering.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant has its message, which says the same")]
pub enum VerifierFault {
    #[error("a broken escape")]
    BrokenEscape,
    #[error("a byte that should be escaped")]
    UnescapedByte,
    #[error("an escape in another spelling than `%2F`")]
    OtherwiseEncoded,
    #[error("is not JSON: {0}")]
    NotJson(String),
    #[error("{0}")]
    NotAPolicy(Malformed),
    #[error("its {0} is not an object")]
    NotAnObject(&'static str),
    #[error("its {element} holds `{name}`")]
    UnknownElement { element: &'static str, name: String },
    #[error("its {0} is not a list of strings")]
    NotStrings(&'static str),
    #[error("its version is not 2.0")]
    Version,
    #[error("it has no statement")]
    NoStatement,
    #[error("an effect is neither allow nor deny")]
    Effect,
    #[error("it allows nothing")]
    AllowsNothing,
    #[error("it allows `{0}`")]
    Action(String),
    #[error("it lists without a cos:prefix under the home")]
    UnboundList,
    #[error("it mixes lists with object actions")]
    MixedLists,
    #[error("it reaches `{resource}`, outside the home `{home}`")]
    OutsideHome { resource: String, home: String },
    #[error("the evaluator lets it reach `{0}`")]
    ReachesNeighbour(String),
    #[error("the home has an open variable")]
    OpenVariable,
    #[error("`{0}` is not a home")]
    NotAHome(String),
    #[error("`{0}` is missing")]
    MissingClaim(String),
    #[error("`{0}` does not fit its claim")]
    ClaimType(String),
    #[error("`{0}` renders to something that is not plain")]
    NotPlain(String),
}

impl ConfinedPolicy {
    /// Returns the percent-encoded policy, to be sent unchanged: the bytes that the verifier passed.
    pub fn wire(&self) -> String {
        percent_encode(&self.json())
    }

    /// Returns the policy before it is percent-encoded.
    pub fn json(&self) -> String {
        self.shape.with_home(&self.home)
    }

    /// Reads the policy. It is not kept, because it takes four times the memory of its text.
    pub fn policy(&self) -> Policy {
        // The verifier has read this text, so this cannot fail. A policy without statements allows nothing.
        Policy::parse(self.json().as_bytes()).unwrap_or_else(|_| Policy::new(Vec::new()))
    }

    /// Returns the folder that the policy is confined to, ending in `/`.
    pub fn home(&self) -> &str {
        &self.home
    }

    /// Returns a hash of the policy without the home: with the home, it identifies the policy.
    pub(super) fn shape_fingerprint(&self) -> Fingerprint {
        self.shape.fingerprint()
    }

    /// Estimates the memory in bytes that the texts take which it does not share.
    pub(super) fn weight(&self) -> usize {
        block(self.shape.own_bytes()) + block(self.home.len())
    }
}

/// Checks that a rendering is confined to this identity's home.
pub(super) fn verify(wire: &str, proved: &Proved, identity: &Identity) -> Result<ConfinedPolicy, Unconfined> {
    check(wire, proved, identity)
        .map_err(|fault| Unconfined { template: proved.template().name.clone(), fault })
}

fn check(wire: &str, proved: &Proved, identity: &Identity) -> Result<ConfinedPolicy, VerifierFault> {
    let template = proved.template();
    let home = derive_home(template.home_written.get_ref(), identity)?;
    let json = String::from_utf8(decode(wire)?).map_err(|error| VerifierFault::NotJson(error.to_string()))?;
    let document = strict_json::from_str(&json).map_err(|error| VerifierFault::NotJson(error.to_string()))?;
    let area = AllowedArea::of(template, home);
    let resources = check_statements(&document, &area)?;
    neighbours_are_out_of_reach(&resources, &area)?;
    Policy::read(document).map_err(VerifierFault::NotAPolicy)?;
    // Only the shape is kept, so that the same bytes must come of it again.
    let shape = proved.policy_shape().of(&json, &area.home).filter(|_| percent_encode(&json) == wire);
    let shape = shape.ok_or(VerifierFault::OtherwiseEncoded)?;
    Ok(ConfinedPolicy { shape, home: area.home.into() })
}

impl AllowedArea {
    fn of(template: &Template, home: String) -> Self {
        let (region, name, appid) = (&template.bucket.region, &template.bucket.name, template.bucket.appid());
        let bucket = format!("qcs::cos:{region}:uid/{appid}:{name}/");
        let processing = format!("qcs::ci:{region}:uid/{appid}:bucket/{name}/");
        let shared = template.statements.iter().filter(|statement| statement.shared.is_some());
        let shared = shared.flat_map(|statement| &statement.resources).map(|resource| {
            let start = match resource.service {
                Service::Cos => &bucket,
                Service::Ci => &processing,
            };
            format!("{start}{}", resource.key)
        });
        let shared = shared.collect();
        let prefixes = shared_prefixes(template).chain([percent_encode(&home)]).collect();
        Self { bucket, processing, home, shared, prefixes }
    }
}

/// Iterates over the encoded prefixes of shared folders, which all users may list.
fn shared_prefixes(template: &Template) -> impl Iterator<Item = String> {
    let shared = template.statements.iter().filter(|statement| statement.shared.is_some());
    shared
        .flat_map(Statement::prefixes)
        .filter_map(Operand::as_literal)
        .map(|text| percent_encode(text.split('*').next().unwrap_or_default()))
        .filter(|prefix| !prefix.is_empty())
}

/// Evaluates a policy that allows the same on all of these resources, for keys next to the home. Conditions and denies
/// are left out, and which action is allowed where: that makes it reach more.
fn neighbours_are_out_of_reach(resources: &BTreeSet<&str>, area: &AllowedArea) -> Result<(), VerifierFault> {
    if resources.is_empty() {
        return Ok(());
    }
    let policy = Policy::new(vec![cam::Statement {
        effect: Effect::Allow,
        action: vec![SOME_ACTION.to_owned()],
        resource: resources.iter().map(|resource| (*resource).to_owned()).collect(),
        condition: Conditions::default(),
    }]);
    for key in neighbours(&area.home)? {
        for start in [&area.bucket, &area.processing] {
            let resource = [start.as_str(), &key].concat();
            let request = Request { action: SOME_ACTION, resource: &resource, ..Request::default() };
            let as_documented = evaluate(&policy, &request);
            // A `*` that reached over the end of a segment would reach more.
            let as_a_whole = evaluate_as(Reading::Glob, &policy, &request);
            if as_documented.is_allowed() || as_a_whole.is_allowed() {
                return Err(VerifierFault::ReachesNeighbour(key));
            }
        }
    }
    Ok(())
}

/// Returns keys near a home that must not be reachable.
fn neighbours(home: &str) -> Result<[String; 8], VerifierFault> {
    let closed = home.strip_suffix('/').ok_or_else(|| VerifierFault::NotAHome(home.to_owned()))?;
    let parent = closed.rsplit_once('/').map_or("", |(parent, _)| parent);
    Ok([
        String::new(),
        closed.to_owned(),
        format!("{closed}0/x"),
        format!("{closed}-/x"),
        format!("{parent}/"),
        format!("{parent}/!neighbour/x"),
        format!("!{home}x"),
        home.get(1..).unwrap_or_default().to_owned(),
    ])
}

#[cfg(test)]
mod tests;
