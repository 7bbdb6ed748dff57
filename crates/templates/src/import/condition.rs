//! The conditions of a statement in a template's spelling. All or none, as leaving one out would widen an allow.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::{Unsupported, resource, target::ImportTarget};
use crate::{
    render,
    template::condition::{check_key, operands},
};
use cam::Operator;

/// operator -> key -> values, as TOML.
pub(super) type Conditions = BTreeMap<String, toml::Table>;

/// Converts every condition of a statement.
///
/// # Errors
/// When a template cannot express one of them.
pub(super) fn convert(
    conditions: &Map<String, Value>,
    target: &ImportTarget,
) -> Result<Conditions, Unsupported> {
    let mut converted = Conditions::new();
    for (name, keys) in conditions {
        let name = name.to_lowercase();
        let operator: Operator = name.parse().map_err(|_| {
            Unsupported::new(format!("its condition has the operator `{name}`, which templates lack"))
        })?;
        let keys = keys
            .as_object()
            .ok_or_else(|| Unsupported::new(format!("its condition `{name}` is not an object")))?;
        let mut table = toml::Table::new();
        for (key, value) in keys {
            let value = convert_values(operator, &name, key, value, target)
                .map_err(|why| Unsupported::new(format!("its condition `{name}` on `{key}`: {why}")))?;
            table.insert(key.clone(), value);
        }
        if converted.insert(name.clone(), table).is_some() {
            return Err(Unsupported::new(format!(
                "its condition has the operator `{name}` in two spellings"
            )));
        }
    }
    converted.retain(|_, keys| !keys.is_empty());
    Ok(converted)
}

/// Whether a condition is about `cos:prefix`, which only requests for lists have.
pub(super) fn use_prefix(conditions: &Conditions) -> bool {
    conditions.values().any(|keys| keys.contains_key("cos:prefix"))
}

/// Binds a list to the home, unless a condition on the prefix does so already.
pub(super) fn bind_to_home(conditions: &mut Conditions) {
    let like = conditions.entry("string_like".to_owned()).or_default();
    like.entry("cos:prefix").or_insert_with(|| "${home}*".into());
}

fn convert_values(
    operator: Operator,
    operator_name: &str,
    key: &str,
    value: &Value,
    target: &ImportTarget,
) -> Result<toml::Value, Unsupported> {
    check_key(key).map_err(|advice| Unsupported(format!("{}; {}", advice.message, advice.help)))?;
    let list = match value {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut values = Vec::new();
    for one in list {
        match scalar(operator_name, one)? {
            toml::Value::String(text) if render::is_parameter(key) => {
                values.extend(convert_parameter(key, &text, target)?);
            }
            value => values.push(value),
        }
    }
    let converted = match <[toml::Value; 1]>::try_from(values) {
        Ok([one]) => one,
        Err(values) => toml::Value::Array(values),
    };
    operands(operator, &converted, target.home_text()).map_err(|advice| Unsupported(advice.message))?;
    Ok(converted)
}

fn scalar(operator_name: &str, value: &Value) -> Result<toml::Value, Unsupported> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        _ => return Err(Unsupported::new("a value is neither a string, a number nor a boolean")),
    };
    refuse_variable(&text, &text)?;
    if operator_name.starts_with("numeric_") {
        let number = text.parse::<i64>();
        return number
            .map(toml::Value::Integer)
            .map_err(|_| Unsupported::new(format!("`{text}` is not a whole number")));
    }
    Ok(toml::Value::String(text))
}

fn refuse_variable(text: &str, written: &str) -> Result<(), Unsupported> {
    if text.contains(['$', '{', '}']) {
        return Err(Unsupported::new(format!("the value `{written}` holds a variable of CAM")));
    }
    Ok(())
}

/// Converts a request parameter's value, which is URL-encoded in policies but not in templates. A prefix is moved
/// under the home like the keys.
fn convert_parameter(
    key: &str,
    written: &str,
    target: &ImportTarget,
) -> Result<Vec<toml::Value>, Unsupported> {
    let text = percent_decode_str(written)
        .decode_utf8()
        .map_err(|_| Unsupported::new(format!("`{written}` is not URL-encoded UTF-8")))?;
    refuse_variable(&text, written)?;
    if key != "cos:prefix" {
        return Ok(vec![toml::Value::String(text.into_owned())]);
    }
    resource::check_plain(&text).map_err(|why| Unsupported::new(format!("of the prefix `{text}`, {why}")))?;
    let prefixes = target.prefix_under_home(&text);
    if prefixes.is_empty() {
        return Err(Unsupported::new(format!(
            "the prefix `{text}` is outside the folder that becomes the home"
        )));
    }
    Ok(prefixes.into_iter().map(toml::Value::String).collect())
}
