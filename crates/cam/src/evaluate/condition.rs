//! Conditions, evaluated on a request (docs 436/46205).

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

use super::Request;
use crate::{Comparison, Conditions, Operand, Operator, pattern};

/// Returns whether every condition holds for the request.
pub fn conditions_hold(conditions: &Conditions, request: &Request<'_>) -> bool {
    first_unmet(conditions, request).is_none()
}

/// Returns the first condition that a request does not meet: operator, key, and the request's value.
pub fn first_unmet<'a>(
    conditions: &'a Conditions,
    request: &'a Request<'_>,
) -> Option<(Operator, &'a str, Option<&'a str>)> {
    conditions.iter().find_map(|(operator, key, values)| {
        let found = request.context.get(key).map(String::as_str);
        let is_met = match operator.comparison {
            Comparison::NullEqual => any(values, |value| Some(value == found.is_none().to_string())),
            comparison => found.map_or(operator.if_exist, |found| holds(comparison, found, values)),
        };
        (!is_met).then_some((operator, key, found))
    })
}

/// Returns whether a comparison holds between the request's value and the values of a condition. A negation
/// holds if it holds for every value, any other comparison if it holds for one.
fn holds(comparison: Comparison, found: &str, values: &[Operand]) -> bool {
    use Comparison as C;
    match comparison {
        C::StringEqual => any(values, |value| Some(value == found)),
        C::StringNotEqual => none(values, |value| Some(value == found)),
        C::StringEqualIgnoreCase | C::BoolEqual => {
            any(values, |value| Some(equal_ignoring_case(found, value)))
        }
        C::StringNotEqualIgnoreCase => none(values, |value| Some(equal_ignoring_case(found, value))),
        C::StringLike => any(values, |value| Some(pattern::matches(value, found))),
        C::StringNotLike => none(values, |value| Some(pattern::matches(value, found))),
        C::NumericEqual => any(values, |value| numbers(found, value).map(|(a, b)| a.total_cmp(&b).is_eq())),
        C::NumericNotEqual => {
            none(values, |value| numbers(found, value).map(|(a, b)| a.total_cmp(&b).is_eq()))
        }
        C::NumericLessThan => any(values, |value| numbers(found, value).map(|(a, b)| a < b)),
        C::NumericLessThanEqual => any(values, |value| numbers(found, value).map(|(a, b)| a <= b)),
        C::NumericGreaterThan => any(values, |value| numbers(found, value).map(|(a, b)| a > b)),
        C::NumericGreaterThanEqual => any(values, |value| numbers(found, value).map(|(a, b)| a >= b)),
        C::DateEqual => any(values, |value| dates(found, value).map(|(a, b)| a == b)),
        C::DateNotEqual => none(values, |value| dates(found, value).map(|(a, b)| a == b)),
        C::DateLessThan => any(values, |value| dates(found, value).map(|(a, b)| a < b)),
        C::DateLessThanEqual => any(values, |value| dates(found, value).map(|(a, b)| a <= b)),
        C::DateGreaterThan => any(values, |value| dates(found, value).map(|(a, b)| a > b)),
        C::DateGreaterThanEqual => any(values, |value| dates(found, value).map(|(a, b)| a >= b)),
        C::IpEqual => any(values, |value| is_in_network(found, value)),
        C::IpNotEqual => none(values, |value| is_in_network(found, value)),
        C::NullEqual => any(values, |value| Some(value == "false")),
    }
}

/// Returns whether a test holds for one of the values. `None` from the test means that it cannot be made.
fn any(values: &[Operand], test: impl Fn(&str) -> Option<bool>) -> bool {
    values.iter().any(|value| test(&value.to_string()) == Some(true))
}

/// Returns whether a test fails for every value. A test that cannot be made has not failed.
fn none(values: &[Operand], test: impl Fn(&str) -> Option<bool>) -> bool {
    values.iter().all(|value| test(&value.to_string()) == Some(false))
}

fn equal_ignoring_case(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

fn numbers(found: &str, value: &str) -> Option<(f64, f64)> {
    Some((found.trim().parse().ok()?, value.trim().parse().ok()?))
}

fn dates(found: &str, value: &str) -> Option<(Timestamp, Timestamp)> {
    Some((found.parse().ok()?, value.parse().ok()?))
}

fn is_in_network(address: &str, network: &str) -> Option<bool> {
    let address: IpAddr = address.parse().ok()?;
    let network: IpNet = network.parse().or_else(|_| network.parse::<IpAddr>().map(IpNet::from)).ok()?;
    Some(network.contains(&address))
}
