//! The policy of a form upload: its expiry, and conditions on the form's fields.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{error::CosError, request::CosRequest};

/// The policy in a form, after its signature has been checked.
#[derive(Deserialize)]
pub(super) struct FormPolicy {
    expiration: Timestamp,
    #[serde(default)]
    conditions: Vec<Value>,
}

impl FormPolicy {
    pub(super) fn parse(json: &[u8]) -> Result<Self, CosError> {
        serde_json::from_slice(json).map_err(|error| CosError::FormPolicy(error.to_string()))
    }

    /// Checks all conditions but the file's length, and returns the allowed length if the policy limits it.
    pub(super) fn check(&self, request: &CosRequest) -> Result<Option<RangeInclusive<u64>>, CosError> {
        if self.expiration <= request.received_at {
            return Err(CosError::FormPolicy("it has expired".to_owned()));
        }
        let mut range = None;
        for condition in &self.conditions {
            if let Some(length_range) = length_range(condition) {
                range = Some(length_range);
            } else if !is_met(condition, request) {
                return Err(CosError::FormPolicy(condition.to_string()));
            }
        }
        Ok(range)
    }
}

/// Returns the range of the condition `["content-length-range", min, max]`.
fn length_range(condition: &Value) -> Option<RangeInclusive<u64>> {
    match condition.as_array()?.as_slice() {
        [Value::String(kind), min, max] if kind == "content-length-range" => {
            Some(min.as_u64()?..=max.as_u64()?)
        }
        _ => None,
    }
}

/// Whether a condition on the form's fields is met. An unknown condition is not.
fn is_met(condition: &Value, request: &CosRequest) -> bool {
    match condition {
        Value::Object(fields) => fields.iter().all(|(name, value)| value.as_str() == field(request, name)),
        Value::Array(parts) => match parts.as_slice() {
            [Value::String(kind), Value::String(name), Value::String(value)] => {
                let found = field(request, name.trim_start_matches('$'));
                match kind.as_str() {
                    "eq" => found == Some(value),
                    "starts-with" => found.is_some_and(|found| found.starts_with(value.as_str())),
                    _ => false,
                }
            }
            _ => false,
        },
        _ => false,
    }
}

/// Returns the value that a condition names.
fn field<'a>(request: &'a CosRequest, name: &str) -> Option<&'a str> {
    match name.to_ascii_lowercase().as_str() {
        "bucket" => Some(&request.address.bucket),
        "key" => Some(&request.address.key),
        "acl" => request.header("x-cos-acl"),
        // The policy has another name for this field (docs 436/14690).
        "q-sign-time" => request.header("q-key-time"),
        name => request.header(name),
    }
}
