//! CAM's decision on a request: an explicit deny beats an allow, and what no statement allows is denied
//! (docs 598/10604).

mod condition;
mod reading;

use std::{borrow::Cow, collections::BTreeMap, fmt};

pub use self::{
    condition::{conditions_hold, first_unmet},
    reading::Reading,
};
use crate::{Effect, Policy, Statement, pattern, resource};

/// A request to COS, as CAM evaluates it.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// The action, such as `name/cos:PutObject`.
    pub action: &'a str,
    /// The resource in six segments, such as `qcs::cos:ap-guangzhou:uid/1250000000:b-1250000000/users/alice/a.jpg`.
    pub resource: &'a str,
    /// The condition keys that the request has. The key of a request parameter holds the URL-encoded value.
    pub context: BTreeMap<&'a str, String>,
}

/// CAM's decision, with the index of the statement behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// This statement allows the request.
    Allowed(usize),
    /// This statement denies the request, whatever else allows it.
    ExplicitlyDenied(usize),
    /// No statement allows the request; this one would, but its conditions are not met.
    ConditionUnmet(usize),
    /// No statement is about this action on this resource.
    NotMentioned,
}

/// Describes the decision for a log. Statements are counted from one.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed(index) => write!(f, "statement {} allows it", index + 1),
            Self::ExplicitlyDenied(index) => write!(f, "statement {} denies it", index + 1),
            Self::ConditionUnmet(index) => {
                write!(f, "statement {} would allow it, but a condition there is not met", index + 1)
            }
            Self::NotMentioned => f.write_str("no statement allows that there"),
        }
    }
}

