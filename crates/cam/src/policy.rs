//! A CAM policy as data: read strictly and written compactly (docs 598/10604).

mod condition;
mod reader;

use serde::Serialize;
use serde_json::Value;

use self::reader::{Fields, malformed, strings};
pub use self::{
    condition::{Comparison, Conditions, Operand, Operator, UnknownOperator, comparison_names},
    reader::Malformed,
};

/// A policy of version 2.0.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Policy {
    version: &'static str,
    /// The statements; their order does not matter.
    pub statement: Vec<Statement>,
}

/// Allows or denies actions on resources.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statement {
    /// Whether the statement allows or denies.
    pub effect: Effect,
    /// Patterns of actions, such as `name/cos:PutObject`.
    pub action: Vec<String>,
    /// Patterns of six-segment resources.
    pub resource: Vec<String>,
    /// The conditions that must all hold.
    #[serde(skip_serializing_if = "Conditions::is_empty")]
    pub condition: Conditions,
}

/// What a matching statement decides; an explicit deny beats every allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// The statement allows the request.
    Allow,
    /// The statement denies the request.
    Deny,
}

impl Policy {
    /// Builds a policy from its statements.
    pub fn new(statement: Vec<Statement>) -> Self {
        Self { version: "2.0", statement }
    }

    /// Reads a policy's JSON. Refuses duplicate names and every element that CAM's documents do not name.
    ///
    /// # Errors
    /// The first element that is wrong.
    pub fn parse(json: &[u8]) -> Result<Self, Malformed> {
        let document = strict_json::from_slice(json)
            .map_err(|error| malformed("policy", format!("not JSON: {error}")))?;
        Self::read(document)
    }

    /// Reads a policy from a JSON document, which must have been read without duplicate names. Refuses every element that
    /// CAM's documents do not name.
    ///
    /// # Errors
    /// The first element that is wrong.
    pub fn read(document: Value) -> Result<Self, Malformed> {
        let mut fields = Fields::of("policy", document)?;
        if fields.take("version")? != "2.0" {
            return Err(malformed("version", "must be \"2.0\""));
        }
        let statements = match fields.take("statement")? {
            Value::Array(list) if !list.is_empty() => list,
            _ => return Err(malformed("statement", "must be a list that is not empty")),
        };
        fields.finish()?;
        let statement = statements
            .into_iter()
            .enumerate()
            .map(|(index, value)| {
                Statement::read(value).map_err(|error| error.within(&format!("statement[{index}]")))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self::new(statement))
    }

    /// Returns the policy as compact JSON.
    pub fn to_json(&self) -> String {
        // Strings and numbers always serialize. An empty text is no policy for any reader.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Statement {
    fn read(value: Value) -> Result<Self, Malformed> {
        let mut fields = Fields::of("", value)?;
        let effect = match fields.take("effect")?.as_str() {
            Some("allow") => Effect::Allow,
            Some("deny") => Effect::Deny,
            _ => return Err(malformed("effect", "must be \"allow\" or \"deny\"")),
        };
        let action = strings("action", fields.take("action")?)?;
        let resource = strings("resource", fields.take("resource")?)?;
        let condition = match fields.take_optional("condition") {
            Some(value) => Conditions::read(value).map_err(|error| error.within("condition"))?,
            None => Conditions::default(),
        };
        fields.finish()?;
        Ok(Self { effect, action, resource, condition })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_is_read_and_written_stays_the_same() {
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
    fn an_error_names_the_element_that_is_wrong() {
        let allow = r#""effect":"allow","action":"a","resource":"r""#;
        for (policy, expected) in [
            ("[]", "policy: must be an object"),
            (r#"{"version":"2.0"}"#, "policy: `statement` is missing"),
            (r#"{"version":"1.0","statement":[]}"#, "version: must be \"2.0\""),
            (r#"{"version":"2.0","statement":[7]}"#, "statement[0]: must be an object"),
            (
                r#"{"version":"2.0","statement":[{"effect":"no"}]}"#,
                "statement[0].effect: must be \"allow\" or \"deny\"",
            ),
        ] {
            assert_eq!(Policy::parse(policy.as_bytes()).unwrap_err().to_string(), expected);
        }
        for (condition, expected) in [
            ("7", "statement[1].condition: must be an object"),
            (r#"{"string_eq":{}}"#, "statement[1].condition.string_eq: unknown operator"),
            (r#"{"string_equal":7}"#, "statement[1].condition.string_equal: must be an object"),
            (r#"{"string_equal":{"k":[]}}"#, "statement[1].condition.string_equal.k: has no value"),
            (
                r#"{"string_equal":{"k":[null]}}"#,
                "statement[1].condition.string_equal.k: must be a string, a number or a boolean",
            ),
        ] {
            let policy = format!(
                r#"{{"version":"2.0","statement":[{{{allow}}},{{{allow},"condition":{condition}}}]}}"#
            );
            assert_eq!(Policy::parse(policy.as_bytes()).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn an_element_that_the_documents_do_not_name_is_refused() {
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
