//! `[require]`: the claims without which a token gets no key.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{advice::Advice, claim_path, identity::Identity};
use diagnostics::nearest;

/// A required claim, and the values that it must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// The path of the claim.
    pub(crate) path: Vec<String>,
    pub(crate) parts: Parts,
    pub(crate) quantity: Quantity,
    /// The values to look for; never empty.
    pub(crate) values: Vec<Value>,
}

/// The parts of a claim's value that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Parts {
    /// The elements of a list. Any other value is its own only element.
    Elements,
    /// The words of a text between spaces, as in OAuth's `scope` (RFC 6749 §3.3).
    Words,
    /// The names of an object's members, except those that are `null` or `false`.
    Members,
}

/// How many of the values a claim must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Quantity {
    Any,
    All,
}

const FORMS: [(&str, Parts, Quantity); 6] = [
    ("any", Parts::Elements, Quantity::Any),
    ("all", Parts::Elements, Quantity::All),
    ("any_word", Parts::Words, Quantity::Any),
    ("all_words", Parts::Words, Quantity::All),
    ("any_member", Parts::Members, Quantity::Any),
    ("all_members", Parts::Members, Quantity::All),
];

impl Requirement {
    /// Whether an identity has what is required. `iss` is the issuer by the name that identifies it, whichever alias
    /// the token has.
    pub(crate) fn is_met_by(&self, identity: &Identity) -> bool {
        if self.is_on_issuer() {
            return self.is_met(Some(&Value::from(identity.issuer())));
        }
        self.is_met(identity.claim(&self.path).as_ref())
    }

    /// Returns the issuer whose users alone meet the requirement, if there is one.
    pub(crate) fn only_issuer(&self) -> Option<&str> {
        match self.values.as_slice() {
            [issuer] if self.is_on_issuer() && self.parts == Parts::Elements => issuer.as_str(),
            _ => None,
        }
    }

    pub(crate) fn is_on_issuer(&self) -> bool {
        self.path == ["iss"]
    }

    /// Whether a claim holds what is required.
    fn is_met(&self, claim: Option<&Value>) -> bool {
        let Some(claim) = claim else { return false };
        let mut values = self.values.iter();
        match self.quantity {
            Quantity::Any => values.any(|value| self.parts.contain(claim, value)),
            Quantity::All => values.all(|value| self.parts.contain(claim, value)),
        }
    }
}

impl Parts {
    fn contain(self, claim: &Value, wanted: &Value) -> bool {
        match self {
            Self::Elements => match claim {
                Value::Array(elements) => elements.contains(wanted),
                other => other == wanted,
            },
            Self::Words => claim
                .as_str()
                .zip(wanted.as_str())
                .is_some_and(|(text, wanted)| text.split(' ').any(|word| word == wanted)),
            Self::Members => wanted
                .as_str()
                .and_then(|name| claim.as_object()?.get(name))
                .is_some_and(|member| !matches!(member, Value::Null | Value::Bool(false))),
        }
    }

    /// Returns what a value must be to be such a part, if this is not one.
    fn unfit(self, value: &Value) -> Option<&'static str> {
        match (self, value.as_str()) {
            (Self::Words, Some(word)) if !word.is_empty() && !word.contains(' ') => None,
            (Self::Words, _) => Some("a word is a string without spaces; list several as [\"a\", \"b\"]"),
            (Self::Elements, _) | (Self::Members, Some(_)) => None,
            (Self::Members, None) => Some("the name of a member is a string"),
        }
    }

    /// Returns a claim of which these values are parts.
    fn example(self, mut values: Vec<Value>) -> Value {
        match self {
            Self::Elements if values.len() == 1 => values.pop().unwrap_or_default(),
            Self::Elements => Value::Array(values),
            Self::Words => Value::from(values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
            Self::Members => {
                let names = values.iter().filter_map(Value::as_str);
                Value::Object(names.map(|name| (name.to_owned(), Value::from(true))).collect::<Map<_, _>>())
            }
        }
    }
}

