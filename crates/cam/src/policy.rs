//! CAM's policy language as data: what a policy says, read strictly and written compactly
//! (`docs/tencent.md`; docs 598/10604).

use std::{collections::BTreeMap, fmt, str::FromStr};

use percent_encoding::percent_decode_str;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

/// A policy, version 2.0.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Policy {
    version: &'static str,
    /// Its statements; order does not matter.
    pub statement: Vec<Statement>,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statement {
    /// Whether it allows or denies.
    pub effect: Effect,
    /// Patterns of actions.
    pub action: Vec<String>,
    /// Patterns of six-segment resources.
    pub resource: Vec<String>,
    /// All must hold.
    #[serde(skip_serializing_if = "Conditions::is_empty")]
    pub condition: Conditions,
}

/// What a matching statement decides; an explicit deny beats every allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// The request may go on.
    Allow,
    /// The request is refused.
    Deny,
}

/// operator -> key -> values: operators and keys are `ANDed`, values `ORed`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conditions(pub BTreeMap<Operator, BTreeMap<String, Vec<Operand>>>);

/// How a key's value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operator {
    /// The comparison.
    pub comparison: Comparison,
    /// `_if_exist`: holds as well where the request lacks the key.
    pub if_exist: bool,
}

/// A comparison of CAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Comparison {
    /// `string_equal`
    StringEqual,
    /// `string_not_equal`
    StringNotEqual,
    /// `string_equal_ignore_case`
    StringEqualIgnoreCase,
    /// `string_not_equal_ignore_case`
    StringNotEqualIgnoreCase,
    /// `string_like`
    StringLike,
    /// `string_not_like`
    StringNotLike,
    /// `numeric_equal`
    NumericEqual,
    /// `numeric_not_equal`
    NumericNotEqual,
    /// `numeric_less_than`
    NumericLessThan,
    /// `numeric_less_than_equal`
    NumericLessThanEqual,
    /// `numeric_greater_than`
    NumericGreaterThan,
    /// `numeric_greater_than_equal`
    NumericGreaterThanEqual,
    /// `date_equal`
    DateEqual,
    /// `date_not_equal`
    DateNotEqual,
    /// `date_less_than`
    DateLessThan,
    /// `date_less_than_equal`
    DateLessThanEqual,
    /// `date_greater_than`
    DateGreaterThan,
    /// `date_greater_than_equal`
    DateGreaterThanEqual,
    /// `bool_equal`
    BoolEqual,
    /// `ip_equal`
    IpEqual,
    /// `ip_not_equal`
    IpNotEqual,
}

/// A value in a condition; numbers stay numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Operand {
    /// A number.
    Number(serde_json::Number),
    /// Anything else.
    Text(String),
}

/// Why a text is not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct Malformed {
    /// The element, such as `statement[0].effect`.
    pub place: String,
    /// What is wrong with it.
    pub fault: String,
}

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

impl Policy {
    /// A policy of these statements.
    pub fn new(statement: Vec<Statement>) -> Self {
        Self { version: "2.0", statement }
    }

    /// Reads a policy's JSON, refusing duplicate names and every element CAM's documents do not name.
    ///
    /// # Errors
    /// The first element that is wrong.
    pub fn parse(json: &[u8]) -> Result<Self, Malformed> {
        let value =
            strict_json::strict(json).map_err(|error| malformed("policy", format!("not JSON: {error}")))?;
        let mut object = Fields::of("policy", value)?;
        if object.take("version")? != "2.0" {
            return Err(malformed("version", "must be \"2.0\""));
        }
        let statements = match object.take("statement")? {
            Value::Array(list) if !list.is_empty() => list,
            _ => return Err(malformed("statement", "must be a list that is not empty")),
        };
        object.finish()?;
        let statement = statements
            .into_iter()
            .enumerate()
            .map(|(index, value)| Statement::read(&format!("statement[{index}]"), value))
            .collect::<Result<_, _>>()?;
        Ok(Self::new(statement))
    }

