//! `[sts]`: how temporary keys are issued.

use std::{num::NonZeroU32, ops::Range, path::PathBuf, time::Duration};

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::{
    context::{Context, has_path, is_loopback},
    source_credentials::{CredentialFiles, SourceCredentialsConfig, is_valid_key_part},
};
use diagnostics::{Diagnostic, HumanDuration, Source};
use tencent_sts::SourceCredentials;

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSts {
    #[serde(default)]
    action: RawAction,
    role_arn: Option<Spanned<String>>,
    external_id: Option<Spanned<String>>,
    region: Spanned<String>,
    endpoint: Option<Spanned<RawEndpoints>>,
    secret_id_env: Option<Spanned<String>>,
    secret_id_file: Option<Spanned<PathBuf>>,
    secret_key_env: Option<Spanned<String>>,
    secret_key_file: Option<Spanned<PathBuf>>,
    #[serde(default = "default_calls_per_second")]
    calls_per_second: Spanned<NonZeroU32>,
    #[serde(default = "default_timeout")]
    timeout: HumanDuration,
}

/// One endpoint, or several in the order in which they are called.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a URL or a list of URLs")]
enum RawEndpoints {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize, Default, Clone, Copy)]
enum RawAction {
    #[default]
    GetFederationToken,
    AssumeRole,
}

fn default_calls_per_second() -> Spanned<NonZeroU32> {
    Spanned::new(0..0, NonZeroU32::MIN.saturating_add(99))
}

fn default_timeout() -> HumanDuration {
    HumanDuration(Duration::from_secs(2))
}

/// How temporary keys are issued.
#[derive(Debug)]
pub struct Sts(StsParts);

/// The settings of `[sts]`, one by one.
#[derive(Debug)]
pub struct StsParts {
    /// Which call issues keys.
    pub action: StsAction,
    /// Sent as `X-TC-Region`.
    pub region: String,
    /// The URLs of STS, in the order in which they are called; never empty.
    pub endpoints: Vec<Url>,
    /// The operator's own credentials.
    pub source_credentials: SourceCredentialsConfig,
    /// Calls this process may make in any second.
    pub calls_per_second: NonZeroU32,
    /// How long a request waits for STS at most: its turn, the call and retries. A call has this long from its turn.
    pub timeout: Duration,
}

/// Which STS call issues keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StsAction {
    /// Needs permanent source credentials; at most 129,600 s.
    GetFederationToken,
    /// Accepts permanent or temporary source credentials; at most 43,200 s.
    AssumeRole {
        /// The role assumed.
        role_arn: String,
        /// For roles of other accounts.
        external_id: Option<String>,
    },
}

/// Longest lifetime of a key by `GetFederationToken` (docs 1312/48195).
const MAX_FEDERATION_LIFETIME: Duration = Duration::from_hours(36);
/// Longest lifetime of a key by `AssumeRole`.
const MAX_ROLE_LIFETIME: Duration = Duration::from_hours(12);
/// The account's quota for either call.
const MAX_CALLS_PER_SECOND: u32 = 600;
/// No call to STS is faster.
const MIN_TIMEOUT: Duration = Duration::from_millis(100);
/// More would have too little of `sts.timeout` each.
const MAX_ENDPOINTS: usize = 4;
const DEFAULT_ENDPOINT: &str = "https://sts.tencentcloudapi.com";

impl StsAction {
    /// The longest lifetime that may be requested for a key.
    pub fn max_lifetime(&self) -> Duration {
        match self {
            Self::GetFederationToken => MAX_FEDERATION_LIFETIME,
            Self::AssumeRole { .. } => MAX_ROLE_LIFETIME,
        }
    }
}

impl RawEndpoints {
    fn names(&self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name.clone()],
            Self::Several(names) => names.clone(),
        }
    }
}

impl RawAction {
    fn max_lifetime(self) -> Duration {
        match self {
            Self::GetFederationToken => MAX_FEDERATION_LIFETIME,
            Self::AssumeRole => MAX_ROLE_LIFETIME,
        }
    }
}

impl RawSts {
    /// The longest lifetime that the action allows, with nothing else checked.
    pub(super) fn max_lifetime(&self) -> Duration {
        self.action.max_lifetime()
    }

    pub(super) fn check(section: Spanned<Self>, context: &Context<'_>) -> Result<Sts, Diagnostic> {
        let span = section.span();
        let raw = section.into_inner();
        let action = raw.action(&span, context.source)?;
        raw.check_numbers(&span, context)?;
        let endpoints = raw.endpoints(context)?;
        raw.check_quota(&endpoints, context)?;
        let source_credentials = raw.source_credentials(&span, context)?;
        if source_credentials.are_temporary() && action == StsAction::GetFederationToken {
            return Err(context.problem(
                span,
                "no permanent source credentials were found, and GetFederationToken accepts no others",
                "name them with secret_id_env and secret_key_env (or _file), or set action = \"AssumeRole\" with role_arn",
            ));
        }
        Ok(Sts(StsParts {
            action,
            region: raw.region.into_inner(),
            endpoints,
            source_credentials,
            calls_per_second: *raw.calls_per_second.get_ref(),
            timeout: raw.timeout.0,
        }))
    }

