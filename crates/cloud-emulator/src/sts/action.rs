//! An authenticated call: its action, and parameters checked by the rules of that action.

use super::{auth::Rights, error::StsError, parameters::Parameters};

const API_VERSION: &str = "2018-08-13";

/// The names of the actions that the emulator has.
pub(crate) const ACTIONS: [&str; 2] = ["GetFederationToken", "AssumeRole"];

/// The maximum number of tags of a session (docs 1312/48197).
const MAX_TAGS: usize = 50;
/// The maximum number of characters in a tag's key (docs 1312/48198).
const MAX_TAG_KEY_CHARS: usize = 128;
/// The maximum number of characters in a tag's value (docs 1312/48198).
const MAX_TAG_VALUE_CHARS: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    GetFederationToken,
    AssumeRole,
}

/// A call with a valid signature.
#[derive(Debug)]
pub(super) struct AuthenticatedCall {
    action: Action,
    parameters: Parameters,
    /// What the key that signed the call may do.
    pub(super) rights: Rights,
}

/// The parts of a request that a call is read from.
pub(super) struct CallParts<'a> {
    pub(super) action: &'a str,
    pub(super) version: &'a str,
    pub(super) region: &'a str,
    pub(super) parameters: Parameters,
    pub(super) rights: Rights,
}

impl Action {
    fn parse(name: &str) -> Result<Self, StsError> {
        match name {
            "GetFederationToken" => Ok(Self::GetFederationToken),
            "AssumeRole" => Ok(Self::AssumeRole),
            _ => Err(StsError::new("InvalidAction", format!("the sandbox has no action {name}"))),
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
                "SerialNumber",
                "TokenCode",
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
    pub(super) fn new(parts: CallParts<'_>) -> Result<Self, StsError> {
        let CallParts { action, version, region, parameters, rights } = parts;
        let action = Action::parse(action)?;
        if version != API_VERSION {
            return Err(StsError::new("NoSuchVersion", format!("the version is {API_VERSION}")));
        }
        if region.is_empty() {
            return Err(StsError::new("UnsupportedRegion", "the region is empty"));
        }
        let call = Self { action, parameters, rights };
        call.check_parameter_names()?;
        match action {
            Action::GetFederationToken => call.check_federation()?,
            Action::AssumeRole => call.check_role()?,
        }
        Ok(call)
    }

    /// Returns the parameter `Policy`, still encoded; `None` if the key shall have all rights of the role.
    pub(super) fn policy(&self) -> Result<Option<&str>, StsError> {
        let policy = self.parameters.text("Policy")?;
        match (policy, self.action) {
            (None, Action::GetFederationToken) => Err(StsError::missing("Policy")),
            (policy, Action::GetFederationToken) => Ok(policy),
            (policy, Action::AssumeRole) => Ok(policy.filter(|policy| !policy.is_empty())),
        }
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

    /// Returns the action and the resource that CAM must allow the caller.
    pub(super) fn required_right(&self) -> (&'static str, &str) {
        match self.action {
            Action::GetFederationToken => ("name/sts:GetFederationToken", "*"),
            Action::AssumeRole => {
                let role = self.parameters.text("RoleArn").ok().flatten();
                ("name/sts:AssumeRole", role.unwrap_or_default())
            }
        }
    }

    fn check_parameter_names(&self) -> Result<(), StsError> {
        let known = self.action.parameter_names();
        match self.parameters.names().find(|name| !known.contains(name)) {
            Some(unknown) => {
                Err(StsError::new("UnknownParameter", format!("the parameter {unknown} is not recognized")))
            }
            None => Ok(()),
        }
    }

    fn check_federation(&self) -> Result<(), StsError> {
        if self.rights != Rights::OfAccount {
            return Err(StsError::new(
                "FailedOperation.TempKeyNotAllowed",
                "GetFederationToken needs a permanent key",
            ));
        }
        if is_federation_name(self.parameters.required_text("Name")?) {
            return Ok(());
        }
        Err(param_error("Name has letters, and no other characters than letters, `-` and `_`"))
    }

    fn check_role(&self) -> Result<(), StsError> {
        if !self.parameters.required_text("RoleArn")?.starts_with("qcs::cam::uin/") {
            return Err(StsError::new("ResourceNotFound.RoleNotFound", "the role does not exist"));
        }
        if !is_role_session_name(self.parameters.required_text("RoleSessionName")?) {
            return Err(param_error("RoleSessionName has 2 to 128 of letters, digits and =,.@_-+"));
        }
        if self.parameters.text("ExternalId")?.is_some_and(|id| !is_external_id(id)) {
            return Err(param_error("ExternalId has 2 to 128 of letters, digits and =,.@:/-_+"));
        }
        if self.parameters.text("SourceIdentity")?.is_some_and(|uin| !is_uin(uin)) {
            return Err(param_error("SourceIdentity is the caller's uin, a number"));
        }
        for name in ["SerialNumber", "TokenCode"] {
            if self.parameters.text(name)?.is_some() {
                return Err(StsError::new(
                    "FailedOperation.MFATypeNotSupported",
                    format!("the sandbox's account has no second factor, and {name} is for one"),
                ));
            }
        }
        check_tags(&self.parameters.tags()?)
    }
}

fn param_error(message: impl Into<String>) -> StsError {
    StsError::new("InvalidParameter.ParamError", message)
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

fn is_external_id(id: &str) -> bool {
    (2..=128).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&byte))
}

fn is_uin(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn check_tags(tags: &[(String, String)]) -> Result<(), StsError> {
    if tags.len() > MAX_TAGS {
        return Err(param_error(format!("at most {MAX_TAGS} Tags")));
    }
    for (index, (key, value)) in tags.iter().enumerate() {
        if key.is_empty() || key.chars().count() > MAX_TAG_KEY_CHARS {
            return Err(param_error(format!("the Key of a tag has 1 to {MAX_TAG_KEY_CHARS} characters")));
        }
        if value.chars().count() > MAX_TAG_VALUE_CHARS {
            return Err(param_error(format!(
                "the Value of a tag has at most {MAX_TAG_VALUE_CHARS} characters"
            )));
        }
        if tags.iter().skip(index + 1).any(|(other, _)| other == key) {
            return Err(param_error(format!("the tag `{key}` is given twice")));
        }
    }
    Ok(())
}
