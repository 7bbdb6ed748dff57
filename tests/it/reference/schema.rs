//! `docs/reference/*.schema.json`: JSON Schemas (draft 7) of the configuration, from `config.example.toml`, and of
//! templates, from the names that their reader knows.

use serde_json::{Map, Value, json};

use super::configuration::{Default, Key, Section, sections};

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// The values of keys that have only these.
const ENUMERATIONS: [(&str, &[&str]); 3] = [
    ("action", &["GetFederationToken", "AssumeRole"]),
    ("secret_encoding", &["text", "base64", "base64url", "hex", "raw"]),
    ("header_keys", &["reject", "ignore"]),
];

pub(super) fn config() -> String {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for section in sections() {
        let is_list = section.heading.starts_with("[[");
        let name = section.heading.trim_matches(['[', ']']).to_owned();
        let keys = section.keys.iter().filter(|key| is_required(key));
        if keys.clone().next().is_some() && !section.is_optional {
            required.push(name.clone());
        }
        let table = table(&section);
        let schema = if is_list { json!({"type": "array", "minItems": 1, "items": table}) } else { table };
        properties.insert(name, schema);
    }
    pretty(&json!({
        "$schema": DRAFT,
        "title": "The configuration of cosbroker",
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    }))
}

fn is_required(key: &Key) -> bool {
    matches!(&key.default, Default::Required(_))
}

fn table(section: &Section) -> Value {
    let properties: Map<String, Value> =
        section.keys.iter().map(|key| (key.name.clone(), property(key))).collect();
    let required: Vec<&str> =
        section.keys.iter().filter(|key| is_required(key)).map(|key| key.name.as_str()).collect();
    json!({
        "description": section.introduction,
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

/// A key has the type of the value in the example, or of what `Type:` says beside it.
fn property(key: &Key) -> Value {
    let document: toml::Table = format!("value = {}", key.value).parse().unwrap();
    let example = serde_json::to_value(&document["value"]).unwrap();
    let mut schema = Map::from_iter([("description".to_owned(), json!(key.meaning))]);
    match &key.default {
        Default::Value => _ = schema.insert("default".to_owned(), example.clone()),
        _ => _ = schema.insert("examples".to_owned(), json!([example])),
    }
    let text_or_texts = json!([{"type": "string"}, {"type": "array", "items": {"type": "string"}}]);
    if key.kind.contains("or list of") || key.name == "audience" {
        schema.insert("anyOf".to_owned(), text_or_texts);
        return Value::Object(schema);
    }
    let name = match &example {
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::Array(_) => "array",
        _ => panic!("{}", key.name),
    };
    schema.insert("type".to_owned(), json!(name));
    if name == "array" {
        schema.insert("items".to_owned(), json!({"type": "string"}));
    }
    if let Some((_, values)) = ENUMERATIONS.iter().find(|(name, _)| *name == key.name) {
        schema.insert("enum".to_owned(), json!(values));
    }
    Value::Object(schema)
}

pub(super) fn template() -> String {
    let text = |description: &str| json!({"type": "string", "description": description});
    let entries = |description: &str, one: &Value| json!({"description": description, "anyOf": [one, {"type": "array", "items": one}]});
    let action = json!({"anyOf": [
        {"enum": templates::action_names().collect::<Vec<_>>()},
        {"type": "string", "pattern": "^(name/)?(cos|ci):"},
    ]});
    let conditions: Map<String, Value> = cam::comparison_names()
        .flat_map(|name| [name.to_owned(), format!("{name}_if_exist")])
        .map(|name| (name, json!({"type": "object"})))
        .collect();
    let statement = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["effect", "action", "resource"],
        "properties": {
            "effect": {"enum": ["allow", "deny"], "description": "Whether the statement allows or denies. A deny wins."},
            "action": entries("Actions of COS, such as name/cos:GetObject, or sets of them, such as @upload.", &action),
            "resource": entries("Keys in the bucket, such as ${home}*, or a full qcs:: resource.", &json!({"type": "string"})),
            "condition": {
                "type": "object",
                "description": "Conditions on the request: operator, then condition key, then value.",
                "properties": conditions,
                "patternProperties": {"^(null_equal$|for_any_value:|for_all_value:)": {"type": "object"}},
                "additionalProperties": false,
            },
            "shared": text("Why the statement may reach outside the home. It may only read."),
        },
    });
    pretty(&json!({
        "$schema": DRAFT,
        "title": "A template of cosbroker",
        "type": "object",
        "additionalProperties": false,
        "required": ["bucket", "region", "home", "duration"],
        "properties": {
            "description": text("What the template is for."),
            "bucket": text("The bucket's full name, with the number of the account, such as examplebucket-1250000000."),
            "region": text("The bucket's region, such as ap-guangzhou."),
            "home": text("The folder that everything lies under, such as users/${sub|escape}/."),
            "duration": text("How long a key is valid, such as 30m."),
            "owner": {"type": "array", "items": {"type": "string"}, "default": ["sub"], "description": "The claims that say whose home it is."},
            "require": {"type": "object", "description": "Claims that the token must carry: a value, or a list of values."},
            "acl_guard_off": text("Why users may set ACLs and so make objects public. Leave it out."),
            "statement": {"type": "array", "items": statement},
        },
    }))
}

fn pretty(schema: &Value) -> String {
    serde_json::to_string_pretty(schema).unwrap() + "\n"
}