    /// The compact JSON. Strings and numbers always serialize; were they not to, the empty text is one
    /// that the verifier refuses.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Statement {
    fn read(place: &str, value: Value) -> Result<Self, Malformed> {
        let mut fields = Fields::of(place, value)?;
        let effect = match fields.take("effect")?.as_str() {
            Some("allow") => Effect::Allow,
            Some("deny") => Effect::Deny,
            _ => {
                return Err(malformed(&format!("{place}.effect"), "must be \"allow\" or \"deny\""));
            }
        };
        let action = strings(&format!("{place}.action"), fields.take("action")?)?;
        let resource = strings(&format!("{place}.resource"), fields.take("resource")?)?;
        let condition = match fields.left.remove("condition") {
            Some(value) => Conditions::read(&format!("{place}.condition"), value)?,
            None => Conditions::default(),
        };
        fields.finish()?;
        Ok(Self { effect, action, resource, condition })
    }
}

impl Conditions {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that do not stand in `other` to the letter.
    pub fn without(&self, other: &Self) -> Self {
        let mut left = self.clone();
        for (operator, keys) in &mut left.0 {
            let theirs = other.0.get(operator);
            keys.retain(|key, values| theirs.and_then(|theirs| theirs.get(key)) != Some(values));
        }
        left.0.retain(|_, keys| !keys.is_empty());
        left
    }

    fn read(place: &str, value: Value) -> Result<Self, Malformed> {
        let Value::Object(operators) = value else {
            return Err(malformed(place, "must be an object"));
        };
        let mut conditions = Self::default();
        for (name, keys) in operators {
            let place = format!("{place}.{name}");
            let operator: Operator =
                name.parse().map_err(|UnknownOperator| malformed(&place, "unknown operator"))?;
            let Value::Object(keys) = keys else {
                return Err(malformed(&place, "must be an object"));
            };
            let mut read = BTreeMap::new();
            for (key, values) in keys {
                let place = format!("{place}.{key}");
                let values = match values {
                    Value::Array(list) => list,
                    one => vec![one],
                };
                let operands = values
                    .into_iter()
                    .map(|value| Operand::read(&place, value))
                    .collect::<Result<Vec<_>, _>>()?;
                if operands.is_empty() {
                    return Err(malformed(&place, "has no value"));
                }
                read.insert(key, operands);
            }
            conditions.0.insert(operator, read);
        }
        Ok(conditions)
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

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.0.iter().flat_map(|(operator, keys)| keys.iter().map(move |one| (operator, one)));
        for (index, (operator, (key, values))) in each.enumerate() {
            let and = if index == 0 { "" } else { " and " };
            // What requests carry URL-encoded is easier read decoded.
            let shown = |value: &Operand| match key.as_str() {
                "cos:prefix" => percent_decode_str(&value.to_string()).decode_utf8_lossy().into_owned(),
                _ => value.to_string(),
            };
            let values: Vec<String> = values.iter().map(shown).collect();
            write!(f, "{and}{key} {operator} {}", values.join(" or "))?;
        }
        Ok(())
    }
}

impl Operand {
    fn read(place: &str, value: Value) -> Result<Self, Malformed> {
        match value {
            Value::String(text) => Ok(Self::Text(text)),
            Value::Number(number) => Ok(Self::Number(number)),
            Value::Bool(flag) => Ok(Self::Text(flag.to_string())),
            _ => Err(malformed(place, "must be a string, a number or a boolean")),
        }
    }
}

/// No comparison has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown operator")]
pub struct UnknownOperator;

impl Operator {
    /// The names a person may have meant.
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
        f.write_str(name.map_or("", |(name, _)| name))?;
        f.write_str(if self.if_exist { "_if_exist" } else { "" })
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

/// An object whose every element must be taken.
struct Fields {
    place: String,
    left: Map<String, Value>,
}

impl Fields {
    fn of(place: &str, value: Value) -> Result<Self, Malformed> {
        match value {
            Value::Object(map) => Ok(Self { place: place.to_owned(), left: map }),
            _ => Err(malformed(place, "must be an object")),
        }
    }

