//! The conditions of a statement: operators, keys and values.

use std::{collections::BTreeMap, fmt, str::FromStr};

use percent_encoding::percent_decode_str;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use super::reader::{Malformed, list, malformed};

/// The conditions of a statement: operator, then key, then values. Operators and keys are `ANDed`, values are
/// `ORed`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions(pub BTreeMap<Operator, BTreeMap<String, Vec<Operand>>>);

/// A comparison and what it does where the request lacks the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operator {
    /// How the request's value is compared with the policy's.
    pub comparison: Comparison,
    /// `_if_exist`: the condition also holds where the request lacks the key.
    pub if_exist: bool,
}

/// A comparison of CAM. A policy writes it in snake case, such as `string_equal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each variant has the name that the vendor documents")]
pub enum Comparison {
    StringEqual,
    StringNotEqual,
    StringEqualIgnoreCase,
    StringNotEqualIgnoreCase,
    StringLike,
    StringNotLike,
    NumericEqual,
    NumericNotEqual,
    NumericLessThan,
    NumericLessThanEqual,
    NumericGreaterThan,
    NumericGreaterThanEqual,
    DateEqual,
    DateNotEqual,
    DateLessThan,
    DateLessThanEqual,
    DateGreaterThan,
    DateGreaterThanEqual,
    BoolEqual,
    IpEqual,
    IpNotEqual,
    /// Whether the request lacks the key. Policies have it, templates do not.
    NullEqual,
}

/// A value in a condition; numbers stay numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Operand {
    /// A JSON number.
    Number(serde_json::Number),
    /// A JSON string, or a boolean as text.
    Text(String),
}

/// The error for a name that no comparison has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown operator")]
pub struct UnknownOperator;

/// The operator that compares no value.
const NULL_EQUAL: &str = "null_equal";

const COMPARISONS: [(&str, Comparison); 21] = [
    ("string_equal", Comparison::StringEqual),
    ("string_not_equal", Comparison::StringNotEqual),
    ("string_equal_ignore_case", Comparison::StringEqualIgnoreCase),
    ("string_not_equal_ignore_case", Comparison::StringNotEqualIgnoreCase),
    ("string_like", Comparison::StringLike),
    ("string_not_like", Comparison::StringNotLike),
    ("numeric_equal", Comparison::NumericEqual),
    ("numeric_not_equal", Comparison::NumericNotEqual),
    ("numeric_less_than", Comparison::NumericLessThan),
    ("numeric_less_than_equal", Comparison::NumericLessThanEqual),
    ("numeric_greater_than", Comparison::NumericGreaterThan),
    ("numeric_greater_than_equal", Comparison::NumericGreaterThanEqual),
    ("date_equal", Comparison::DateEqual),
    ("date_not_equal", Comparison::DateNotEqual),
    ("date_less_than", Comparison::DateLessThan),
    ("date_less_than_equal", Comparison::DateLessThanEqual),
    ("date_greater_than", Comparison::DateGreaterThan),
    ("date_greater_than_equal", Comparison::DateGreaterThanEqual),
    ("bool_equal", Comparison::BoolEqual),
    ("ip_equal", Comparison::IpEqual),
    ("ip_not_equal", Comparison::IpNotEqual),
];

/// Iterates over the names of comparisons, as operators spell them.
pub fn comparison_names() -> impl Iterator<Item = &'static str> {
    COMPARISONS.iter().map(|(name, _)| *name)
}

impl Conditions {
    /// Returns whether there are no conditions.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns every condition on a key, by operator and key.
    pub fn iter(&self) -> impl Iterator<Item = (Operator, &str, &[Operand])> {
        self.0.iter().flat_map(|(operator, keys)| {
            keys.iter().map(|(key, values)| (*operator, key.as_str(), values.as_slice()))
        })
    }

