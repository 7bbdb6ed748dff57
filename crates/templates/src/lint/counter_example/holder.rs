//! A synthetic identity with the policy of its key, and the keys that the policy reaches.

use percent_encoding::percent_decode_str;

use super::{Holder, context};
use crate::{
    render,
    synthetic_identity::SyntheticIdentity,
    template::{Bucket, Reach, Service, Template, action},
};
use cam::{
    Comparison, Effect, Operand, Operator, Policy, Statement,
    evaluate::{Reading, Request, evaluate_as},
};

/// An identity, the policy of its key under one template, and what the policy reaches.
pub(super) struct KeyHolder<'a> {
    pub(super) identity: &'a SyntheticIdentity,
    template: &'a Template,
    policy: Policy,
    pub(super) paths: Vec<AccessPath>,
}

/// The keys that one allow statement reaches, or shows in a list.
pub(super) struct AccessPath {
    /// The statement's position in the policy, and in the template.
    pub(super) statement: usize,
    /// The pattern of the keys.
    pub(super) keys: String,
    /// The prefix pattern, if it is a list.
    prefix: Option<String>,
}

impl<'a> KeyHolder<'a> {
    pub(super) fn new(identity: &'a SyntheticIdentity, template: &'a Template) -> Option<Self> {
        let policy = render::policy_of(template, &identity.identity()?).ok()?;
        let statements = policy.statement.iter().enumerate();
        let allows = statements.filter(|(_, statement)| statement.effect == Effect::Allow);
        let paths =
            allows.flat_map(|(index, statement)| access_paths(index, statement, &template.bucket)).collect();
        Some(Self { identity, template, policy, paths })
    }

    /// Whether an access path is shared on purpose, and only for reading.
    pub(super) fn shares(&self, path: &AccessPath) -> bool {
        self.template.statements.get(path.statement).is_some_and(|statement| {
            statement.shared.is_some()
                && statement.actions().all(|action| action.reach() != Reach::WriteObject)
        })
    }

    /// Returns the request by which an access path leads to a key, if the whole policy allows it.
    pub(super) fn request(&self, path: &AccessPath, key: &str, reading: Reading) -> Option<Holder> {
        let statement = self.policy.statement.get(path.statement)?;
        let mut context = context::satisfying(&statement.condition)?;
        let prefix = path.prefix.as_deref().map(|prefix| if prefix.ends_with('*') { key } else { prefix });
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
                claims: self.identity.claims(),
                policy: self.policy.clone(),
                action: action.clone(),
                resource,
                context: context.clone(),
            })
        })
    }
}

fn access_paths(index: usize, statement: &Statement, bucket: &Bucket) -> Vec<AccessPath> {
    let mut known = statement.action.iter().filter_map(|name| action::find(name));
    if known.any(|action| action.reach() == Reach::List) {
        return listed_paths(index, statement);
    }
    let starts = [Service::Cos, Service::Ci].map(|service| bucket.resource(service));
    let resources = statement.resource.iter();
    let keys = resources.filter_map(|resource| starts.iter().find_map(|start| resource.strip_prefix(start)));
    keys.map(|keys| AccessPath { statement: index, keys: keys.to_owned(), prefix: None }).collect()
}

fn listed_paths(index: usize, statement: &Statement) -> Vec<AccessPath> {
    let conditions = statement.condition.0.iter();
    let bounds: Vec<(&Operator, &Operand)> = conditions
        .filter_map(|(operator, keys)| Some((operator, keys.get("cos:prefix")?)))
        .flat_map(|(operator, values)| values.iter().map(move |value| (operator, value)))
        .collect();
    if bounds.is_empty() {
        return vec![AccessPath { statement: index, keys: "*".to_owned(), prefix: Some("*".to_owned()) }];
    }
    let prefixes = bounds.into_iter().filter_map(|(operator, value)| listed_prefix(*operator, value));
    prefixes
        .map(|prefix| AccessPath { statement: index, keys: format!("{prefix}*"), prefix: Some(prefix) })
        .collect()
}

/// Decodes a bound on `cos:prefix`. `None` if a star in it does not stand for the rest of the key: under an
/// operator that takes it literally, or before the end.
fn listed_prefix(operator: Operator, value: &Operand) -> Option<String> {
    let prefix = percent_decode_str(&value.to_string()).decode_utf8_lossy().into_owned();
    let is_usable = match prefix.find('*') {
        None => true,
        Some(star) => operator.comparison == Comparison::StringLike && star + 1 == prefix.len(),
    };
    is_usable.then_some(prefix)
}
