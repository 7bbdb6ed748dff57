//! Conditions of a statement, as a template states them: all or none, since one less would widen an allow.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::{ground::Ground, place};
use crate::{
    render,
    template::condition::{check_key, operands},
};
use cam::Operator;

/// operator -> key -> values, as TOML.
pub(super) type Conditions = BTreeMap<String, toml::Table>;

/// Every condition of a statement.
///
/// # Errors
/// Why one of them is none that a template can state.
pub(super) fn read(written: &Map<String, Value>, ground: &Ground) -> Result<Conditions, String> {
    let mut conditions = Conditions::new();
    for (name, keys) in written {
        let name = name.to_lowercase();
        let operator: Operator = name
            .parse()
            .map_err(|_| format!("its condition has the operator `{name}`, which templates lack"))?;
        let keys = keys.as_object().ok_or_else(|| format!("its condition `{name}` is not an object"))?;
        let mut table = toml::Table::new();
        for (key, value) in keys {
            let unfit = |(message, _)| format!("its condition `{name}` on `{key}`: {message}");
            check_key(key).map_err(unfit)?;
            let value = values(&name, key, value, ground).map_err(|why| unfit((why, String::new())))?;
            operands(operator, &value, ground.home_text()).map_err(unfit)?;
            table.insert(key.clone(), value);
        }
        if conditions.insert(name.clone(), table).is_some() {
            return Err(format!("its condition has the operator `{name}` in two spellings"));
        }
    }
    conditions.retain(|_, keys| !keys.is_empty());
    Ok(conditions)
}

/// Whether any of them is about a listed prefix, which requests on objects do not have.
pub(super) fn speak_of_prefix(conditions: &Conditions) -> bool {
    conditions.values().any(|keys| keys.contains_key("cos:prefix"))
}

/// Binds a list to the home, unless a condition on the prefix does so already.
pub(super) fn bind_to_home(conditions: &mut Conditions) {
    let like = conditions.entry("string_like".to_owned()).or_default();
    like.entry("cos:prefix").or_insert_with(|| "${home}*".into());
}

fn values(operator: &str, key: &str, written: &Value, ground: &Ground) -> Result<toml::Value, String> {
    let list = match written {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut values = Vec::new();
    for one in list {
        let value = scalar(operator, one)?;
        match (value, render::is_parameter(key)) {
            (toml::Value::String(text), true) => values.extend(parameter(key, &text, ground)?),
            (value, _) => values.push(value),
        }
    }
    match <[toml::Value; 1]>::try_from(values) {
        Ok([one]) => Ok(one),
        Err(values) => Ok(toml::Value::Array(values)),
    }
}

fn scalar(operator: &str, value: &Value) -> Result<toml::Value, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        _ => return Err("a value is neither a string, a number nor a boolean".to_owned()),
    };
    if text.contains(['$', '{', '}']) {
        return Err(format!("the value `{text}` holds a variable of CAM"));
    }
    if operator.starts_with("numeric_") {
        let number = text.parse::<i64>();
        return number.map(toml::Value::Integer).map_err(|_| format!("`{text}` is not a whole number"));
    }
    Ok(toml::Value::String(text))
}

/// The values of a request's parameter: policies have them URL-encoded, templates do not. A prefix moves
/// under the home with the keys.
fn parameter(key: &str, written: &str, ground: &Ground) -> Result<Vec<toml::Value>, String> {
    let decoded = percent_decode_str(written).decode_utf8();
    let text = decoded.map_err(|_| format!("`{written}` is not URL-encoded UTF-8"))?;
    if text.contains(['$', '{', '}']) {
        return Err(format!("the value `{written}` holds a variable of CAM"));
    }
    if key != "cos:prefix" {
        return Ok(vec![toml::Value::String(text.into_owned())]);
    }
    if let Some(why) = place::fault(&text) {
        return Err(format!("of the prefix `{text}`, {why}"));
    }
    let prefixes = ground.prefix_under_home(&text);
    if prefixes.is_empty() {
        return Err(format!("the prefix `{text}` is outside the folder that becomes the home"));
    }
    Ok(prefixes.into_iter().map(toml::Value::String).collect())
}
