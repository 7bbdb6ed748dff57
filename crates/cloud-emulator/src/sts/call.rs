//! A call whose signature holds: the action, and its parameters checked by that action's rules.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Fault, missing};

/// The version of the API.
const VERSION: &str = "2018-08-13";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    GetFederationToken,
    AssumeRole,
}

/// An action's parameters, as the request wrote them.
#[derive(Debug)]
pub(super) enum Parameters {
    /// Strings are strings and numbers are numbers.
    Json(Map<String, Value>),
    /// All is text.
    Form(BTreeMap<String, String>),
}

/// An authenticated call.
#[derive(Debug)]
pub(super) struct Call {
    action: Action,
    parameters: Parameters,
}

impl Call {
    /// A call, after its signature was seen to hold.
    pub(super) fn new(
        action: &str,
        version: &str,
        region: &str,
        parameters: Parameters,
    ) -> Result<Self, Fault> {
        let action = match action {
            "GetFederationToken" => Action::GetFederationToken,
            "AssumeRole" => Action::AssumeRole,
            _ => return Err(Fault("InvalidAction", format!("no action {action}"))),
        };
        if version != VERSION {
            return Err(Fault("NoSuchVersion", format!("the version is {VERSION}")));
        }
        if region.is_empty() {
            return Err(Fault("UnsupportedRegion", "the region is empty".to_owned()));
        }
        let call = Self { action, parameters };
        call.check_names()?;
        Ok(call)
    }

    /// The policy as it was sent.
    pub(super) fn policy(&self) -> Result<&str, Fault> {
        self.parameters.text("Policy")
    }

    /// How long the key is to live, in seconds.
    pub(super) fn duration(&self) -> Result<u64, Fault> {
        let (usual, longest) = match self.action {
            Action::GetFederationToken => (1800, 129_600),
            Action::AssumeRole => (7200, 43_200),
        };
        let duration = self.parameters.number("DurationSeconds")?.unwrap_or(usual);
        if duration == 0 || duration > longest {
            return Err(Fault("InvalidParameter.OverTimeError", format!("at most {longest} seconds")));
        }
        Ok(duration)
    }

    fn check_names(&self) -> Result<(), Fault> {
        let known: &[&str] = match self.action {
            Action::GetFederationToken => &["Name", "Policy", "DurationSeconds"],
            Action::AssumeRole => &[
                "RoleArn",
                "RoleSessionName",
                "DurationSeconds",
                "Policy",
                "ExternalId",
                "Tags",
                "SourceIdentity",
            ],
        };
        if let Some(other) = self.parameters.names().find(|name| !known.contains(&name.as_str())) {
            return Err(Fault("UnknownParameter", format!("the parameter {other} is not recognized")));
        }
        let well_named = match self.action {
            Action::GetFederationToken => is_caller(self.parameters.text("Name")?),
            Action::AssumeRole => {
                if !self.parameters.text("RoleArn")?.starts_with("qcs::cam::uin/") {
                    return Err(Fault("ResourceNotFound.RoleNotFound", "the role does not exist".to_owned()));
                }
                is_session(self.parameters.text("RoleSessionName")?)
            }
        };
        if !well_named {
            return Err(Fault("InvalidParameter.ParamError", "the session's name is malformed".to_owned()));
        }
        Ok(())
    }
}

/// `Name`: letters, says the document; the vendor's own older SDKs send `cos-sts-nodejs`.
fn is_caller(name: &str) -> bool {
    name.bytes().any(|byte| byte.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphabetic() || b"-_".contains(&byte))
}

/// `RoleSessionName`
fn is_session(name: &str) -> bool {
    (2..=128).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
}

impl Parameters {
    fn names(&self) -> Box<dyn Iterator<Item = &String> + '_> {
        match self {
            Self::Json(map) => Box::new(map.keys()),
            Self::Form(map) => Box::new(map.keys()),
        }
    }

    fn text(&self, name: &str) -> Result<&str, Fault> {
        let text = match self {
            Self::Form(map) => map.get(name).map(String::as_str),
            Self::Json(map) => match map.get(name) {
                Some(Value::String(text)) => Some(text.as_str()),
                Some(_) => {
                    return Err(Fault("InvalidParameter.ParamError", format!("{name} must be a string")));
                }
                None => None,
            },
        };
        text.ok_or_else(|| missing(name))
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Fault> {
        let number = match self {
            Self::Form(map) => map.get(name).map(|text| text.parse().ok()),
            Self::Json(map) => map.get(name).map(Value::as_u64),
        };
        match number {
            None => Ok(None),
            Some(Some(number)) => Ok(Some(number)),
            Some(None) => Err(Fault("InvalidParameter.ParamError", format!("{name} is not a number"))),
        }
    }
}
