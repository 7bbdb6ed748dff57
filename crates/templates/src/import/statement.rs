//! Parses the statements of a policy, whatever wraps the policy and however its elements are spelt.

use std::collections::BTreeMap;

use jsonc_parser::{ParseOptions, errors::ParseErrorKind, parse_to_serde_value};
use serde_json::{Map, Value};

use super::{ImportFault, Notes, Unsupported, actions::SortedActions, resource::ResourceRef};
use cam::Effect;
use strict_json::Document;

/// One statement of the policy, with sorted actions and parsed resources.
#[derive(Debug)]
pub(super) struct PolicyStatement {
    /// The statement's number, from 1.
    pub(super) number: usize,
    pub(super) effect: Effect,
    /// The actions that a template may name.
    pub(super) actions: SortedActions,
    pub(super) resources: Vec<ResourceRef>,
    /// operator -> key -> values, as written.
    pub(super) condition: Map<String, Value>,
}

/// Elements that contain the policy in a request's or a response's body.
const WRAPPERS: [&str; 3] = ["policy", "policydocument", "response"];

/// The maximum depth of wrappers: the response, the document, its text.
const MAX_WRAPPER_DEPTH: usize = 6;

impl PolicyStatement {
    /// Parses every statement of a policy.
    ///
    /// # Errors
    /// When the text is no policy.
    pub(super) fn parse_all(text: &str, notes: &mut Notes) -> Result<Vec<Self>, ImportFault> {
        let mut policy = unwrap_policy(text)?;
        if let Some(version) = policy.take("version").filter(|version| version != "2.0") {
            notes.add(format!("version is {version}, read as \"2.0\": CAM documents no other"));
        }
        policy.drop_principal(notes);
        let list = match policy.take("statement") {
            Some(Value::Array(list)) if !list.is_empty() => list,
            Some(Value::Object(one)) => vec![Value::Object(one)],
            _ => {
                return Err(not_a_policy(
                    "statement",
                    "is neither a statement nor a list of them",
                    POLICY_HELP,
                ));
            }
        };
        for name in policy.rest.keys() {
            notes.add(format!(
                "the element `{name}` of the policy is left out: CAM documents none of that name"
            ));
        }
        check_size(&list)?;
        let mut statements = Vec::new();
        for (index, value) in list.into_iter().enumerate() {
            statements.extend(Self::parse(index + 1, value, notes)?);
        }
        Ok(statements)
    }

    /// Parses a statement. `None` if it has an unknown element, which could narrow it.
    fn parse(number: usize, value: Value, notes: &mut Notes) -> Result<Option<Self>, ImportFault> {
        let place = format!("statement {number}");
        let mut elements = Elements::of(&place, value)?;
        let effect = elements.effect()?;
        elements.drop_principal(notes);
        // The name of the statement, in policies of buckets.
        elements.take("sid");
        let actions = elements.strings("action")?;
        let resources = elements.strings("resource")?;
        let condition = elements.condition()?;
        if let Some(unknown) = elements.rest.keys().next() {
            let why = Unsupported::new(format!("the meaning of its element `{unknown}` is not known"));
            notes.left_out(effect, number, "it", &why);
            return Ok(None);
        }
        let actions = SortedActions::read(effect, number, &actions, notes);
        let mut parsed = Vec::new();
        for text in &resources {
            match ResourceRef::parse(text) {
                Ok(resource) => parsed.push(resource),
                Err(why) => notes.left_out(effect, number, &format!("the resource `{text}`"), &why),
            }
        }
        Ok(Some(Self { number, effect, actions, resources: parsed, condition }))
    }
}

/// A policy has at most 6144 bytes (docs 598/10609), and its shortest element takes four: `"*",`. Each is compared with
/// the others.
const MAX_ELEMENTS: usize = 2000;

fn check_size(statements: &[Value]) -> Result<(), ImportFault> {
    let elements: usize = statements.iter().map(size_of_value).sum();
    if elements > MAX_ELEMENTS { Err(ImportFault::TooLarge(MAX_ELEMENTS)) } else { Ok(()) }
}

