//! The published JSON Schemas: they accept every file that is shipped, and know the names that the readers know.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;

use crate::support::{cosbroker, repository};

/// Returns what a value breaks of a schema. Knows the keywords that the schemas have, and no other.
fn faults(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (keyword, rule) in schema.as_object().unwrap() {
        let is_met = match keyword.as_str() {
            "$schema"
            | "title"
            | "description"
            | "default"
            | "examples"
            | "properties"
            | "patternProperties"
            | "additionalProperties"
            | "items" => true,
            "type" => is_of_type(rule.as_str().unwrap(), value),
            "enum" => rule.as_array().unwrap().contains(value),
            "minItems" => value.as_array().is_none_or(|list| list.len() as u64 >= rule.as_u64().unwrap()),
            "required" => {
                let names = rule.as_array().unwrap();
                names.iter().all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "anyOf" => rule.as_array().unwrap().iter().any(|one| faults(one, value, at).is_empty()),
            "pattern" => value.as_str().is_some_and(|text| text.contains("cos:") || text.contains("ci:")),
            other => panic!("the schema has `{other}`"),
        };
        if !is_met {
            found.push(format!("{at}: {keyword}"));
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(
            schema.get("items").into_iter().flat_map(|items| faults(items, item, &format!("{at}[{index}]"))),
        );
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        match schema.get("properties").and_then(|properties| properties.get(name)) {
            Some(property) => found.extend(faults(property, member, &format!("{at}.{name}"))),
            None if schema.get("additionalProperties") == Some(&Value::Bool(false)) && !is_special(name) => {
                found.push(format!("{at}.{name}: unknown"));
            }
            None => {}
        }
    }
    found
}

/// Whether a name is one of `patternProperties`.
fn is_special(name: &str) -> bool {
    ["null_equal", "for_any_value:", "for_all_value:"].iter().any(|start| name.starts_with(start))
}

fn is_of_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("{other}"),
    }
}

/// The schema as the command prints it.
fn schema(file: &str) -> Value {
    let output = cosbroker(&repository("")).args(["schema", file]).output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn toml_of(text: &str) -> Value {
    serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()
}

/// Every key of the example, with the commented ones.
fn whole_example() -> String {
    let example = std::fs::read_to_string(repository("config.example.toml")).unwrap();
    let lines =
        example.lines().filter(|line| !line.starts_with("# ") && *line != "#" && !line.starts_with("#:"));
    lines.map(|line| line.trim_start_matches('#').to_owned() + "\n").collect()
}

#[test]
fn every_shipped_file_fits_its_schema_and_names_it() {
    let (config, template) = (schema("config"), schema("template"));
    let example = std::fs::read_to_string(repository("config.example.toml")).unwrap();
    assert!(example.starts_with("#:schema docs/reference/config.schema.json\n"));
    for text in [&example, &whole_example()] {
        assert_eq!(faults(&config, &toml_of(text), "config"), Vec::<String>::new());
    }
    for entry in std::fs::read_dir(repository("policies")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("#:schema ../docs/reference/template.schema.json\n"), "{}", path.display());
        assert_eq!(
            faults(&template, &toml_of(&text), "template"),
            Vec::<String>::new(),
            "{}",
            path.display()
        );
    }
    for entry in std::fs::read_dir(repository("logins")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let section = text.split("\n[require]\n").next().unwrap();
        let issuers = &config["properties"]["issuer"];
        assert_eq!(faults(issuers, &toml_of(section)["issuer"], "issuer"), Vec::<String>::new());
    }
}

#[test]
fn a_misspelt_key_a_wrong_type_and_a_missing_key_do_not_fit() {
    let text = "bucket = \"b-1\"\nregion = 1\nhom = \"x/\"\nduration = \"1h\"\n[[statement]]\neffect = \"alow\"\naction = \"@uplod\"\nresource = \"x\"";
    let found = faults(&schema("template"), &toml_of(text), "t");
    for fault in [
        "t: required",
        "t.hom: unknown",
        "t.region: type",
        "t.statement[0].effect: enum",
        "t.statement[0].action: anyOf",
    ] {
        assert!(found.iter().any(|one| one == fault), "{fault}: {found:?}");
    }
}

/// The names that the reader says it knows, when it meets one that nobody would write.
fn known_names(dir: &Path, arguments: &[&str]) -> BTreeSet<String> {
    let output = cosbroker(dir).args(arguments).output().unwrap();
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let (_, known) = told.split_once("known here: ").unwrap_or_else(|| panic!("{told}"));
    let end = known.find(['\n', '"']).unwrap_or(known.len());
    known[..end].split(", ").map(str::to_owned).collect()
}

fn names_in(schema: &Value) -> BTreeSet<String> {
    schema["properties"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_schemas_know_the_names_that_the_readers_know() {
    let dir = tempfile::tempdir().unwrap();
    let config = schema("config");
    let read = |text: &str| {
        std::fs::write(dir.path().join("config.toml"), text).unwrap();
        known_names(dir.path(), &["check", "--format", "json"])
    };
    let sections = read("qqqqqqqqqqqq = 1\n");
    assert_eq!(sections, names_in(&config));
    for (name, section) in config["properties"].as_object().unwrap() {
        let is_list = section["type"] == "array";
        let heading = if is_list { format!("[[{name}]]") } else { format!("[{name}]") };
        let table = if is_list { &section["items"] } else { section };
        assert_eq!(read(&format!("{heading}\nqqqqqqqqqqqq = 1\n")), names_in(table), "{name}");
    }
    let template = schema("template");
    let lint = |text: &str| {
        std::fs::write(dir.path().join("t.toml"), text).unwrap();
        known_names(dir.path(), &["policy", "lint", "t.toml", "--format", "json", "--config", "none.toml"])
    };
    std::fs::write(
        dir.path().join("none.toml"),
        "[templates]\ndir = \"policies\"\n[sts]\nregion = \"ap-guangzhou\"\n",
    )
    .unwrap();
    assert_eq!(lint("qqqqqqqqqqqq = 1\n"), names_in(&template));
    let statement = &template["properties"]["statement"]["items"];
    assert_eq!(lint("[[statement]]\nqqqqqqqqqqqq = 1\n"), names_in(statement));
}
