//! Explains whether a grant allows one action on one key, and if not, which part denies it.

use std::{collections::BTreeMap, net::IpAddr};

use serde::Serialize;

use super::{
    grant::Grant,
    render::encode_parameter,
    template::{
        Reach, Service,
        action::{self, unknown_action_help},
    },
};
use cam::{
    Effect, Operator, Policy, Statement,
    evaluate::{Decision, Reading, Request, applies_to, evaluate, first_unmet},
};

/// A question about a request that COS denies or may deny.
#[derive(Debug, Clone, Default)]
pub struct Question<'a> {
    /// The action, such as `name/cos:PutObject` or `PutObject`.
    pub action: &'a str,
    /// The object's key or, for a list, the prefix.
    pub key: &'a str,
    /// The request's `Content-Length`, if it has one.
    pub size: Option<u64>,
    /// The request's `Content-Type`, if it has one.
    pub content_type: Option<&'a str>,
    /// The address that the request comes from.
    pub ip: Option<IpAddr>,
    /// The request's `x-cos-acl`, if it has one.
    pub acl: Option<&'a str>,
    /// Other condition keys and their values in the request.
    pub more: &'a [(String, String)],
}

/// The answer to a [`Question`], with the part of the policy that decides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Whether COS allows the request.
    pub allowed: bool,
    /// The reason, as a sentence.
    pub reason: String,
    /// The statement that decides, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<Statement>,
    /// The condition that decides, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Unmet>,
}

/// A condition that a request does not meet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unmet {
    /// The operator, such as `numeric_less_than_equal`.
    pub operator: String,
    /// The condition key, such as `cos:content-length`.
    pub key: String,
    /// The request's value, if it has the key.
    pub found: Option<String>,
}

/// Answers a question about a grant.
pub fn explain(grant: &Grant, question: &Question<'_>) -> Explanation {
    let policy = grant.policy().policy();
    let action = action::full_name(question.action);
    let resource = format!("{}{}", grant.bucket().resource(Service::of(&action)), question.key);
    let context = question.context(&action);
    let request = Request { action: &action, resource: &resource, context };
    match evaluate(&policy, &request) {
        Decision::Allowed(index) => {
            let reason = match undecided_key(&policy, &request) {
                None => "a statement allows it".to_owned(),
                Some(key) => format!(
                    "a statement allows it, and a deny depends on `{key}`, which every request has and this question does not say"
                ),
            };
            Explanation::new(true, reason, policy.statement.get(index))
        }
        Decision::ExplicitlyDenied(index) => {
            let reason = "a statement denies it, whatever else allows it".to_owned();
            Explanation::new(false, reason, policy.statement.get(index))
        }
        Decision::ConditionUnmet(index) => explain_unmet(policy.statement.get(index), &request),
        Decision::NotMentioned => {
            let granted = policy.statement.iter().any(|one| one.action.iter().any(|one| *one == action));
            let reason = if granted {
                format!(
                    "no statement grants it on `{}`; this key's own folder is `{}`",
                    question.key,
                    grant.home()
                )
            } else {
                let help = unknown_action_help(&action).map(|help| format!(": {help}"));
                format!("the template does not grant `{action}`{}", help.unwrap_or_default())
            };
            Explanation::new(false, reason, None)
        }
    }
}

impl<'a> Question<'a> {
    fn context(&self, action: &str) -> BTreeMap<&'a str, String> {
        let mut context = BTreeMap::new();
        if action::find(action).is_some_and(|action| action.reach() == Reach::List) {
            context.insert("cos:prefix", encode_parameter(self.key));
        }
        context.extend(self.ip.map(|ip| ("qcs:ip", ip.to_string())));
        context.extend(self.acl.map(|acl| ("cos:x-cos-acl", acl.to_owned())));
        context.extend(self.more.iter().map(|(key, value)| (key.as_str(), value.clone())));
        context.extend(self.size.map(|size| ("cos:content-length", size.to_string())));
        context.extend(self.content_type.map(|kind| ("cos:content-type", kind.to_owned())));
        context
    }
}

impl Explanation {
    fn new(allowed: bool, reason: String, statement: Option<&Statement>) -> Self {
        Self { allowed, reason, statement: statement.cloned(), condition: None }
    }
}

fn explain_unmet(statement: Option<&Statement>, request: &Request<'_>) -> Explanation {
    let unmet = statement.and_then(|statement| first_unmet(&statement.condition, request));
    let Some((operator, key, found)) = unmet else {
        return Explanation::new(false, "a condition is not met".to_owned(), statement);
    };
    let condition =
        Unmet { operator: operator.to_string(), key: key.to_owned(), found: found.map(str::to_owned) };
    let reason = unmet_reason(operator, key, found);
    Explanation { condition: Some(condition), ..Explanation::new(false, reason, statement) }
}

/// Condition keys that every request has, whether or not the question states them (docs 436/46205).
const KEYS_OF_EVERY_REQUEST: [&str; 4] = ["qcs:ip", "cos:secure-transport", "cos:tls-version", "tls-version"];

/// Returns a key that a deny depends on and every request has, but that the question does not state.
fn undecided_key<'a>(policy: &'a Policy, request: &Request<'_>) -> Option<&'a str> {
    let denies = policy.statement.iter().filter(|statement| statement.effect == Effect::Deny);
    denies
        .filter(|deny| applies_to(deny, Reading::Glob, request.action, request.resource))
        .flat_map(|deny| deny.condition.0.values())
        .flat_map(BTreeMap::keys)
        .map(String::as_str)
        .find(|key| KEYS_OF_EVERY_REQUEST.contains(key) && !request.context.contains_key(key))
}

/// States the condition that a request does not meet, and which parameter of the question to add.
fn unmet_reason(operator: Operator, key: &str, found: Option<&str>) -> String {
    let help = match key {
        "cos:content-length" => "; ask again with `size`",
        "cos:content-type" => "; ask again with `content_type`",
        "qcs:ip" => "; ask again with `ip`",
        _ => "",
    };
    match found {
        Some(found) => {
            format!("a statement would allow it, but `{key}` is `{found}`, against its `{operator}`")
        }
        None => format!(
            "a statement would allow it, but has `{operator}` on `{key}`, which the request lacks{help}"
        ),
    }
}