/// Returns the number of values in a value. The parser bounds the depth.
fn size_of_value(value: &Value) -> usize {
    match value {
        Value::Array(list) => list.iter().map(size_of_value).sum(),
        Value::Object(elements) => elements.values().map(size_of_value).sum(),
        _ => 1,
    }
}

const POLICY_HELP: &str = "paste the policy, {\"version\": \"2.0\", \"statement\": [...]}";

/// Returns the elements of the policy, taken out of what wraps it.
fn unwrap_policy(text: &str) -> Result<Elements, ImportFault> {
    let mut value = parse_json(text)?;
    for _ in 0..MAX_WRAPPER_DEPTH {
        let mut elements = match value {
            Value::String(text) => {
                value = parse_json(&text)?;
                continue;
            }
            other => Elements::of("policy", other)?,
        };
        if elements.rest.contains_key("statement") {
            return Ok(elements);
        }
        let Some(inner) = WRAPPERS.iter().find_map(|name| elements.take(name)) else { break };
        value = inner;
    }
    Err(not_a_policy("policy", "holds no `statement`", POLICY_HELP))
}

fn parse_json(text: &str) -> Result<Value, ImportFault> {
    let document = parse_to_serde_value::<Document>(text, &ParseOptions::default());
    document.map(|Document(value)| value).map_err(|error| {
        ImportFault::NotJson(match error.kind() {
            // The parser knows no place for these.
            ParseErrorKind::Custom(message) => message.clone(),
            _ => error.to_string(),
        })
    })
}

/// The elements of an object that are not taken yet. Names are in lower case, as some of the vendor's pages
/// capitalise them.
struct Elements {
    place: String,
    rest: BTreeMap<String, Value>,
}

impl Elements {
    fn of(place: &str, value: Value) -> Result<Self, ImportFault> {
        let Value::Object(map) = value else {
            return Err(not_a_policy(place, "is not an object", POLICY_HELP));
        };
        let mut rest = BTreeMap::new();
        for (name, value) in map {
            if rest.insert(name.to_lowercase(), value).is_some() {
                let fault = format!("`{name}` is given twice, in two spellings");
                return Err(not_a_policy(place, &fault, "keep one"));
            }
        }
        Ok(Self { place: place.to_owned(), rest })
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.rest.remove(name)
    }

    fn fault(&self, element: &str, fault: &str, help: &'static str) -> ImportFault {
        not_a_policy(&format!("{}: {element}", self.place), fault, help)
    }

    fn effect(&mut self) -> Result<Effect, ImportFault> {
        match self.take("effect").as_ref().and_then(Value::as_str) {
            Some(text) if text.eq_ignore_ascii_case("allow") => Ok(Effect::Allow),
            Some(text) if text.eq_ignore_ascii_case("deny") => Ok(Effect::Deny),
            _ => Err(self.fault("effect", "is neither allow nor deny", "write one of the two")),
        }
    }

    fn condition(&mut self) -> Result<Map<String, Value>, ImportFault> {
        match self.take("condition") {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(condition)) => Ok(condition),
            Some(_) => Err(self.fault("condition", "is not an object", "write {operator: {key: value}}")),
        }
    }

    fn drop_principal(&mut self, notes: &mut Notes) {
        if self.take("principal").is_some() {
            notes.add(
                "principal is left out: who gets a key is decided by their token; add [require] to say which claims it must carry",
            );
        }
    }

    fn strings(&mut self, name: &str) -> Result<Vec<String>, ImportFault> {
        let list = match self.take(name) {
            Some(Value::Array(list)) => list,
            Some(one) => vec![one],
            None => Vec::new(),
        };
        let strings: Option<Vec<String>> = list
            .into_iter()
            .map(|value| match value {
                Value::String(text) if !text.is_empty() => Some(text),
                _ => None,
            })
            .collect();
        strings
            .filter(|strings| !strings.is_empty())
            .ok_or_else(|| self.fault(name, "is neither a string nor a list of strings", "name at least one"))
    }
}

fn not_a_policy(place: &str, fault: &str, help: &'static str) -> ImportFault {
    ImportFault::NotAPolicy { place: place.to_owned(), fault: diagnostics::to_single_line(fault), help }
}