    fn take(&mut self, name: &str) -> Result<Value, Malformed> {
        self.left.remove(name).ok_or_else(|| malformed(&self.place, format!("`{name}` is missing")))
    }

    fn finish(self) -> Result<(), Malformed> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(other) => Err(malformed(&self.place, format!("unknown element `{other}`"))),
        }
    }
}

fn strings(place: &str, value: Value) -> Result<Vec<String>, Malformed> {
    let list = match value {
        Value::Array(list) => list,
        one => vec![one],
    };
    let strings: Vec<String> = list
        .into_iter()
        .map(|value| match value {
            Value::String(text) if !text.is_empty() => Ok(text),
            _ => Err(malformed(place, "must be strings that are not empty")),
        })
        .collect::<Result<_, _>>()?;
    if strings.is_empty() { Err(malformed(place, "is empty")) } else { Ok(strings) }
}

fn malformed(place: &str, fault: impl Into<String>) -> Malformed {
    Malformed { place: place.to_owned(), fault: fault.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_read_and_written_is_the_same_policy() {
        let text = r#"{"version":"2.0","statement":[{"effect":"allow","action":["name/cos:PutObject"],"resource":["qcs::cos:ap-guangzhou:uid/1250000000:b-1250000000/a/*"],"condition":{"string_equal_if_exist":{"cos:x-cos-acl":["private","default"]},"numeric_less_than_equal":{"cos:content-length":[10]}}}]}"#;
        let policy = Policy::parse(text.as_bytes()).unwrap();
        assert_eq!(Policy::parse(policy.to_json().as_bytes()).unwrap(), policy);
        let value: Value = serde_json::from_str(&policy.to_json()).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn a_single_string_is_a_list_of_one() {
        let text =
            r#"{"version":"2.0","statement":[{"effect":"deny","action":"name/cos:*","resource":"*"}]}"#;
        assert_eq!(Policy::parse(text.as_bytes()).unwrap().statement[0].action, ["name/cos:*"]);
    }

    #[test]
    fn what_the_documents_do_not_name_is_refused() {
        let wrap = |statement: &str| format!(r#"{{"version":"2.0","statement":[{statement}]}}"#);
        let good = r#""effect":"allow","action":"a","resource":"r""#;
        for text in [
            String::new(),
            "{}".to_owned(),
            "[]".to_owned(),
            r#"{"version":"3.0","statement":[]}"#.to_owned(),
            r#"{"version":"2.0","statement":[]}"#.to_owned(),
            r#"{"version":"2.0","statement":{}}"#.to_owned(),
            format!(r#"{{"version":"2.0","statement":[{{{good}}}],"x":1}}"#),
            wrap(&format!(r#"{{{good},"principal":{{"qcs":"*"}}}}"#)),
            wrap(&format!(r#"{{{good},"Effect":"allow"}}"#)),
            wrap(&format!(r#"{{{good},"effect":"deny"}}"#)),
            wrap(&format!(r#"{{{good},"notaction":"x"}}"#)),
            wrap(&format!(r#"{{{good},"condition":{{"string_eq":{{"k":"v"}}}}}}"#)),
            wrap(&format!(r#"{{{good},"condition":{{"string_equal":{{"k":[]}}}}}}"#)),
            wrap(&format!(r#"{{{good},"condition":{{"string_equal":{{"k":null}}}}}}"#)),
            wrap(r#"{"effect":"Allow","action":"a","resource":"r"}"#),
            wrap(r#"{"effect":"allow","action":[],"resource":"r"}"#),
            wrap(r#"{"effect":"allow","action":[1],"resource":"r"}"#),
            wrap(r#"{"effect":"allow","action":"a"}"#),
        ] {
            assert!(Policy::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
