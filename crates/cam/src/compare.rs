//! What one policy allows that another does not.
//!
//! Errs on the safe side: access that is not shown to be covered counts as gained. A policy that only splits
//! the same access differently may count as a change, but a widening is never overlooked.

mod change;
mod implication;

pub use self::change::Change;
use self::{change::Access, implication::implies};
use crate::{Conditions, Effect, Policy, Statement, pattern, resource};

/// Compares an old policy with a new one.
pub fn compare(old: &Policy, new: &Policy) -> Change {
    Change { gains: beyond(new, old), losses: beyond(old, new) }
}

/// Returns whether one allow grants everything that another grants.
pub fn covers(wide: &Statement, narrow: &Statement) -> bool {
    all_contained(&narrow.action, &wide.action, pattern::contains)
        && all_contained(&narrow.resource, &wide.resource, contains_resource)
        && implies(&narrow.condition, &wide.condition)
}

fn all_contained(inner: &[String], outer: &[String], contains: fn(&str, &str) -> bool) -> bool {
    inner.iter().all(|inner| outer.iter().any(|outer| contains(outer, inner)))
}

/// Returns whether a resource contains another both as a whole and segment by segment.
fn contains_resource(outer: &str, inner: &str) -> bool {
    pattern::contains(outer, inner) && resource::matches(outer, inner)
}

/// One action on one resource of a statement.
struct Atom<'a> {
    action: &'a str,
    resource: &'a str,
    condition: &'a Conditions,
}

fn atoms(policy: &Policy, effect: Effect) -> impl Iterator<Item = Atom<'_>> {
    let statements = policy.statement.iter().filter(move |statement| statement.effect == effect);
    statements.flat_map(|statement| {
        statement.action.iter().flat_map(move |action| {
            statement.resource.iter().map(move |resource| Atom {
                action,
                resource,
                condition: &statement.condition,
            })
        })
    })
}

/// Returns the access that `wide` gives beyond `base`.
fn beyond(wide: &Policy, base: &Policy) -> Vec<Access> {
    let mut found = Vec::new();
    for allow in atoms(wide, Effect::Allow) {
        if let Some(access) = allow.beyond(base) {
            access.add_to(&mut found);
        }
    }
    for deny in atoms(base, Effect::Deny) {
        let is_kept = atoms(wide, Effect::Deny)
            .any(|other| other.spans(&deny) && implies(deny.condition, other.condition));
        if !is_kept && atoms(wide, Effect::Allow).any(|allow| deny.may_affect(&allow)) {
            deny.access(deny.condition.clone(), None, true).add_to(&mut found);
        }
    }
    found
}

impl Atom<'_> {
    /// Returns what this allow gives beyond the allows of a policy.
    fn beyond(&self, base: &Policy) -> Option<Access> {
        let spanning: Vec<Atom<'_>> = atoms(base, Effect::Allow).filter(|other| other.spans(self)).collect();
        if spanning.iter().any(|other| implies(self.condition, other.condition)) {
            return None;
        }
        Some(match spanning.first() {
            None => self.access(self.condition.clone(), None, false),
            // Conditions that both have are left out of the description.
            Some(other) => {
                let own = self.condition.without(other.condition);
                self.access(own, Some(other.condition.without(self.condition)), false)
            }
        })
    }

    /// Returns whether this atom has the other's action and resource, conditions aside.
    fn spans(&self, other: &Self) -> bool {
        pattern::contains(self.action, other.action) && contains_resource(self.resource, other.resource)
    }

    /// Returns whether this deny may affect an allow; in doubt, `true`. A template's variable may be any text,
    /// and a resource may also match whatever begins with it.
    fn may_affect(&self, allow: &Self) -> bool {
        pattern::may_overlap(allow.action, self.action)
            && pattern::may_overlap(&widest(allow.resource), &widest(self.resource))
    }

    fn access(&self, conditions: Conditions, other: Option<Conditions>, deny_lifted: bool) -> Access {
        Access {
            actions: vec![self.action.to_owned()],
            resource: self.resource.to_owned(),
            conditions,
            other_conditions: other,
            deny_lifted,
        }
    }
}

/// Returns a resource pattern with `*` for every variable of a template, for every empty segment and at the end.
fn widest(resource: &str) -> String {
    let resource = resource::with_stars(resource);
    let mut open = String::new();
    let mut rest = resource.as_ref();
    while let Some((literal, after)) = rest.split_once("${") {
        open.push_str(literal);
        open.push('*');
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    format!("{open}{rest}*")
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
    fn gains_and_losses_are_described_in_words() {
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
    fn segments_that_stand_for_all_are_not_overlooked() {
        let one = |effect: &str, resource: &str| {
            format!(r#"{{"effect":"{effect}","action":"name/cos:GetObject","resource":"{resource}"}}"#)
        };
        let (all, here) = ("qcs::cos::uid/1:b-1/*", "qcs::cos:r:uid/1:b-1/*");
        assert!(compare(&policy(&one("allow", here)), &policy(&one("allow", all))).widens());
        // Too few segments are about nothing, whatever `*` would match in them.
        assert!(compare(&policy(&one("allow", "qcs::cos:*")), &policy(&one("allow", here))).widens());
        let denied = [one("allow", here), one("deny", "qcs:::::b-1/*")].join(",");
        assert!(compare(&policy(&denied), &policy(&one("allow", here))).widens(), "a deny is gone");
    }

    #[test]
    fn a_looser_condition_is_a_gain_and_a_tighter_one_a_loss() {
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
    fn each_operator_implies_its_looser_forms_only() {
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
    fn a_removed_deny_is_a_gain_if_it_had_an_effect() {
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
        /// If only the new policy allows a request, the change widens.
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
