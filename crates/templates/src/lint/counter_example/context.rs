//! The condition keys that a request needs to meet a statement's conditions.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan};

use cam::{
    Comparison, Conditions, Operand, Operator,
    evaluate::{Request, conditions_hold},
};

/// Returns values under which every condition holds. `None` if the conditions contradict each other, or if no
/// values were found. The caller sets `cos:prefix`.
pub(super) fn satisfying(conditions: &Conditions) -> Option<BTreeMap<String, String>> {
    let mut by_key: BTreeMap<&str, Conditions> = BTreeMap::new();
    for (operator, keys) in &conditions.0 {
        for (key, values) in keys.iter().filter(|(key, _)| *key != "cos:prefix") {
            let entry = by_key.entry(key).or_default();
            entry.0.entry(*operator).or_default().insert(key.clone(), values.clone());
        }
    }
    let mut context = BTreeMap::new();
    for (key, conditions) in by_key {
        if holds(&conditions, key, None) {
            continue;
        }
        let stated = conditions.0.iter().flat_map(|(operator, keys)| {
            keys.values().flatten().flat_map(|value| values_near(*operator, value))
        });
        let value =
            stated.chain(["other".to_owned()]).find(|value| holds(&conditions, key, Some(value.clone())))?;
        context.insert(key.to_owned(), value);
    }
    Some(context)
}

fn holds(conditions: &Conditions, key: &str, value: Option<String>) -> bool {
    let context = value.into_iter().map(|value| (key, value)).collect();
    conditions_hold(conditions, &Request { context, ..Request::default() })
}

/// Returns the value that a condition states, and values next to it.
fn values_near(operator: Operator, value: &Operand) -> Vec<String> {
    use Comparison as C;
    let text = value.to_string();
    match operator.comparison {
        C::NumericEqual
        | C::NumericNotEqual
        | C::NumericLessThan
        | C::NumericLessThanEqual
        | C::NumericGreaterThan
        | C::NumericGreaterThanEqual => {
            let number: i64 = text.parse().unwrap_or_default();
            [number, number.saturating_sub(1), number.saturating_add(1)].map(|n| n.to_string()).into()
        }
        C::DateEqual
        | C::DateNotEqual
        | C::DateLessThan
        | C::DateLessThanEqual
        | C::DateGreaterThan
        | C::DateGreaterThanEqual => {
            let Ok(at) = text.parse::<Timestamp>() else { return Vec::new() };
            let moved = [at.checked_sub(1.second()), Ok(at), at.checked_add(1.second())];
            moved.into_iter().filter_map(|at| Some(at.ok()?.to_string())).collect()
        }
        C::IpEqual => vec![text.split('/').next().unwrap_or(&text).to_owned()],
        C::IpNotEqual => ["203.0.113.7", "198.51.100.7", "2001:db8::7"].map(str::to_owned).into(),
        C::BoolEqual | C::NullEqual => vec!["true".to_owned(), "false".to_owned()],
        C::StringLike => vec![text.replace('*', "x"), text.replace('*', "")],
        C::StringEqual
        | C::StringNotEqual
        | C::StringEqualIgnoreCase
        | C::StringNotEqualIgnoreCase
        | C::StringNotLike => vec![text],
    }
}
