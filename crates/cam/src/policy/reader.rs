//! Reads policies strictly: an element that CAM's documents do not name is an error.

use serde_json::{Map, Value};

/// The error for a text that is not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct Malformed {
    /// The element, such as `statement[0].effect`.
    pub place: String,
    /// What is wrong with the element.
    pub fault: String,
}

pub(super) fn malformed(place: &str, fault: impl Into<String>) -> Malformed {
    Malformed { place: place.to_owned(), fault: fault.into() }
}

impl Malformed {
    /// Returns the error as one of the document that has the element `parent`, where it was found.
    pub(super) fn within(self, parent: &str) -> Self {
        let place =
            if self.place.is_empty() { parent.to_owned() } else { format!("{parent}.{}", self.place) };
        Self { place, ..self }
    }
}

/// A JSON object of which every element must be read.
pub(super) struct Fields {
    place: &'static str,
    unread: Map<String, Value>,
}

impl Fields {
    pub(super) fn of(place: &'static str, value: Value) -> Result<Self, Malformed> {
        match value {
            Value::Object(map) => Ok(Self { place, unread: map }),
            _ => Err(malformed(place, "must be an object")),
        }
    }

    pub(super) fn take(&mut self, name: &str) -> Result<Value, Malformed> {
        self.take_optional(name).ok_or_else(|| malformed(self.place, format!("`{name}` is missing")))
    }

    pub(super) fn take_optional(&mut self, name: &str) -> Option<Value> {
        self.unread.remove(name)
    }

    /// Refuses elements that were not taken.
    pub(super) fn finish(self) -> Result<(), Malformed> {
        match self.unread.keys().next() {
            None => Ok(()),
            Some(other) => Err(malformed(self.place, format!("unknown element `{other}`"))),
        }
    }
}

/// Returns the items of a list; a single value is a list of one.
pub(super) fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list,
        single => vec![single],
    }
}

/// Reads a list of strings, none of them empty.
pub(super) fn strings(place: &'static str, value: Value) -> Result<Vec<String>, Malformed> {
    let mut strings = Vec::new();
    for item in list(value) {
        match item {
            Value::String(text) if !text.is_empty() => strings.push(text),
            _ => return Err(malformed(place, "must be strings that are not empty")),
        }
    }
    if strings.is_empty() { Err(malformed(place, "is empty")) } else { Ok(strings) }
}
