//! What one policy lets its holder do that another does not.
//!
//! Never wrong on the safe side: what is not shown to be covered counts as gained. So a policy that is
//! split differently and grants the same may be told as a change, and a widening is never overlooked.

use ipnet::IpNet;

use super::{
    pattern,
    policy::{Comparison, Conditions, Effect, Operand, Operator, Policy, Statement},
};

/// What the holder of a new policy gains and loses against an old one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Allowed now, or no longer denied.
    pub gains: Vec<Access>,
    /// Allowed before, or denied only now.
    pub losses: Vec<Access>,
}

/// Actions on a resource under the same conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Such as `name/cos:PutObject`.
    pub actions: Vec<String>,
    /// The resource, as its policy writes it.
    pub resource: String,
    /// Under which conditions, in words; where the other side allows the same under others, only those that
    /// differ.
    pub conditions: String,
    /// The other side's conditions for the same actions and resource, as far as they differ, in words.
    pub other_conditions: Option<String>,
    /// It is a deny that falls away, not an allow that comes.
    pub deny_lifted: bool,
}

impl Access {
    /// In words; `then` and `denied` say when the other side holds.
    fn words(&self, then: &str, denied: &str) -> String {
        let short = |name: &String| name.rsplit(':').next().unwrap_or(name).to_owned();
        let actions: Vec<String> = self.actions.iter().map(short).collect();
        // `qcs::cos:<region>:uid/<appid>:<bucket>/<key>`: the key follows the second slash.
        let key = self.resource.splitn(3, '/').nth(2).unwrap_or(&self.resource);
        let under = |conditions: &str| match conditions {
            "" => String::new(),
            conditions => format!(" where {conditions}"),
        };
        let other = match self.other_conditions.as_deref() {
            None => String::new(),
            Some("") => format!(" ({then}: without that)"),
            Some(other) => format!(" ({then}: where {other})"),
        };
        let lifted = if self.deny_lifted { denied } else { "" };
        format!("{} on `{key}`{}{other}{lifted}", actions.join(", "), under(&self.conditions))
    }
}

impl Change {
    /// Whether the holder can do something new.
    pub fn widens(&self) -> bool {
        !self.gains.is_empty()
    }

    /// Each gain in words.
    pub fn gained(&self) -> impl Iterator<Item = String> {
        self.gains.iter().map(|access| access.words("before", ", denied before"))
    }

    /// Each loss in words.
    pub fn lost(&self) -> impl Iterator<Item = String> {
        self.losses.iter().map(|access| access.words("now", ", denied now"))
    }
}

/// From an old policy to a new one.
pub fn compare(old: &Policy, new: &Policy) -> Change {
    Change { gains: beyond(new, old), losses: beyond(old, new) }
}

/// What `wide` gives beyond `base`.
fn beyond(wide: &Policy, base: &Policy) -> Vec<Access> {
    let mut found: Vec<Access> = Vec::new();
    for (statement, action, resource) in atoms(wide, Effect::Allow) {
        let same_place: Vec<&Statement> = atoms(base, Effect::Allow)
            .filter(|(_, other, on)| pattern::contains(other, action) && pattern::contains(on, resource))
            .map(|(other, _, _)| other)
            .collect();
        if !same_place.iter().any(|other| implies(&statement.condition, &other.condition)) {
            match same_place.first() {
                None => push(&mut found, action, resource, statement.condition.to_string(), None, false),
                // Only what differs is worth a reader's time.
                Some(other) => {
                    let here = statement.condition.without(&other.condition).to_string();
                    let there = other.condition.without(&statement.condition).to_string();
                    push(&mut found, action, resource, here, Some(there), false);
                }
            }
        }
    }
    for (statement, action, resource) in atoms(base, Effect::Deny) {
        let kept = atoms(wide, Effect::Deny).any(|(other, of, on)| {
            pattern::contains(of, action)
                && pattern::contains(on, resource)
                && implies(&statement.condition, &other.condition)
        });
        // In doubt it bit: a variable may be any text, and a resource may take what begins with it.
        let bites = |of: &str, on: &str| {
            pattern::may_meet(of, action) && pattern::may_meet(&widest(on), &widest(resource))
        };
        if !kept && atoms(wide, Effect::Allow).any(|(_, of, on)| bites(of, on)) {
            push(&mut found, action, resource, statement.condition.to_string(), None, true);
        }
    }
    found
}

/// Whether one allow grants all that another does.
pub fn covers(wide: &Statement, narrow: &Statement) -> bool {
    let holds = |wide: &[String], narrow: &[String]| {
        narrow.iter().all(|one| wide.iter().any(|other| pattern::contains(other, one)))
    };
    holds(&wide.action, &narrow.action)
        && holds(&wide.resource, &narrow.resource)
        && implies(&narrow.condition, &wide.condition)
}

