//! Which conditions imply which others.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{Comparison, Conditions, Operand, Operator, pattern};

/// Returns whether every request that meets `strict` meets `loose`; in doubt, `false`.
pub(super) fn implies(strict: &Conditions, loose: &Conditions) -> bool {
    loose.iter().all(|(wanted, key, values)| {
        strict.iter().any(|(operator, of, given)| of == key && narrows(operator, given, wanted, values))
    })
}

/// Returns whether a condition on a key holds only where another condition on the same key holds.
fn narrows(operator: Operator, given: &[Operand], wanted: Operator, values: &[Operand]) -> bool {
    use Comparison as C;
    if operator.if_exist && !wanted.if_exist {
        return false;
    }
    match (operator.comparison, wanted.comparison) {
        (C::StringLike | C::StringEqual, C::StringLike) => all_within(given, values, pattern::contains),
        (C::IpEqual, C::IpEqual) => all_within(given, values, network_contains),
        (C::NumericLessThan | C::NumericLessThanEqual, C::NumericLessThanEqual)
        | (C::NumericLessThan, C::NumericLessThan) => {
            greatest(given).zip(greatest(values)).is_some_and(|(given, wanted)| given <= wanted)
        }
        (C::NumericGreaterThan | C::NumericGreaterThanEqual, C::NumericGreaterThanEqual)
        | (C::NumericGreaterThan, C::NumericGreaterThan) => {
            least(given).zip(least(values)).is_some_and(|(given, wanted)| given >= wanted)
        }
        (a, b) if a != b => false,
        (C::StringEqual | C::StringEqualIgnoreCase | C::NumericEqual | C::DateEqual | C::BoolEqual, _) => {
            all_within(given, values, |outer, inner| outer == inner)
        }
        // Dates, and negations, for which no document defines several values: only equal lists are the same.
        _ => given == values,
    }
}

/// Returns whether each of `inner` is contained in one of `outer`.
fn all_within(inner: &[Operand], outer: &[Operand], contains: fn(&str, &str) -> bool) -> bool {
    inner.iter().all(|inner| outer.iter().any(|outer| contains(&outer.to_string(), &inner.to_string())))
}

fn greatest(operands: &[Operand]) -> Option<f64> {
    numbers(operands)?.into_iter().reduce(f64::max)
}

fn least(operands: &[Operand]) -> Option<f64> {
    numbers(operands)?.into_iter().reduce(f64::min)
}

fn numbers(operands: &[Operand]) -> Option<Vec<f64>> {
    operands.iter().map(|operand| operand.to_string().parse().ok()).collect()
}

fn network_contains(outer: &str, inner: &str) -> bool {
    network(outer).zip(network(inner)).is_some_and(|(outer, inner)| outer.contains(&inner))
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()
}
