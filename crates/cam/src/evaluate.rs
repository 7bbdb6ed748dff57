//! CAM's decision on one request: an explicit deny beats an allow, and nothing matched is denied
//! (docs 598/10604; conditions: docs 436/46205).

use std::{borrow::Cow, collections::BTreeMap, fmt, net::IpAddr};

use ipnet::IpNet;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::{
    pattern,
    policy::{Comparison, Conditions, Effect, Operand, Operator, Policy, Statement},
};

/// One request, as COS would put it to CAM.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// Such as `name/cos:PutObject`.
    pub action: &'a str,
    /// The six segments, such as `qcs::cos:ap-guangzhou:uid/1250000000:b-1250000000/users/alice/a.jpg`.
    pub resource: &'a str,
    /// Condition keys the request has; a key of a request parameter holds the URL-encoded value.
    pub context: BTreeMap<&'a str, String>,
}

/// What CAM says, and which statement said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Allowed by this statement.
    Allowed(usize),
    /// Denied by this statement, whatever else allows it.
    ExplicitlyDenied(usize),
    /// No statement allows it; this one would, were it not for its conditions.
    ConditionUnmet(usize),
    /// No statement speaks of this action on this resource.
    NotMentioned,
}

/// In words, for a log; statements are counted from one.
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
    /// Whether the request may go on.
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// How a matcher may read resources: the vendor's documents leave open whether a pattern without `*` means
/// all that begins with it, and what becomes of `//`, `..` and escapes in keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// As written: `*` takes any run of characters, all else stands for itself.
    Glob,
    /// A pattern also takes whatever begins with it.
    Prefix,
    /// Repeated slashes are one, and `.` and `..` are resolved.
    Merged,
    /// Percent escapes are undone.
    Decoded,
}

impl Reading {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Glob, Self::Prefix, Self::Merged, Self::Decoded];

    /// Whether a text could mean something else under this reading than as written.
    pub fn matters_to(self, text: &str) -> bool {
        match self {
            Self::Glob | Self::Prefix => true,
            Self::Merged => text.contains("//") || text.contains("/."),
            Self::Decoded => text.contains('%'),
        }
    }

    /// A pattern as this reading takes it.
    pub fn pattern(self, pattern: &str) -> Cow<'_, str> {
        match self {
            Self::Prefix => Cow::Owned(format!("{pattern}*")),
            Self::Glob | Self::Merged | Self::Decoded => self.text(pattern),
        }
    }

    /// A resource as this reading takes it.
    fn text(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Glob | Self::Prefix => Cow::Borrowed(text),
            Self::Merged => Cow::Owned(merged(text)),
            Self::Decoded => percent_decode_str(text).decode_utf8_lossy(),
        }
    }
}

fn merged(text: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = text.split('/').peekable();
    while let Some(part) = parts.next() {
        match part {
            ".." => drop(segments.pop()),
            "" | "." if parts.peek().is_some() => {}
            _ => segments.push(part),
        }
    }
    segments.join("/")
}

/// Decides, resources read as written.
pub fn evaluate(policy: &Policy, request: &Request<'_>) -> Decision {
    evaluate_as(Reading::Glob, policy, request)
}