    /// Returns the call that issues keys. `span` is that of the section.
    pub(super) fn action(&self, span: &Range<usize>, source: &Source) -> Result<StsAction, Diagnostic> {
        match (self.action, &self.role_arn, &self.external_id) {
            (RawAction::GetFederationToken, None, None) => Ok(StsAction::GetFederationToken),
            (RawAction::GetFederationToken, Some(key), _)
            | (RawAction::GetFederationToken, None, Some(key)) => Err(source.problem(
                key.span(),
                "GetFederationToken takes no role",
                "remove it, or set action = \"AssumeRole\"",
            )),
            (RawAction::AssumeRole, None, _) => Err(source.problem(
                span.clone(),
                "AssumeRole needs role_arn",
                "add role_arn = \"qcs::cam::uin/<account>:roleName/<role>\"",
            )),
            (RawAction::AssumeRole, Some(arn), _) if !arn.get_ref().starts_with("qcs::cam::") => Err(source
                .problem(
                    arn.span(),
                    format!("`{}` is not a role's ARN", arn.get_ref()),
                    "write it like \"qcs::cam::uin/<account>:roleName/<role>\"",
                )),
            (RawAction::AssumeRole, Some(arn), external_id) => Ok(StsAction::AssumeRole {
                role_arn: arn.get_ref().clone(),
                external_id: external_id.as_ref().map(|id| id.get_ref().clone()),
            }),
        }
    }

    fn check_numbers(&self, span: &Range<usize>, context: &Context<'_>) -> Result<(), Diagnostic> {
        if !is_region(self.region.get_ref()) {
            return Err(context.problem(
                self.region.span(),
                format!("`{}` is not a region", self.region.get_ref()),
                "write it like \"ap-guangzhou\"",
            ));
        }
        if self.timeout.0 < MIN_TIMEOUT {
            return Err(context.problem(
                span.clone(),
                "sts.timeout is too short for any call",
                "give 100ms or more; 2s is usual",
            ));
        }
        Ok(())
    }

    /// An STS on this machine is an emulated one, which has no quota.
    fn check_quota(&self, endpoints: &[Url], context: &Context<'_>) -> Result<(), Diagnostic> {
        let is_emulated = endpoints.iter().all(is_loopback);
        if !is_emulated && self.calls_per_second.get_ref().get() > MAX_CALLS_PER_SECOND {
            return Err(context.problem(
                self.calls_per_second.span(),
                format!("calls_per_second is above the account's quota of {MAX_CALLS_PER_SECOND}"),
                "give at most 600, divided by the number of replicas",
            ));
        }
        Ok(())
    }

    fn endpoints(&self, context: &Context<'_>) -> Result<Vec<Url>, Diagnostic> {
        let (names, span) = match &self.endpoint {
            None => (vec![DEFAULT_ENDPOINT.to_owned()], 0..0),
            Some(endpoint) => (endpoint.get_ref().names(), endpoint.span()),
        };
        if names.is_empty() || names.len() > MAX_ENDPOINTS {
            return Err(context.problem(
                span,
                format!("sts.endpoint takes from one to {MAX_ENDPOINTS} endpoints"),
                "name the nearest first; each is called if those before it give no answer",
            ));
        }
        let mut endpoints: Vec<Url> = Vec::new();
        for name in names {
            let endpoint = context.url(&Spanned::new(span.clone(), name))?;
            let (fault, help) = if has_path(&endpoint) {
                ("has a path, and the signature covers none", "give scheme, host and port only")
            } else if endpoints.contains(&endpoint) {
                ("is named twice", "name each endpoint once")
            } else {
                endpoints.push(endpoint);
                continue;
            };
            return Err(context.problem(span, format!("sts.endpoint `{endpoint}` {fault}"), help));
        }
        Ok(endpoints)
    }