/// Reads the table. A claim inside a claim is a table in it.
pub(super) fn read(table: &toml::Table) -> Result<Vec<Requirement>, Advice> {
    let mut requirements = Vec::new();
    let mut todo: Vec<(Vec<String>, &toml::Value)> =
        table.iter().map(|(name, value)| (vec![name.clone()], value)).collect();
    while let Some((path, value)) = todo.pop() {
        match value {
            toml::Value::Table(inner) if inner.keys().any(|name| is_form(name)) => {
                requirements.extend(read_forms(&path, inner)?);
            }
            toml::Value::Table(inner) if !inner.is_empty() => {
                todo.extend(
                    inner.iter().map(|(name, value)| ([&*path, std::slice::from_ref(name)].concat(), value)),
                );
            }
            _ => {
                let values = read_values(value).ok_or_else(|| malformed(&path))?;
                let (parts, quantity) = (Parts::Elements, Quantity::Any);
                requirements.push(Requirement { path, parts, quantity, values });
            }
        }
    }
    Ok(requirements)
}

/// Whether a name of a table can only be meant as a form. No claim inside another can have such a name.
fn is_form(name: &str) -> bool {
    matches!(name, "any" | "all") || name.starts_with("any_") || name.starts_with("all_")
}

fn read_forms(path: &[String], table: &toml::Table) -> Result<Vec<Requirement>, Advice> {
    let mut requirements: Vec<Requirement> = Vec::new();
    for (name, value) in table {
        let form = FORMS.iter().find(|(form, ..)| form == name);
        let (_, parts, quantity) = *form.ok_or_else(|| unknown_form(path, name))?;
        let values = read_values(value).ok_or_else(|| malformed(path))?;
        if let Some(help) = values.iter().find_map(|value| parts.unfit(value)) {
            return Err(Advice::new(
                in_require(path, &format!("has a value that `{name}` does not take")),
                help,
            ));
        }
        if requirements.iter().any(|other| other.parts != parts) {
            return Err(Advice::new(
                in_require(path, "compares parts of two kinds, and no claim has both"),
                "keep to elements (any, all), words (any_word, all_words) or members (any_member, all_members)",
            ));
        }
        requirements.push(Requirement { path: path.to_vec(), parts, quantity, values });
    }
    Ok(requirements)
}

fn unknown_form(path: &[String], name: &str) -> Advice {
    let forms = FORMS.map(|(form, ..)| form);
    let help = match nearest(name, forms) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}; name a claim inside this one in a table without them", forms.join(", ")),
    };
    Advice::new(in_require(path, &format!("has `{name}`, which is no form")), help)
}

fn malformed(path: &[String]) -> Advice {
    Advice::new(
        in_require(path, "is not a value or a list of values"),
        "write it like role = [\"member\", \"admin\"], or like scope = { any_word = \"upload\" }",
    )
}

fn in_require(path: &[String], fault: &str) -> String {
    format!("[require] {} {fault}", claim_path::written(path))
}

/// Reads a value, or a list of values. `None` if it has another shape.
fn read_values(value: &toml::Value) -> Option<Vec<Value>> {
    match value {
        toml::Value::Array(list) if list.is_empty() => None,
        toml::Value::Array(list) => list.iter().map(scalar).collect(),
        one => scalar(one).map(|one| vec![one]),
    }
}

fn scalar(value: &toml::Value) -> Option<Value> {
    match value {
        toml::Value::String(text) => Some(Value::from(text.as_str())),
        toml::Value::Integer(number) => Some(Value::from(*number)),
        toml::Value::Boolean(flag) => Some(Value::from(*flag)),
        _ => None,
    }
}