impl Decision {
    /// Returns whether the request is allowed.
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// Decides on a request as the documents say: resources are read segment by segment.
pub fn evaluate(policy: &Policy, request: &Request<'_>) -> Decision {
    decide(policy, request, |one| resource::matches(one, request.resource))
}

/// Decides on a request; resources are read in one of the ways that the documents leave open.
pub fn evaluate_as(reading: Reading, policy: &Policy, request: &Request<'_>) -> Decision {
    let resource = reading.text(request.resource);
    decide(policy, request, |one| pattern::matches(&reading.pattern(one), &resource))
}

fn decide(policy: &Policy, request: &Request<'_>, is_about: impl Fn(&str) -> bool) -> Decision {
    let mut decision = Decision::NotMentioned;
    for (index, statement) in policy.statement.iter().enumerate() {
        if !names_action(statement, request.action) || !statement.resource.iter().any(|one| is_about(one)) {
            continue;
        }
        match (statement.effect, conditions_hold(&statement.condition, request)) {
            (Effect::Deny, true) => return Decision::ExplicitlyDenied(index),
            (Effect::Allow, true) => decision = Decision::Allowed(index),
            (Effect::Allow, false) if decision == Decision::NotMentioned => {
                decision = Decision::ConditionUnmet(index);
            }
            (Effect::Allow | Effect::Deny, false) => {}
        }
    }
    decision
}

/// Returns whether a statement is about an action on a resource, conditions aside.
pub fn applies_to(statement: &Statement, reading: Reading, action: &str, resource: &str) -> bool {
    names_action(statement, action)
        && statement.resource.iter().any(|one| pattern::matches(&reading.pattern(one), resource))
}

fn names_action(statement: &Statement, action: &str) -> bool {
    let action = full_action(action);
    statement.action.iter().any(|one| *one == action || pattern::matches(&full_action(one), &action))
}

/// Returns an action in its full spelling: `cos:PutObject` is short for `name/cos:PutObject` (docs 598/11090).
fn full_action(action: &str) -> Cow<'_, str> {
    let is_short = !action.starts_with("name/") && !action.starts_with('*') && action.contains(':');
    if is_short { Cow::Owned(format!("name/{action}")) } else { Cow::Borrowed(action) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operator;

    fn decide(statements: &str, action: &str, resource: &str, context: &[(&'static str, &str)]) -> Decision {
        let policy =
            Policy::parse(format!(r#"{{"version":"2.0","statement":[{statements}]}}"#).as_bytes()).unwrap();
        let context = context.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        evaluate(&policy, &Request { action, resource, context })
    }

    const PUT_A: &str = r#"{"effect":"allow","action":"name/cos:PutObject","resource":"r/a/*"}"#;

    #[test]
    fn an_unmatched_request_is_denied_and_names_are_case_sensitive() {
        assert_eq!(decide(PUT_A, "name/cos:PutObject", "r/a/x", &[]), Decision::Allowed(0));
        for (action, resource) in [
            ("name/cos:putobject", "r/a/x"),
            ("name/cos:GetObject", "r/a/x"),
            ("name/cos:PutObject", "r/b/x"),
            ("name/cos:PutObject", "R/a/x"),
        ] {
            assert_eq!(decide(PUT_A, action, resource, &[]), Decision::NotMentioned);
        }
    }

    #[test]
    fn an_action_may_be_written_without_its_prefix() {
        let put = r#"{"effect":"allow","action":["cos:PutObject","cos:Get*"],"resource":"*"}"#;
        for (action, expected) in [
            ("name/cos:PutObject", true),
            ("name/cos:GetObject", true),
            ("name/cos:DeleteObject", false),
            ("name/cvm:PutObject", false),
        ] {
            assert_eq!(decide(put, action, "r/a/x", &[]).is_allowed(), expected, "{action}");
        }
        let all_but_one = r#"{"effect":"allow","action":"*","resource":"*"},
            {"effect":"deny","action":"cos:DeleteObject","resource":"*"}"#;
        assert_eq!(decide(all_but_one, "name/cos:DeleteObject", "r", &[]), Decision::ExplicitlyDenied(1));
    }

    #[test]
    fn each_reading_allows_more_than_the_literal_one() {
        for (reading, pattern, resource) in [
            (Reading::Prefix, "b/users/1", "b/users/10/x"),
            (Reading::Merged, "b/u//x/*", "b/u/x/a"),
            (Reading::Merged, "b/u/x/*", "b/u//./y/../x/a"),
            (Reading::Decoded, "b/u%2Fx/*", "b/u/x/a"),
            (Reading::Decoded, "b/u/x/*", "b/u%2fx/a"),
        ] {
            let statement = format!(r#"{{"effect":"allow","action":"a","resource":"{pattern}"}}"#);
            let policy = format!(r#"{{"version":"2.0","statement":[{statement}]}}"#);
            let policy = Policy::parse(policy.as_bytes()).unwrap();
            let request = Request { action: "a", resource, ..Request::default() };
            assert!(evaluate_as(reading, &policy, &request).is_allowed(), "{reading:?} {pattern}");
            assert!(!evaluate(&policy, &request).is_allowed(), "{pattern} as written");
        }
    }

    #[test]
    fn a_deny_beats_an_allow_in_any_order() {
        let deny = r#"{"effect":"deny","action":"name/cos:*","resource":"*"}"#;
        for statements in [format!("{PUT_A},{deny}"), format!("{deny},{PUT_A}")] {
            let decision = decide(&statements, "name/cos:PutObject", "r/a/x", &[]);
            assert!(matches!(decision, Decision::ExplicitlyDenied(_)));
        }
    }

    #[derive(serde::Deserialize)]
    struct Case {
        why: String,
        source: String,
        policy: serde_json::Value,
        action: String,
        resource: String,
        context: BTreeMap<String, serde_json::Value>,
        expect: String,
    }

    /// `testdata/cases.json`: statements of the vendor's documents, each with its source.
    #[test]
    fn decisions_agree_with_the_vendors_documents() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../testdata/cases.json")).unwrap();
        assert!(cases.len() > 140);
        for case in cases {
            let policy = Policy::parse(case.policy.to_string().as_bytes());
            let policy = policy.unwrap_or_else(|error| panic!("{}: {error}", case.why));
            let value = |value: &serde_json::Value| value.as_str().map_or(value.to_string(), str::to_owned);
            let context = case.context.iter().map(|(key, found)| (key.as_str(), value(found))).collect();
            let request = Request { action: &case.action, resource: &case.resource, context };
            let allowed = evaluate(&policy, &request).is_allowed();
            assert_eq!(allowed, case.expect == "allow", "{} ({})", case.why, case.source);
        }
    }

    fn condition(operator: &str, value: &str, found: Option<&str>) -> bool {
        let statement = format!(
            r#"{{"effect":"allow","action":"a","resource":"r","condition":{{"{operator}":{{"k":{value}}}}}}}"#
        );
        let context: Vec<_> = found.map(|found| ("k", found)).into_iter().collect();
        decide(&statement, "a", "r", &context).is_allowed()
    }

    #[test]
    fn each_operator_compares_as_documented() {
        for (operator, value, found, expected) in [
            ("string_equal", r#""a""#, "a", true),
            ("string_equal", r#""a""#, "A", false),
            ("string_equal", r#"["a","b"]"#, "b", true),
            ("string_not_equal", r#"["a","b"]"#, "b", false),
            ("string_not_equal", r#"["a","b"]"#, "c", true),
            ("string_equal_ignore_case", r#""a""#, "A", true),
            ("string_like", r#""image/*""#, "image/png", true),
            ("string_like", r#""image/*""#, "text/html", false),
            ("numeric_equal", "10", "10.0", true),
            ("numeric_less_than", "10", "10", false),
            ("numeric_less_than_equal", "10", "10", true),
            ("numeric_less_than_equal", "10", "9", true),
            ("numeric_less_than_equal", "10", "100", false),
            ("numeric_less_than_equal", "10", "many", false),
            ("numeric_greater_than", "10", "11", true),
            ("numeric_greater_than_equal", "10", "9", false),
            ("bool_equal", r#""true""#, "true", true),
            ("bool_equal", "true", "false", false),
            ("ip_equal", r#""10.0.0.0/8""#, "10.1.2.3", true),
            ("ip_equal", r#""10.0.0.1""#, "10.0.0.2", false),
            ("ip_equal", r#""10.0.0.0/8""#, "not an address", false),
            ("ip_not_equal", r#"["10.0.0.0/8","11.0.0.0/8"]"#, "11.1.2.3", false),
            ("ip_not_equal", r#""10.0.0.0/8""#, "not an address", false),
            ("date_less_than", r#""2030-01-01T00:00:00Z""#, "2029-12-31T23:59:59Z", true),
            ("date_greater_than", r#""2030-01-01T00:00:00Z""#, "2029-12-31T23:59:59Z", false),
        ] {
            assert_eq!(condition(operator, value, Some(found)), expected, "{operator} {value} on {found}");
        }
    }

    #[test]
    fn a_missing_key_fails_the_condition_unless_if_exist() {
        for operator in Operator::names() {
            assert!(!condition(operator, r#""1""#, None), "{operator}");
            assert!(condition(&format!("{operator}_if_exist"), r#""1""#, None), "{operator}_if_exist");
        }
    }

    #[test]
    fn a_quantifier_is_over_the_one_value_that_a_key_has() {
        for (operator, value, found, expected) in [
            ("for_any_value:string_equal", r#"["a","b"]"#, Some("b"), true),
            ("for_any_value:string_equal", r#"["a","b"]"#, Some("c"), false),
            ("for_any_value:string_equal", r#"["a","b"]"#, None, false),
            ("for_any_value:string_equal_if_exist", r#"["a","b"]"#, None, true),
            ("for_all_value:string_equal", r#"["a","b"]"#, Some("b"), true),
            ("for_all_value:string_equal", r#"["a","b"]"#, Some("c"), false),
            ("for_all_value:string_equal", r#"["a","b"]"#, None, true),
            ("null_equal", "true", None, true),
            ("null_equal", "true", Some("a"), false),
            ("null_equal", r#""false""#, Some("a"), true),
            ("null_equal", r#""false""#, None, false),
        ] {
            assert_eq!(condition(operator, value, found), expected, "{operator} {value} on {found:?}");
        }
    }

    #[test]
    fn a_condition_in_two_spellings_is_refused_as_one_of_them_would_be_lost() {
        let both = r#"{"effect":"allow","action":"a","resource":"r","condition":
            {"string_equal":{"k":"a"},"for_any_value:string_equal":{"k":"b"}}}"#;
        let policy = format!(r#"{{"version":"2.0","statement":[{both}]}}"#);
        assert!(Policy::parse(policy.as_bytes()).is_err());
    }

    #[test]
    fn keys_of_one_block_are_anded() {
        let statement =
            r#"{"effect":"deny","action":"a","resource":"r","condition":{"string_like":{"x":"*","y":"*"}}}"#;
        assert_eq!(decide(statement, "a", "r", &[("x", "1")]), Decision::NotMentioned);
        assert_eq!(decide(statement, "a", "r", &[("x", "1"), ("y", "1")]), Decision::ExplicitlyDenied(0));
    }

    #[test]
    fn an_allow_is_kept_whatever_follows_it() {
        let unmet =
            r#"{"effect":"allow","action":"*","resource":"*","condition":{"string_equal":{"x":"1"}}}"#;
        assert_eq!(
            decide(&format!("{PUT_A},{unmet}"), "name/cos:PutObject", "r/a/x", &[]),
            Decision::Allowed(0)
        );
        assert_eq!(
            decide(&format!("{unmet},{PUT_A}"), "name/cos:PutObject", "r/a/x", &[]),
            Decision::Allowed(1)
        );
        assert_eq!(decide(unmet, "name/cos:PutObject", "r/a/x", &[]), Decision::ConditionUnmet(0));
        let twice = decide(&format!("{unmet},{unmet}"), "name/cos:PutObject", "r/a/x", &[]);
        assert_eq!(twice, Decision::ConditionUnmet(0), "the first of those that would allow it");
    }

    #[test]
    fn operators_at_their_boundaries() {
        for (operator, value, found, expected) in [
            ("string_not_like", r#"["image/*","text/*"]"#, "text/html", false),
            ("string_not_like", r#"["image/*","text/*"]"#, "video/mp4", true),
            ("string_not_equal_ignore_case", r#""a""#, "A", false),
            ("numeric_not_equal", "[1,2]", "2", false),
            ("numeric_not_equal", "[1,2]", "3", true),
            ("numeric_greater_than", "10", "10", false),
            ("numeric_greater_than_equal", "10", "10", true),
            ("date_equal", r#""2030-01-01T00:00:00Z""#, "2030-01-01T08:00:00+08:00", true),
            ("date_not_equal", r#""2030-01-01T00:00:00Z""#, "2030-01-01T00:00:00Z", false),
            ("date_less_than", r#""2030-01-01T00:00:00Z""#, "2030-01-01T00:00:00Z", false),
            ("date_less_than_equal", r#""2030-01-01T00:00:00Z""#, "2030-01-01T00:00:00Z", true),
            ("date_greater_than", r#""2030-01-01T00:00:00Z""#, "2030-01-01T00:00:00Z", false),
            ("date_greater_than_equal", r#""2030-01-01T00:00:00Z""#, "2030-01-01T00:00:00Z", true),
        ] {
            assert_eq!(condition(operator, value, Some(found)), expected, "{operator} {value} on {found}");
        }
    }
}