/// A resource with every variable of a template left open, under the reading that takes most.
fn widest(resource: &str) -> String {
    let mut open = String::new();
    let mut rest = resource;
    while let Some((literal, after)) = rest.split_once("${") {
        open.push_str(literal);
        open.push('*');
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    format!("{open}{rest}*")
}

fn atoms(policy: &Policy, effect: Effect) -> impl Iterator<Item = (&Statement, &str, &str)> {
    let statements = policy.statement.iter().filter(move |statement| statement.effect == effect);
    statements.flat_map(|statement| {
        statement.action.iter().flat_map(move |action| {
            statement.resource.iter().map(move |resource| (statement, action.as_str(), resource.as_str()))
        })
    })
}

/// Adds an action, beside others of the same place and conditions if there are some.
fn push(
    found: &mut Vec<Access>,
    action: &str,
    resource: &str,
    conditions: String,
    other_conditions: Option<String>,
    deny_lifted: bool,
) {
    let alike = found.iter_mut().find(|one| {
        one.resource == resource
            && one.conditions == conditions
            && one.other_conditions == other_conditions
            && one.deny_lifted == deny_lifted
    });
    match alike {
        Some(access) if access.actions.iter().any(|one| one == action) => {}
        Some(access) => access.actions.push(action.to_owned()),
        None => found.push(Access {
            actions: vec![action.to_owned()],
            resource: resource.to_owned(),
            conditions,
            other_conditions,
            deny_lifted,
        }),
    }
}

/// Whether every request that meets `strict` meets `loose`.
fn implies(strict: &Conditions, loose: &Conditions) -> bool {
    let each = |conditions: &Conditions| {
        let all = conditions.0.iter();
        all.flat_map(|(operator, keys)| {
            keys.iter().map(|(key, values)| (*operator, key.clone(), values.clone())).collect::<Vec<_>>()
        })
        .collect::<Vec<_>>()
    };
    let strict = each(strict);
    each(loose).iter().all(|(wanted, key, values)| {
        strict.iter().any(|(operator, of, given)| of == key && narrows(*operator, given, *wanted, values))
    })
}

/// Whether a condition on a key holds at most where another on the same key does.
fn narrows(operator: Operator, given: &[Operand], wanted: Operator, values: &[Operand]) -> bool {
    use Comparison as C;
    if operator.if_exist && !wanted.if_exist {
        return false;
    }
    let all_in = |inner: &[Operand], outer: &[Operand], holds: fn(&str, &str) -> bool| {
        inner.iter().all(|one| outer.iter().any(|other| holds(&other.to_string(), &one.to_string())))
    };
    let numbers = |list: &[Operand]| list.iter().map(|one| one.to_string().parse::<f64>().ok()).collect();
    let most = |list: &[Operand]| extreme(numbers(list), f64::max);
    let least = |list: &[Operand]| extreme(numbers(list), f64::min);
    let ordered = |a: Option<f64>, b: Option<f64>, holds: fn(&f64, &f64) -> bool| {
        a.zip(b).is_some_and(|(a, b)| holds(&a, &b))
    };
    match (operator.comparison, wanted.comparison) {
        (C::StringLike | C::StringEqual, C::StringLike) => all_in(given, values, pattern::contains),
        (C::IpEqual, C::IpEqual) => all_in(given, values, holds_net),
        (C::NumericLessThan | C::NumericLessThanEqual, C::NumericLessThanEqual)
        | (C::NumericLessThan, C::NumericLessThan) => ordered(most(given), most(values), f64::le),
        (C::NumericGreaterThan | C::NumericGreaterThanEqual, C::NumericGreaterThanEqual)
        | (C::NumericGreaterThan, C::NumericGreaterThan) => ordered(least(given), least(values), f64::ge),
        (a, b) if a != b => false,
        (C::StringEqual | C::StringEqualIgnoreCase | C::NumericEqual | C::DateEqual | C::BoolEqual, _) => {
            all_in(given, values, |outer, inner| outer == inner)
        }
        // Bounds in time; and a "not", of which no document says what it makes of several values: only the
        // same words mean the same.
        _ => given == values,
    }
}

fn extreme(numbers: Option<Vec<f64>>, choose: fn(f64, f64) -> f64) -> Option<f64> {
    numbers?.into_iter().reduce(choose)
}

fn holds_net(outer: &str, inner: &str) -> bool {
    let net = |text: &str| {
        text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from)).ok()
    };
    net(outer).zip(net(inner)).is_some_and(|(outer, inner)| outer.contains(&inner))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evaluate::{Request, evaluate};

    fn policy(statements: &str) -> Policy {
        Policy::parse(format!(r#"{{"version":"2.0","statement":[{statements}]}}"#).as_bytes()).unwrap()
    }

    const START: &str = "qcs::cos:r:uid/1:b-1/";

    fn allow(action: &str, key: &str, condition: &str) -> String {
        format!(
            r#"{{"effect":"allow","action":"name/cos:{action}","resource":"{START}{key}","condition":{condition}}}"#
        )
    }

    #[test]
    fn gains_and_losses_are_told_in_words() {
        let old = policy(&[allow("PutObject", "u/a/*", "{}"), allow("GetObject", "u/a/x/*", "{}")].join(","));
        let new =
            policy(&[allow("PutObject", "u/a/pics/*", "{}"), allow("GetObject", "u/a/*", "{}")].join(","));
        let change = compare(&old, &new);
        assert_eq!(change.gained().collect::<Vec<_>>(), ["GetObject on `u/a/*`"]);
        assert_eq!(change.lost().collect::<Vec<_>>(), ["PutObject on `u/a/*`"]);
        assert_eq!(compare(&old, &old), Change::default());
        let ip = r#"{"ip_equal":{"qcs:ip":"10.0.0.0/8"}}"#;
        let mixed = [("GetObject", ip), ("HeadObject", ip), ("PutObject", "{}")];
        let mixed = mixed.map(|(action, condition)| allow(action, "u/b/*", condition)).join(",");
        assert_eq!(
            compare(&policy(&allow("PutObject", "u/a/*", "{}")), &policy(&mixed))
                .gained()
                .collect::<Vec<_>>(),
            ["GetObject, HeadObject on `u/b/*` where qcs:ip ip_equal 10.0.0.0/8", "PutObject on `u/b/*`"]
        );
    }

    #[test]
    fn a_condition_that_loosens_is_a_gain_and_one_that_tightens_a_loss() {
        let size = |bound: &str| {
            policy(&allow(
                "PutObject",
                "u/*",
                &format!(r#"{{"numeric_less_than_equal":{{"cos:content-length":{bound}}}}}"#),
            ))
        };
        let change = compare(&size("10"), &size("20"));
        assert_eq!(
            change.gained().collect::<Vec<_>>(),
            [
                "PutObject on `u/*` where cos:content-length numeric_less_than_equal 20 (before: where cos:content-length numeric_less_than_equal 10)"
            ]
        );
        assert!(change.losses.is_empty());
        assert!(!compare(&size("20"), &size("10")).widens());
        assert!(compare(&size("10"), &policy(&allow("PutObject", "u/*", "{}"))).widens());
    }

    #[test]
    fn each_operator_narrows_as_it_says() {
        for (strict, loose, expected) in [
            (r#"{"string_equal":{"k":"a"}}"#, r#"{"string_equal":{"k":["a","b"]}}"#, true),
            (r#"{"string_equal":{"k":["a","b"]}}"#, r#"{"string_equal":{"k":"a"}}"#, false),
            (r#"{"string_equal":{"k":"image/png"}}"#, r#"{"string_like":{"k":"image/*"}}"#, true),
            (r#"{"string_like":{"k":"image/*"}}"#, r#"{"string_like":{"k":"*"}}"#, true),
            (r#"{"string_like":{"k":"*"}}"#, r#"{"string_like":{"k":"image/*"}}"#, false),
            (r#"{"string_equal":{"k":"a"}}"#, r#"{"string_equal_if_exist":{"k":"a"}}"#, true),
            (r#"{"string_equal_if_exist":{"k":"a"}}"#, r#"{"string_equal":{"k":"a"}}"#, false),
            (r#"{"string_not_equal":{"k":"a"}}"#, r#"{"string_not_equal":{"k":"a"}}"#, true),
            (r#"{"string_not_equal":{"k":["a","b"]}}"#, r#"{"string_not_equal":{"k":"a"}}"#, false),
            (r#"{"string_not_equal":{"k":"a"}}"#, r#"{"string_not_equal":{"k":["a","b"]}}"#, false),
            (r#"{"numeric_less_than":{"k":10}}"#, r#"{"numeric_less_than_equal":{"k":10}}"#, true),
            (r#"{"numeric_less_than_equal":{"k":10}}"#, r#"{"numeric_less_than":{"k":10}}"#, false),
            (r#"{"numeric_greater_than":{"k":10}}"#, r#"{"numeric_greater_than":{"k":5}}"#, true),
            (r#"{"ip_equal":{"k":"10.1.0.0/16"}}"#, r#"{"ip_equal":{"k":"10.0.0.0/8"}}"#, true),
            (r#"{"ip_equal":{"k":"10.0.0.0/8"}}"#, r#"{"ip_equal":{"k":"10.1.0.0/16"}}"#, false),
            (r#"{"ip_equal":{"k":"10.1.2.3"}}"#, r#"{"ip_equal":{"k":"10.0.0.0/8"}}"#, true),
            (r#"{"ip_equal":{"k":"10.0.0.0/8"}}"#, r#"{"ip_equal":{"k":"10.1.2.3"}}"#, false),
            // Of several bounds, the loosest holds.
            (r#"{"numeric_less_than_equal":{"k":[5,20]}}"#, r#"{"numeric_less_than_equal":{"k":10}}"#, false),
            (r#"{"numeric_less_than_equal":{"k":10}}"#, r#"{"numeric_less_than_equal":{"k":[5,20]}}"#, true),
            (r#"{"numeric_greater_than":{"k":[5,20]}}"#, r#"{"numeric_greater_than":{"k":10}}"#, false),
            (r#"{"numeric_greater_than":{"k":10}}"#, r#"{"numeric_greater_than":{"k":[5,20]}}"#, true),
            (r#"{"numeric_greater_than_equal":{"k":10}}"#, r#"{"numeric_greater_than":{"k":10}}"#, false),
            (
                r#"{"date_less_than":{"k":"2030-01-01T00:00:00Z"}}"#,
                r#"{"date_less_than":{"k":"2030-01-01T00:00:00Z"}}"#,
                true,
            ),
            (
                r#"{"date_less_than":{"k":"2031-01-01T00:00:00Z"}}"#,
                r#"{"date_less_than":{"k":"2030-01-01T00:00:00Z"}}"#,
                false,
            ),
            (r#"{"string_equal":{"k":"a","l":"b"}}"#, r#"{"string_equal":{"k":"a"}}"#, true),
            (r#"{"string_equal":{"k":"a"}}"#, r#"{"string_equal":{"k":"a","l":"b"}}"#, false),
        ] {
            let of = |condition: &str| policy(&allow("PutObject", "*", condition));
            assert_eq!(!compare(&of(loose), &of(strict)).widens(), expected, "{strict} against {loose}");
        }
    }

    #[test]
    fn a_deny_that_falls_away_is_a_gain_where_it_bit() {
        let deny =
            |key: &str| format!(r#"{{"effect":"deny","action":"name/cos:*","resource":"{START}{key}"}}"#);
        let put = allow("PutObject", "u/*", "{}");
        let old = policy(&format!("{put},{}", deny("u/secret/*")));
        assert_eq!(
            compare(&old, &policy(&put)).gained().collect::<Vec<_>>(),
            ["* on `u/secret/*`, denied before"]
        );
        let elsewhere = policy(&format!("{put},{}", deny("v/*")));
        assert!(!compare(&elsewhere, &policy(&put)).widens());
        assert!(!compare(&old, &policy(&format!("{put},{}", deny("u/*")))).widens());
    }

    fn any_policy() -> impl Strategy<Value = String> {
        let key = "[ab*]{0,3}";
        let condition = prop_oneof![
            3 => Just("{}".to_owned()),
            1 => (0..4).prop_map(|n| format!(r#"{{"numeric_less_than_equal":{{"n":{n}}}}}"#)),
            1 => (0..4).prop_map(|n| format!(r#"{{"numeric_greater_than_if_exist":{{"n":{n}}}}}"#)),
            1 => "[ab*]{0,2}".prop_map(|like| format!(r#"{{"string_like":{{"s":["{like}"]}}}}"#)),
            1 => "[ab]{1,2}".prop_map(|not| format!(r#"{{"string_not_equal":{{"s":["{not}"]}}}}"#)),
        ];
        let statement = (prop::bool::weighted(0.8), key, condition).prop_map(|(allows, key, condition)| {
            let effect = if allows { "allow" } else { "deny" };
            format!(r#"{{"effect":"{effect}","action":"a","resource":"r/{key}","condition":{condition}}}"#)
        });
        prop::collection::vec(statement, 1..4).prop_map(|statements| statements.join(","))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// Whatever request only the new policy lets through, the change says that it widens.
        #[test]
        fn no_widening_is_overlooked(
            old in any_policy(), new in any_policy(), key in "[ab]{0,3}",
            n in prop::option::of(0..5_u8), s in prop::option::of("[ab]{1,2}"),
        ) {
            let (old, new) = (policy(&old), policy(&new));
            let resource = format!("r/{key}");
            let context = n.map(|n| ("n", n.to_string())).into_iter().chain(s.map(|s| ("s", s))).collect();
            let request = Request { action: "a", resource: &resource, context };
            if evaluate(&new, &request).is_allowed() && !evaluate(&old, &request).is_allowed() {
                prop_assert!(compare(&old, &new).widens());
            }
        }
    }
}
