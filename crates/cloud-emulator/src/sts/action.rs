//! An authenticated call: its action, and parameters checked by the rules of that action.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::StsError;

const API_VERSION: &str = "2018-08-13";

/// The names of the actions that the emulator has.
pub(crate) const ACTIONS: [&str; 2] = ["GetFederationToken", "AssumeRole"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    GetFederationToken,
    AssumeRole,
}

/// The parameters of an action, as the request has them.
#[derive(Debug)]
pub(super) enum Parameters {
    /// Typed JSON values (TC3).
    Json(Map<String, Value>),
    /// Form fields, which are all text (v1).
    Form(BTreeMap<String, String>),
}

/// A call with a valid signature.
#[derive(Debug)]
pub(super) struct AuthenticatedCall {
    action: Action,
    parameters: Parameters,
}

impl Action {
    fn parse(name: &str) -> Result<Self, StsError> {
        match name {
            "GetFederationToken" => Ok(Self::GetFederationToken),
            "AssumeRole" => Ok(Self::AssumeRole),
            _ => Err(StsError::new("InvalidAction", format!("there is no action {name}"))),
        }
    }

    fn parameter_names(self) -> &'static [&'static str] {
        match self {
            Self::GetFederationToken => &["Name", "Policy", "DurationSeconds"],
            Self::AssumeRole => &[
                "RoleArn",
                "RoleSessionName",
                "DurationSeconds",
                "Policy",
                "ExternalId",
                "Tags",
                "SourceIdentity",
            ],
        }
    }

    /// Returns the default and the maximum of `DurationSeconds`.
    fn duration_bounds(self) -> (u64, u64) {
        match self {
            Self::GetFederationToken => (1800, 129_600),
            Self::AssumeRole => (7200, 43_200),
        }
    }
}

impl AuthenticatedCall {
    /// Creates a call whose signature has been checked.
    pub(super) fn new(
        action: &str,
        version: &str,
        region: &str,
        parameters: Parameters,
    ) -> Result<Self, StsError> {
        let action = Action::parse(action)?;
        if version != API_VERSION {
            return Err(StsError::new("NoSuchVersion", format!("the version is {API_VERSION}")));
        }
        if region.is_empty() {
            return Err(StsError::new("UnsupportedRegion", "the region is empty"));
        }
        let call = Self { action, parameters };
        call.check_parameter_names()?;
        call.check_session_name()?;
        Ok(call)
    }

    /// Returns the parameter `Policy`, still encoded.
    pub(super) fn policy(&self) -> Result<&str, StsError> {
        self.parameters.text("Policy")
    }

    /// Returns the requested TTL of the credential, or the action's default.
    pub(super) fn duration_seconds(&self) -> Result<u64, StsError> {
        let (default, max) = self.action.duration_bounds();
        let duration = self.parameters.number("DurationSeconds")?.unwrap_or(default);
        if duration == 0 || duration > max {
            return Err(StsError::new("InvalidParameter.OverTimeError", format!("at most {max} seconds")));
        }
        Ok(duration)
    }

    fn check_parameter_names(&self) -> Result<(), StsError> {
        let known = self.action.parameter_names();
        match self.parameters.names().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => {
                Err(StsError::new("UnknownParameter", format!("the parameter {unknown} is not recognized")))
            }
            None => Ok(()),
        }
    }

    fn check_session_name(&self) -> Result<(), StsError> {
        let is_valid = match self.action {
            Action::GetFederationToken => is_federation_name(self.parameters.text("Name")?),
            Action::AssumeRole => {
                if !self.parameters.text("RoleArn")?.starts_with("qcs::cam::uin/") {
                    return Err(StsError::new("ResourceNotFound.RoleNotFound", "the role does not exist"));
                }
                is_role_session_name(self.parameters.text("RoleSessionName")?)
            }
        };
        if is_valid {
            return Ok(());
        }
        Err(StsError::new("InvalidParameter.ParamError", "the session name is malformed"))
    }
}

/// The documentation allows letters; the vendor's own older SDKs send `cos-sts-nodejs`.
fn is_federation_name(name: &str) -> bool {
    name.bytes().any(|byte| byte.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphabetic() || b"-_".contains(&byte))
}

fn is_role_session_name(name: &str) -> bool {
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

    fn text(&self, name: &str) -> Result<&str, StsError> {
        let text = match self {
            Self::Form(map) => map.get(name).map(String::as_str),
            Self::Json(map) => match map.get(name) {
                Some(Value::String(text)) => Some(text.as_str()),
                Some(_) => {
                    return Err(StsError::new(
                        "InvalidParameter.ParamError",
                        format!("{name} must be a string"),
                    ));
                }
                None => None,
            },
        };
        text.ok_or_else(|| StsError::missing(name))
    }

    fn number(&self, name: &str) -> Result<Option<u64>, StsError> {
        let number = match self {
            Self::Form(map) => map.get(name).map(|text| text.parse().ok()),
            Self::Json(map) => map.get(name).map(Value::as_u64),
        };
        match number {
            None => Ok(None),
            Some(Some(number)) => Ok(Some(number)),
            Some(None) => {
                Err(StsError::new("InvalidParameter.ParamError", format!("{name} is not a number")))
            }
        }
    }
}