    /// Returns the conditions that `other` does not contain literally.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut remaining = self.clone();
        for (operator, keys) in &mut remaining.0 {
            let others = other.0.get(operator);
            keys.retain(|key, values| others.and_then(|others| others.get(key)) != Some(values));
        }
        remaining.0.retain(|_, keys| !keys.is_empty());
        remaining
    }

    pub(super) fn read(value: Value) -> Result<Self, Malformed> {
        let Value::Object(operators) = value else {
            return Err(malformed("", "must be an object"));
        };
        let mut conditions = Self::default();
        for (name, keys) in operators {
            conditions.add(&name, keys).map_err(|error| error.within(&name))?;
        }
        Ok(conditions)
    }

    /// Adds the conditions of one operator.
    fn add(&mut self, operator: &str, keys: Value) -> Result<(), Malformed> {
        let operator =
            operator_in_policy(operator).map_err(|UnknownOperator| malformed("", "unknown operator"))?;
        let Value::Object(keys) = keys else {
            return Err(malformed("", "must be an object"));
        };
        let known = self.0.entry(operator).or_default();
        for (key, values) in keys {
            let operands = read_operands(values).map_err(|error| error.within(&key))?;
            if known.insert(key, operands).is_some() {
                return Err(malformed("", "is a condition that another spelling of the operator has"));
            }
        }
        Ok(())
    }
}

/// Reads an operator as a policy may have it: with a quantifier over the values of a key, or `null_equal`
/// (docs 598/10608). Each key of a request has one value here, so that `for_any_value` changes nothing, and
/// `for_all_value` also holds where there is none.
fn operator_in_policy(name: &str) -> Result<Operator, UnknownOperator> {
    if let Some(name) = name.strip_prefix("for_any_value:") {
        return name.parse();
    }
    if let Some(name) = name.strip_prefix("for_all_value:") {
        return Ok(Operator { if_exist: true, ..name.parse()? });
    }
    if name == NULL_EQUAL {
        return Ok(Operator { comparison: Comparison::NullEqual, if_exist: false });
    }
    name.parse()
}

fn read_operands(values: Value) -> Result<Vec<Operand>, Malformed> {
    let operands = list(values).into_iter().map(Operand::read).collect::<Result<Vec<_>, _>>()?;
    if operands.is_empty() { Err(malformed("", "has no value")) } else { Ok(operands) }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (operator, key, values)) in self.iter().enumerate() {
            let and = if index == 0 { "" } else { " and " };
            let values: Vec<String> = values.iter().map(|value| readable(key, value)).collect();
            write!(f, "{and}{key} {operator} {}", values.join(" or "))?;
        }
        Ok(())
    }
}

/// Decodes values that requests carry URL-encoded.
fn readable(key: &str, value: &Operand) -> String {
    match key {
        "cos:prefix" => percent_decode_str(&value.to_string()).decode_utf8_lossy().into_owned(),
        _ => value.to_string(),
    }
}

impl Serialize for Conditions {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        let mut map = writer.serialize_map(Some(self.0.len()))?;
        for (operator, keys) in &self.0 {
            map.serialize_entry(&operator.to_string(), keys)?;
        }
        map.end()
    }
}

impl Operand {
    fn read(value: Value) -> Result<Self, Malformed> {
        match value {
            Value::String(text) => Ok(Self::Text(text)),
            Value::Number(number) => Ok(Self::Number(number)),
            Value::Bool(flag) => Ok(Self::Text(flag.to_string())),
            _ => Err(malformed("", "must be a string, a number or a boolean")),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Operator {
    /// Returns the names of all comparisons, for a suggestion where a name is misspelt.
    pub fn names() -> impl Iterator<Item = &'static str> {
        COMPARISONS.iter().map(|(name, _)| *name)
    }
}

impl FromStr for Operator {
    type Err = UnknownOperator;

    fn from_str(text: &str) -> Result<Self, UnknownOperator> {
        let (name, if_exist) = match text.strip_suffix("_if_exist") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let (_, comparison) = COMPARISONS.iter().find(|(known, _)| *known == name).ok_or(UnknownOperator)?;
        Ok(Self { comparison: *comparison, if_exist })
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = COMPARISONS.iter().find(|(_, comparison)| *comparison == self.comparison);
        f.write_str(name.map_or(NULL_EQUAL, |(name, _)| name))?;
        f.write_str(if self.if_exist { "_if_exist" } else { "" })
    }
}
