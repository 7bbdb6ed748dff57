//! Whether a grant allows one action on one key, and if not, which part says no.

use std::{collections::BTreeMap, net::IpAddr};

use serde::Serialize;

use super::{
    action::{self, Reach},
    grant::Grant,
    render::encode_parameter,
    template::Service,
};
use cam::{
    Effect, Malformed, Operator, Policy, Statement,
    evaluate::{Decision, Reading, Request, applies_to, evaluate, first_unmet},
};

/// What a developer wants to know about a request that COS refuses them.
#[derive(Debug, Clone, Default)]
pub struct Question<'a> {
    /// Such as `name/cos:PutObject`, or its end: `PutObject`.
    pub action: &'a str,
    /// The object's key, or for a list the prefix.
    pub key: &'a str,
    /// The request's `Content-Length`, if it would have one.
    pub size: Option<u64>,
    /// The request's `Content-Type`, if it would have one.
    pub content_type: Option<&'a str>,
    /// Where the request would come from.
    pub ip: Option<IpAddr>,
    /// The request's `x-cos-acl`, if it would have one.
    pub acl: Option<&'a str>,
    /// Any other condition key, and what the request has there.
    pub more: &'a [(String, String)],
}

/// The answer, with the part that decided.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Whether COS would let it through.
    pub allowed: bool,
    /// In words.
    pub reason: String,
    /// The statement that decided, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<Statement>,
    /// The condition that decided, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Unmet>,
}

/// A condition that a request does not meet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unmet {
    /// Such as `numeric_less_than_equal`.
    pub operator: String,
    /// Such as `cos:content-length`.
    pub key: String,
    /// What the request has there; nothing if it lacks the key.
    pub found: Option<String>,
}

/// Answers for the holder of a grant.
///
/// # Errors
/// Never for a grant that was made by this room; the type does not say so.
pub fn explain(grant: &Grant, question: &Question<'_>) -> Result<Explanation, Malformed> {
    let policy = grant.policy().decoded()?;
    let action = action::in_full(question.action);
    let lists = action::find(&action).is_some_and(|action| action.reach() == Reach::List);
    let mut context = BTreeMap::new();
    if lists {
        context.insert("cos:prefix", encode_parameter(question.key));
    }
    let service = Service::of(&action);
    let resource = format!("{}{}", grant.bucket().resource(service), question.key);
    context.extend(question.ip.map(|ip| ("qcs:ip", ip.to_string())));
    context.extend(question.acl.map(|acl| ("cos:x-cos-acl", acl.to_owned())));
    context.extend(question.more.iter().map(|(key, value)| (key.as_str(), value.clone())));
    context.extend(question.size.map(|size| ("cos:content-length", size.to_string())));
    context.extend(question.content_type.map(|kind| ("cos:content-type", kind.to_owned())));
    let request = Request { action: &action, resource: &resource, context };
    let decision = evaluate(&policy, &request);
    let statement = |index: usize| policy.statement.get(index).cloned();
    Ok(match decision {
        Decision::Allowed(index) => {
            let reason = match left_open(&policy, &request) {
                None => "a statement allows it".to_owned(),
                Some(key) => format!(
                    "a statement allows it, and a deny depends on `{key}`, which every request has and this question does not say"
                ),
            };
            explanation(true, reason, statement(index))
        }
        Decision::ExplicitlyDenied(index) => {
            explanation(false, "a statement denies it, whatever else allows it".to_owned(), statement(index))
        }
        Decision::ConditionUnmet(index) => {
            let statement = statement(index);
            let unmet = statement.as_ref().and_then(|one| first_unmet(&one.condition, &request));
            let reason = unmet.as_ref().map_or_else(String::new, unmet_in_words);
            let condition = unmet.map(|(operator, key, found)| Unmet {
                operator: operator.to_string(),
                key: key.to_owned(),
                found: found.map(str::to_owned),
            });
            Explanation { condition, ..explanation(false, reason, statement.clone()) }
        }
        Decision::NotMentioned => {
            let granted = policy.statement.iter().any(|one| one.action.iter().any(|one| *one == action));
            let reason = if granted {
                format!(
                    "no statement grants it on `{}`; this key's own folder is `{}`",
                    question.key,
                    grant.home()
                )
            } else {
                let misasked = action::misasked(&action).map(|why| format!(": {why}")).unwrap_or_default();
                format!("the template does not grant `{action}`{misasked}")
            };
            explanation(false, reason, None)
        }
    })
}

/// What every request has, whether or not the question says it (docs 436/46205).
const IN_EVERY_REQUEST: [&str; 4] = ["qcs:ip", "cos:secure-transport", "cos:tls-version", "tls-version"];

/// What a deny asks of every request, and this one does not say.
fn left_open<'a>(policy: &'a Policy, request: &Request<'_>) -> Option<&'a str> {
    let denies = policy.statement.iter().filter(|statement| statement.effect == Effect::Deny);
    let keys = denies
        .filter(|deny| applies_to(deny, Reading::Glob, request.action, request.resource))
        .flat_map(|deny| deny.condition.0.values());
    keys.flat_map(BTreeMap::keys)
        .map(String::as_str)
        .find(|key| IN_EVERY_REQUEST.contains(key) && !request.context.contains_key(key))
}

/// Which condition keeps a statement from allowing a request, and how to ask about one that meets it.
fn unmet_in_words((operator, key, found): &(Operator, &str, Option<&str>)) -> String {
    let asked = match *key {
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
            "a statement would allow it, but has `{operator}` on `{key}`, which the request lacks{asked}"
        ),
    }
}

fn explanation(allowed: bool, reason: String, statement: Option<Statement>) -> Explanation {
    Explanation { allowed, reason, statement, condition: None }
}