/// Decides, resources read in one of the ways left open.
pub fn evaluate_as(reading: Reading, policy: &Policy, request: &Request<'_>) -> Decision {
    let resource = reading.text(request.resource);
    let mut decision = Decision::NotMentioned;
    for (index, statement) in policy.statement.iter().enumerate() {
        if !speaks_of(statement, reading, request.action, &resource) {
            continue;
        }
        match (statement.effect, hold(&statement.condition, request)) {
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

/// Whether a statement is about an action on a resource, its conditions aside.
pub fn speaks_of(statement: &Statement, reading: Reading, action: &str, resource: &str) -> bool {
    statement.action.iter().any(|one| pattern::matches(one, action))
        && statement.resource.iter().any(|one| pattern::matches(&reading.pattern(one), resource))
}

/// Returns whether every condition holds for the request.
pub fn hold(conditions: &Conditions, request: &Request<'_>) -> bool {
    first_unmet(conditions, request).is_none()
}

/// The first condition that a request does not meet: operator, key, and what the request has there.
pub fn first_unmet<'a>(
    conditions: &'a Conditions,
    request: &'a Request<'_>,
) -> Option<(Operator, &'a str, Option<&'a str>)> {
    let each = conditions
        .0
        .iter()
        .flat_map(|(operator, keys)| keys.iter().map(move |(key, values)| (*operator, key, values)));
    each.map(|(operator, key, values)| {
        let found = request.context.get(key.as_str());
        let met = found.map_or(operator.if_exist, |found| compare(operator, found, values));
        (met, (operator, key.as_str(), found.map(String::as_str)))
    })
    .find(|(met, _)| !met)
    .map(|(_, unmet)| unmet)
}

/// Values are `ORed`; a "not" holds where it holds for every value.
fn compare(operator: Operator, found: &str, values: &[Operand]) -> bool {
    let any = |holds: &dyn Fn(&str) -> Option<bool>| {
        values.iter().any(|value| holds(&value.to_string()).unwrap_or(false))
    };
    let none = |holds: &dyn Fn(&str) -> Option<bool>| {
        values.iter().all(|value| holds(&value.to_string()).is_some_and(|equal| !equal))
    };
    let equal = |value: &str| Some(value == found);
    let equal_ignoring_case = |value: &str| Some(value.to_lowercase() == found.to_lowercase());
    let like = |value: &str| Some(pattern::matches(value, found));
    let number = |holds: fn(f64, f64) -> bool| {
        move |value: &str| Some(holds(found.trim().parse().ok()?, value.trim().parse().ok()?))
    };
    let date = |holds: fn(Timestamp, Timestamp) -> bool| {
        move |value: &str| Some(holds(found.parse().ok()?, value.parse().ok()?))
    };
    let within = |value: &str| {
        let address: IpAddr = found.parse().ok()?;
        let net: IpNet = value.parse().or_else(|_| value.parse::<IpAddr>().map(IpNet::from)).ok()?;
        Some(net.contains(&address))
    };
    match operator.comparison {
        Comparison::StringEqual => any(&equal),
        Comparison::StringNotEqual => none(&equal),
        Comparison::StringEqualIgnoreCase | Comparison::BoolEqual => any(&equal_ignoring_case),
        Comparison::StringNotEqualIgnoreCase => none(&equal_ignoring_case),
        Comparison::StringLike => any(&like),
        Comparison::StringNotLike => none(&like),
        Comparison::NumericEqual => any(&number(|a, b| a.total_cmp(&b).is_eq())),
        Comparison::NumericNotEqual => none(&number(|a, b| a.total_cmp(&b).is_eq())),
        Comparison::NumericLessThan => any(&number(|a, b| a < b)),
        Comparison::NumericLessThanEqual => any(&number(|a, b| a <= b)),
        Comparison::NumericGreaterThan => any(&number(|a, b| a > b)),
        Comparison::NumericGreaterThanEqual => any(&number(|a, b| a >= b)),
        Comparison::DateEqual => any(&date(|a, b| a == b)),
        Comparison::DateNotEqual => none(&date(|a, b| a == b)),
        Comparison::DateLessThan => any(&date(|a, b| a < b)),
        Comparison::DateLessThanEqual => any(&date(|a, b| a <= b)),
        Comparison::DateGreaterThan => any(&date(|a, b| a > b)),
        Comparison::DateGreaterThanEqual => any(&date(|a, b| a >= b)),
        Comparison::IpEqual => any(&within),
        Comparison::IpNotEqual => none(&within),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(statements: &str, action: &str, resource: &str, context: &[(&'static str, &str)]) -> Decision {
        let policy =
            Policy::parse(format!(r#"{{"version":"2.0","statement":[{statements}]}}"#).as_bytes()).unwrap();
        let context = context.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        evaluate(&policy, &Request { action, resource, context })
    }

    const PUT_A: &str = r#"{"effect":"allow","action":"name/cos:PutObject","resource":"r/a/*"}"#;

    #[test]
    fn nothing_matched_is_denied_and_names_are_case_sensitive() {
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
    fn each_reading_takes_what_the_documents_leave_open() {
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
    fn a_deny_beats_an_allow_wherever_it_stands() {
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

    /// `tests/data/cam/cases.json`: what the vendor's documents say, row by row, each with its source.
    #[test]
    fn what_the_vendors_documents_say_is_what_is_decided() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../../tests/data/cam/cases.json")).unwrap();
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
    fn each_operator_compares_as_its_document_says() {
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
    fn a_missing_key_fails_unless_if_exist() {
        for operator in Operator::names() {
            assert!(!condition(operator, r#""1""#, None), "{operator}");
            assert!(condition(&format!("{operator}_if_exist"), r#""1""#, None), "{operator}_if_exist");
        }
    }

    #[test]
    fn keys_of_one_block_are_anded() {
        let statement =
            r#"{"effect":"deny","action":"a","resource":"r","condition":{"string_like":{"x":"*","y":"*"}}}"#;
        assert_eq!(decide(statement, "a", "r", &[("x", "1")]), Decision::NotMentioned);
        assert_eq!(decide(statement, "a", "r", &[("x", "1"), ("y", "1")]), Decision::ExplicitlyDenied(0));
    }

    #[test]
    fn an_allow_stands_whatever_comes_after_it() {
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
    fn operators_at_their_edges() {
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