    fn source_credentials(
        &self,
        span: &Range<usize>,
        context: &Context<'_>,
    ) -> Result<SourceCredentialsConfig, Diagnostic> {
        let id = context.secret(self.secret_id_env.clone(), self.secret_id_file.clone(), "secret_id")?;
        let key = context.secret(self.secret_key_env.clone(), self.secret_key_file.clone(), "secret_key")?;
        if [&id, &key].into_iter().flatten().any(|part| !is_valid_key_part(part)) {
            return Err(context.problem(
                span.clone(),
                "the SecretId or SecretKey contains a space, a line break or another byte that none has",
                "put only the SecretId or the SecretKey there",
            ));
        }
        match (id, key) {
            (Some(id), Some(key)) => {
                let credentials = SourceCredentials { secret_id: id, secret_key: key, token: None };
                Ok(SourceCredentialsConfig::Static(credentials, self.credential_files(context)))
            }
            (None, None) => SourceCredentialsConfig::of_provider_chain(context.environment).map_err(|refused| {
                context.problem(span.clone(), refused.to_string(), "or name other source credentials in [sts]")
            }),
            (Some(_), None) | (None, Some(_)) => Err(context.problem(
                span.clone(),
                "[sts] names only one of SecretId and SecretKey",
                "give both secret_id_env (or _file) and secret_key_env (or _file), or neither for the provider chain",
            )),
        }
    }

    /// The files to read rotated credentials from, if both halves are in files.
    fn credential_files(&self, context: &Context<'_>) -> Option<CredentialFiles> {
        let (id, key) = self.secret_id_file.as_ref().zip(self.secret_key_file.as_ref())?;
        Some(CredentialFiles::Pair { id: context.resolve(id.get_ref()), key: context.resolve(key.get_ref()) })
    }
}

impl Sts {
    /// The longest lifetime that may be requested for a key.
    pub(crate) fn max_lifetime(&self) -> Duration {
        self.0.action.max_lifetime()
    }

    /// Calls in any second.
    pub(crate) fn calls_per_second(&self) -> NonZeroU32 {
        self.0.calls_per_second
    }

    /// The settings, one by one.
    pub(crate) fn into_parts(self) -> StsParts {
        self.0
    }
}

/// Whether a text is shaped like a region's name: `ap-guangzhou`, `na-siliconvalley`.
fn is_region(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{MINIMAL, parse, problem};
    use super::*;

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let sts = parse(MINIMAL).unwrap().into_parts().sts.into_parts();
        assert_eq!(sts.action, StsAction::GetFederationToken);
        assert_eq!(
            sts.endpoints.iter().map(Url::as_str).collect::<Vec<_>>(),
            ["https://sts.tencentcloudapi.com/"]
        );
        assert_eq!(sts.calls_per_second.get(), 100);
        assert_eq!(sts.timeout, Duration::from_secs(2));
    }

    #[test]
    fn endpoints_keep_their_order() {
        let endpoints =
            "endpoint = [\"https://sts.internal.tencentcloudapi.com\", \"https://sts.tencentcloudapi.com\"]";
        let sts = parse(&MINIMAL.replace("[sts]", &format!("[sts]\n{endpoints}"))).unwrap();
        let sts = sts.into_parts().sts.into_parts();
        assert_eq!(
            sts.endpoints.iter().map(Url::as_str).collect::<Vec<_>>(),
            ["https://sts.internal.tencentcloudapi.com/", "https://sts.tencentcloudapi.com/"]
        );
    }

    #[test]
    fn each_mistake_is_one_line_with_its_place_and_a_fix() {
        for (from, to, line, message) in [
            ("region =", "regoin =", 10, "did you mean `region`?"),
            ("region = \"ap-guangzhou\"", "region = \"\"", 10, "not a region"),
            ("secret_id_env = \"ID\"", "", 9, "only one of SecretId and SecretKey"),
        ] {
            let text = problem(&MINIMAL.replace(from, to));
            assert!(text.starts_with(&format!("config.toml:{line}:")), "{text}");
            assert!(text.contains(message) && text.lines().count() == 1, "{text}");
        }
    }

    #[test]
    fn bad_values_are_refused() {
        for (keys, message) in [
            ("calls_per_second = 601", "quota of 600"),
            (
                "calls_per_second = 601\nendpoint = [\"http://127.0.0.1:1\", \"https://a.example\"]",
                "quota of 600",
            ),
            ("action = \"AssumeRole\"", "needs role_arn"),
            ("role_arn = \"x\"", "takes no role"),
            ("external_id = \"x\"", "takes no role"),
            ("action = \"AssumeRole\"\nrole_arn = \"uploader\"", "not a role's ARN"),
            ("endpoint = \"https://sts.example.com/v3\"", "has a path"),
            ("endpoint = \"https://me:pw@sts.example.com\"", "credentials in it"),
            ("endpoint = \"http://sts.example.com\"", "not a safe URL"),
            ("endpoint = []", "from one to 4 endpoints"),
            ("endpoint = [\"https://a.example\", \"https://a.example/\"]", "named twice"),
            ("endpoint = [\"https://a.example\", \"http://b.example\"]", "not a safe URL"),
            ("endpoint = 7", "a URL or a list of URLs"),
            ("timeout = \"1ns\"", "too short"),
        ] {
            let text = problem(&MINIMAL.replace("[sts]", &format!("[sts]\n{keys}")));
            assert!(text.contains(message), "{keys}: {text}");
        }
    }
}
