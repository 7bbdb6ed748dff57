//! What stands in the pasted text: a policy's statements, whatever wraps them and however they are spelt.

use std::collections::BTreeMap;

use jsonc_parser::{ParseOptions, errors::ParseErrorKind, parse_to_serde_value};
use serde_json::{Map, Value};

use super::{ImportFault, Notes, place::Place, request::Requested};
use cam::Effect;
use strict_json::Document;

/// One statement of the policy, its actions sorted and its resources taken apart.
#[derive(Debug)]
pub(super) struct Pasted {
    /// From 1, as a person counts.
    pub number: usize,
    /// Allow or deny.
    pub effect: Effect,
    /// What it speaks of, as far as a template may.
    pub requested: Requested,
    /// On what.
    pub places: Vec<Place>,
    /// operator -> key -> values, unread.
    pub condition: Map<String, Value>,
}

/// Elements that hold a policy where people paste more than that: a request's or an answer's body.
const WRAPPERS: [&str; 3] = ["policy", "policydocument", "response"];

/// Wrappers in wrappers: the answer, the document, its text.
const DEEPEST: usize = 6;

impl Pasted {
    /// Reads every statement of a policy.
    ///
    /// # Errors
    /// When the text is no policy.
    pub(super) fn read_all(text: &str, notes: &mut Notes) -> Result<Vec<Self>, ImportFault> {
        let mut policy = policy(text)?;
        if let Some(version) = policy.take("version").filter(|version| version != "2.0") {
            notes.add(format!("version is {version}, read as \"2.0\": CAM documents no other"));
        }
        policy.drop_principal(notes);
        let list = match policy.take("statement") {
            Some(Value::Array(list)) if !list.is_empty() => list,
            Some(Value::Object(one)) => vec![Value::Object(one)],
            _ => return Err(not_a_policy("statement", "is neither a statement nor a list of them", MEND)),
        };
        for name in policy.left.keys() {
            notes.add(format!(
                "the element `{name}` of the policy is left out: CAM documents none of that name"
            ));
        }
        let mut statements = Vec::new();
        for (index, value) in list.into_iter().enumerate() {
            statements.extend(Self::read(index + 1, value, notes)?);
        }
        Ok(statements)
    }

    /// A statement; none where it says something that could narrow it and that nobody here understands.
    fn read(number: usize, value: Value, notes: &mut Notes) -> Result<Option<Self>, ImportFault> {
        let place = format!("statement {number}");
        let mut elements = Elements::of(&place, value)?;
        let effect = match elements.take("effect").as_ref().and_then(Value::as_str) {
            Some(text) if text.eq_ignore_ascii_case("allow") => Effect::Allow,
            Some(text) if text.eq_ignore_ascii_case("deny") => Effect::Deny,
            _ => {
                let place = format!("{place}: effect");
                return Err(not_a_policy(&place, "is neither allow nor deny", "write one of the two"));
            }
        };
        elements.drop_principal(notes);
        // A name for the statement, in policies of buckets.
        elements.take("sid");
        let actions = elements.strings("action")?;
        let resources = elements.strings("resource")?;
        let condition = match elements.take("condition") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(condition)) => condition,
            Some(_) => {
                let place = format!("{place}: condition");
                return Err(not_a_policy(&place, "is not an object", "write {operator: {key: value}}"));
            }
        };
        if let Some(unknown) = elements.left.keys().next() {
            let why = format!("nobody here knows what its element `{unknown}` means");
            notes.left_out(effect, number, "it", &why);
            return Ok(None);
        }
        let requested = Requested::read(effect, number, &actions, notes);
        let mut places = Vec::new();
        for text in &resources {
            match Place::read(text) {
                Ok(found) => places.push(found),
                Err(why) => notes.left_out(effect, number, &format!("the resource `{text}`"), &why),
            }
        }
        Ok(Some(Self { number, effect, requested, places, condition }))
    }
}

const MEND: &str = "paste the policy, {\"version\": \"2.0\", \"statement\": [...]}";

/// The policy in a text, taken out of what wraps it.
fn policy(text: &str) -> Result<Elements, ImportFault> {
    let mut value = parse(text)?;
    for _ in 0..DEEPEST {
        let mut elements = match value {
            Value::String(text) => {
                value = parse(&text)?;
                continue;
            }
            other => Elements::of("policy", other)?,
        };
        if elements.left.contains_key("statement") {
            return Ok(elements);
        }
        let Some(inner) = WRAPPERS.iter().find_map(|name| elements.take(name)) else { break };
        value = inner;
    }
    Err(not_a_policy("policy", "holds no `statement`", MEND))
}

fn parse(text: &str) -> Result<Value, ImportFault> {
    let document = parse_to_serde_value::<Document>(text, &ParseOptions::default());
    document.map(|Document(value)| value).map_err(|error| {
        ImportFault::NotJson(match error.kind() {
            // The parser knows no place for these.
            ParseErrorKind::Custom(message) => message.clone(),
            _ => error.to_string(),
        })
    })
}

/// An object's elements under their names in lower case: the vendor's pages have had them capitalised.
struct Elements {
    place: String,
    left: BTreeMap<String, Value>,
}

impl Elements {
    fn of(place: &str, value: Value) -> Result<Self, ImportFault> {
        let Value::Object(map) = value else {
            return Err(not_a_policy(place, "is not an object", MEND));
        };
        let mut left = BTreeMap::new();
        for (name, value) in map {
            if left.insert(name.to_lowercase(), value).is_some() {
                let fault = format!("`{name}` is given twice, in two spellings");
                return Err(not_a_policy(place, &fault, "keep one"));
            }
        }
        Ok(Self { place: place.to_owned(), left })
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name)
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
        strings.filter(|strings| !strings.is_empty()).ok_or_else(|| {
            let place = format!("{}: {name}", self.place);
            not_a_policy(&place, "is neither a string nor a list of strings", "name at least one")
        })
    }
}

fn not_a_policy(place: &str, fault: &str, help: &'static str) -> ImportFault {
    ImportFault::NotAPolicy { place: place.to_owned(), fault: diagnostics::to_single_line(fault), help }
}
