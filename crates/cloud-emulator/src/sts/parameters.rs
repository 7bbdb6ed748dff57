//! The parameters of an action as a request has them: typed JSON, or the text of a form or query, in which a list is
//! written as `Tags.0.Key=a&Tags.0.Value=b`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::StsError;

/// The parameters of an action.
#[derive(Debug)]
pub(super) enum Parameters {
    /// Typed JSON values.
    Json(Map<String, Value>),
    /// Fields of a form or query, which are all text.
    Form(BTreeMap<String, String>),
}

impl Parameters {
    /// Iterates over the names of the parameters; of a list in a form, each entry's is the list's name.
    pub(super) fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Json(map) => Box::new(map.keys().map(String::as_str)),
            Self::Form(map) => {
                Box::new(map.keys().map(|name| name.split_once('.').map_or(name.as_str(), |(list, _)| list)))
            }
        }
    }

    /// Returns a text, if it is given.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, StsError> {
        match self {
            Self::Form(map) => Ok(map.get(name).map(String::as_str)),
            Self::Json(map) => match map.get(name) {
                Some(Value::String(text)) => Ok(Some(text.as_str())),
                None | Some(Value::Null) => Ok(None),
                Some(_) => Err(wrong_type(name, "a string")),
            },
        }
    }

    /// Returns a text that must be given.
    pub(super) fn required_text(&self, name: &str) -> Result<&str, StsError> {
        self.text(name)?.ok_or_else(|| StsError::missing(name))
    }

    /// Returns a number, if it is given.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, StsError> {
        let number = match self {
            Self::Form(map) => map.get(name).map(|text| text.parse().ok()),
            Self::Json(map) => map.get(name).filter(|value| !value.is_null()).map(Value::as_u64),
        };
        match number {
            None => Ok(None),
            Some(Some(number)) => Ok(Some(number)),
            Some(None) => Err(wrong_type(name, "a number")),
        }
    }

    /// Returns the keys and values of the list `Tags`.
    pub(super) fn tags(&self) -> Result<Vec<(String, String)>, StsError> {
        match self {
            Self::Json(map) => match map.get("Tags") {
                None | Some(Value::Null) => Ok(Vec::new()),
                Some(Value::Array(tags)) => tags.iter().map(tag).collect(),
                Some(_) => Err(wrong_type("Tags", "a list")),
            },
            Self::Form(map) => tags_of_form(map),
        }
    }
}

fn wrong_type(name: &str, wanted: &str) -> StsError {
    StsError::new("InvalidParameter.ParamError", format!("{name} is not {wanted}"))
}

fn tag(value: &Value) -> Result<(String, String), StsError> {
    let field = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let is_tag = value.as_object().is_some_and(|tag| tag.keys().all(|name| name == "Key" || name == "Value"));
    match (field("Key"), field("Value")) {
        (Some(key), Some(value)) if is_tag => Ok((key, value)),
        _ => Err(wrong_type("an entry of Tags", "an object with the texts Key and Value")),
    }
}

fn unknown(name: &str) -> StsError {
    StsError::new("UnknownParameter", format!("the parameter {name} is not recognized"))
}

fn tags_of_form(form: &BTreeMap<String, String>) -> Result<Vec<(String, String)>, StsError> {
    let mut tags: BTreeMap<&str, (Option<&String>, Option<&String>)> = BTreeMap::new();
    for (name, text) in form.iter().filter(|(name, _)| name.contains('.')) {
        let entry = name.strip_prefix("Tags.").and_then(|entry| entry.split_once('.'));
        let (index, field) = entry.filter(|(index, _)| index.parse::<usize>().is_ok()).unwrap_or_default();
        let (key, value) = tags.entry(index).or_default();
        let part = match field {
            "Key" => key,
            "Value" => value,
            _ => return Err(unknown(name)),
        };
        *part = Some(text);
    }
    tags.into_values()
        .map(|(key, value)| match (key, value) {
            (Some(key), Some(value)) => Ok((key.clone(), value.clone())),
            _ => Err(wrong_type("an entry of Tags", "a pair of Key and Value")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(query: &str) -> Parameters {
        Parameters::Form(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn json(text: &str) -> Parameters {
        Parameters::Json(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn tags_are_read_from_json_and_from_a_form() {
        let expected = Ok(vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        assert_eq!(json(r#"{"Tags":[{"Key":"a","Value":"1"},{"Key":"b","Value":""}]}"#).tags(), expected);
        assert_eq!(form("Tags.0.Key=a&Tags.0.Value=1&Tags.1.Key=b&Tags.1.Value=").tags(), expected);
        for without in ["{}", r#"{"Tags":null}"#] {
            assert_eq!(json(without).tags(), Ok(Vec::new()));
        }
    }

    #[test]
    fn tags_that_are_no_pairs_are_refused() {
        for wrong in [
            json(r#"{"Tags":"a"}"#),
            json(r#"{"Tags":[{"Key":"a"}]}"#),
            json(r#"{"Tags":[{"Key":"a","Value":"1","More":"2"}]}"#),
            form("Tags.0.Key=a"),
            form("Tags.x.Key=a&Tags.x.Value=1"),
            form("Tags.0.Other=a"),
            form("Name.0=a"),
        ] {
            assert!(wrong.tags().is_err(), "{wrong:?}");
        }
    }
}