/// Returns a value for every required claim with which all requirements are met.
pub(crate) fn examples(requirements: &[Requirement]) -> BTreeMap<&[String], Value> {
    let mut needed: BTreeMap<&[String], (Parts, Vec<Value>)> = BTreeMap::new();
    for Requirement { path, parts, quantity, values } in requirements {
        let (_, of_claim) = needed.entry(path).or_insert((*parts, Vec::new()));
        let count = match quantity {
            Quantity::Any => 1,
            Quantity::All => values.len(),
        };
        of_claim.extend(values.iter().take(count).cloned());
    }
    needed.into_iter().map(|(path, (parts, values))| (path, parts.example(values))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn requirements(text: &str) -> Result<Vec<Requirement>, Advice> {
        read(&text.parse().unwrap())
    }

    fn is_met(text: &str, claim: &Value) -> bool {
        let requirements = requirements(text).unwrap();
        requirements.iter().all(|requirement| requirement.is_met(Some(claim)))
    }

    #[test]
    fn each_form_compares_its_parts_of_the_claim() {
        for (text, claim, expected) in [
            ("c = \"a\"", json!("a"), true),
            ("c = \"a\"", json!(["b", "a"]), true),
            ("c = [\"a\", \"b\"]", json!("b"), true),
            ("c = \"a\"", json!("a b"), false),
            ("c = \"a\"", json!({"a": true}), false),
            ("c = true", json!(true), true),
            ("c = { any = [\"a\", \"b\"] }", json!(["b"]), true),
            ("c = { all = [\"a\", \"b\"] }", json!(["b", "a", "c"]), true),
            ("c = { all = [\"a\", \"b\"] }", json!(["b"]), false),
            ("c = { all = \"a\" }", json!("a"), true),
            ("c = { any_word = \"cos.upload\" }", json!("openid cos.upload"), true),
            ("c = { any_word = \"upload\" }", json!("openid cos.upload"), false),
            ("c = { any_word = \"a\" }", json!(["a"]), false),
            ("c = { any_word = [\"a\", \"b\"] }", json!("b"), true),
            ("c = { all_words = [\"read\", \"write\"] }", json!("write read"), true),
            ("c = { all_words = [\"read\", \"write\"] }", json!("write"), false),
            ("c = { any_member = \"uploader\" }", json!({"uploader": {"1": "x"}}), true),
            ("c = { any_member = \"uploader\" }", json!({"uploader": false}), false),
            ("c = { any_member = \"uploader\" }", json!({"uploader": null}), false),
            ("c = { any_member = \"uploader\" }", json!(["uploader"]), false),
            ("c = { any_member = \"uploader\" }", json!("uploader"), false),
            ("c = { all_members = [\"a\", \"b\"] }", json!({"a": 1, "b": ""}), true),
            ("c = { all_members = [\"a\", \"b\"] }", json!({"a": 1}), false),
            ("c = { any = [\"a\", \"b\"], all = \"c\" }", json!(["a", "c"]), true),
            ("c = { any = [\"a\", \"b\"], all = \"c\" }", json!(["a", "b"]), false),
        ] {
            assert_eq!(is_met(text, &claim), expected, "{text} of {claim}");
            assert!(!requirements(text).unwrap().iter().any(|one| one.is_met(None)), "{text}: missing");
        }
    }

    #[test]
    fn a_claim_is_named_by_its_path() {
        for (text, path) in [
            ("org.role = \"a\"", vec!["org", "role"]),
            ("realm_access.roles.all = [\"a\"]", vec!["realm_access", "roles"]),
            ("\"https://a.example/c\".\"x.y\" = 1", vec!["https://a.example/c", "x.y"]),
            (
                "\"urn:zitadel:iam:org:project:roles\" = { any_member = \"a\" }",
                vec!["urn:zitadel:iam:org:project:roles"],
            ),
        ] {
            assert_eq!(requirements(text).unwrap()[0].path, path, "{text}");
        }
    }

    #[test]
    fn an_unknown_form_or_value_is_refused_with_help() {
        for (text, part) in [
            ("c = []", "any_word = "),
            ("c = {}", "any_word = "),
            ("c = 1.5", "any_word = "),
            ("c = { all = [] }", "any_word = "),
            ("c = { any_wrod = \"a\" }", "did you mean `any_word`?"),
            ("c = { all_word = \"a\" }", "did you mean `all_words`?"),
            ("c = { any_scope_at_all = \"a\" }", "known: any, all, any_word"),
            ("c = { any = \"a\", role = \"b\" }", "known: any, all, any_word"),
            ("c = { any_word = \"a b\" }", "without spaces"),
            ("c = { any_word = 7 }", "without spaces"),
            ("c = { any_member = true }", "the name of a member is a string"),
            ("c = { any_word = \"a\", all_members = \"b\" }", "keep to elements"),
        ] {
            let Advice { message, help } = requirements(text).unwrap_err();
            assert!(message.starts_with("[require] c "), "{text}: {message}");
            assert!(help.contains(part), "{text}: {help}");
        }
    }

    #[test]
    fn the_examples_meet_all_requirements() {
        let text = "a = [1, 2]\nb = { all = [\"x\", \"y\"], any = \"z\" }\nc = { any_word = [\"p\", \"q\"], all_words = [\"r\", \"s\"] }\nd.e = { all_members = [\"m\", \"n\"] }";
        let requirements = requirements(text).unwrap();
        let examples = examples(&requirements);
        for requirement in &requirements {
            assert!(requirement.is_met(examples.get(&*requirement.path)), "{requirement:?}");
        }
    }
}
