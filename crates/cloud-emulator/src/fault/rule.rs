//! A fault as developers write it in JSON, and its meaning after the checks.

use std::{fmt, num::NonZeroU32, time::Duration};

use actix_web::http::StatusCode;
use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::{cos, sts};
use diagnostics::{HumanDuration, SignedHumanDuration, nearest};

/// The service that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Target {
    Sts,
    Cos,
}

/// What goes wrong, with its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// The response is delayed.
    Latency(Duration),
    /// The service refuses because of too many requests.
    Throttle,
    /// The service fails.
    Error(StatusCode),
    /// A gateway answers with an HTML page.
    Html(StatusCode),
    /// Half of the real response is sent.
    Truncated,
    /// The connection is reset without a response.
    Reset,
    /// The service's clock is off by this much.
    Skew(SignedDuration),
    /// Credentials have at most this TTL.
    Lifetime(Duration),
}

/// A checked fault. Its JSON is a [`FaultSpec`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "FaultSpec", into = "FaultSpec")]
pub(super) struct Fault {
    spec: FaultSpec,
    kind: FaultKind,
}

/// The JSON of a fault. All kinds share one type, so that an error names the wrong field.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultSpec {
    on: Target,
    fault: FaultName,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay: Option<HumanDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<SignedHumanDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lasts: Option<HumanDuration>,
    #[serde(default, deserialize_with = "times", skip_serializing_if = "Option::is_none")]
    times: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FaultName {
    Latency,
    Throttle,
    Error,
    Html,
    Truncated,
    Reset,
    Skew,
    Lifetime,
}

/// Why a fault cannot be injected, and what to write instead.
#[derive(Debug, thiserror::Error)]
enum InvalidFault {
    #[error("`{field}` has no meaning for the fault `{fault}`; remove it")]
    UnusedField { field: &'static str, fault: FaultName },
    #[error("`{fault}` needs `{field}`, such as \"{field}\": {example}")]
    MissingField { field: &'static str, fault: FaultName, example: &'static str },
    #[error("`share` is {0}; it must be more than 0 and at most 1")]
    Share(f64),
    #[error("the status {0} is not an error; `error` takes 500 to 599, `html` also 200 and 400 to 499")]
    Status(u16),
    #[error("`by` is {0}; a clock is off by ten years at most, \"87600h\" or \"-87600h\"")]
    Skew(SignedHumanDuration),
    #[error("`lifetime` is for \"on\": \"sts\", which issues the keys")]
    LifetimeOfCos,
    #[error("STS has no action `{action}`; it has {known}", known = sts::ACTIONS.join(" and "))]
    UnknownStsAction { action: String },
    #[error("the sandbox's COS has no action `{action}`; did you mean `{nearest}`?")]
    MisspelledCosAction { action: String, nearest: String },
    #[error("the sandbox's COS has no action `{action}`; it has {known}", known = cos::ACTIONS.join(", "))]
    UnknownCosAction { action: String },
}

/// The largest clock skew: ten years, as far as the sandbox's clock itself goes. A time before 1970 cannot be
/// written in a `Date` header.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(87_600);

impl Fault {
    /// Whether the fault is for requests to this service with this action.
    pub(super) fn matches(&self, target: Target, action: Option<&str>) -> bool {
        self.spec.on == target && self.spec.action.as_deref().is_none_or(|named| Some(named) == action)
    }

    /// Returns how often the fault is injected; `None` means until it is removed.
    pub(super) fn times(&self) -> Option<u32> {
        self.spec.times.map(NonZeroU32::get)
    }

    /// Returns the share of the matching requests that the fault affects.
    pub(super) fn share(&self) -> f64 {
        self.spec.share.unwrap_or(1.0)
    }

    pub(super) fn kind(&self) -> FaultKind {
        self.kind
    }
}

impl From<Fault> for FaultSpec {
    fn from(fault: Fault) -> Self {
        fault.spec
    }
}

impl TryFrom<FaultSpec> for Fault {
    type Error = InvalidFault;

    fn try_from(spec: FaultSpec) -> Result<Self, InvalidFault> {
        spec.refuse_unused_fields()?;
        if let Some(share) = spec.share.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
            return Err(InvalidFault::Share(share));
        }
        if let Some(action) = &spec.action {
            check_action(spec.on, action)?;
        }
        let kind = spec.kind()?;
        Ok(Self { spec, kind })
    }
}

impl FaultSpec {
    fn refuse_unused_fields(&self) -> Result<(), InvalidFault> {
        let optional_fields = [
            ("delay", self.delay.is_some(), &[FaultName::Latency][..]),
            ("status", self.status.is_some(), &[FaultName::Error, FaultName::Html]),
            ("by", self.by.is_some(), &[FaultName::Skew]),
            ("lasts", self.lasts.is_some(), &[FaultName::Lifetime]),
        ];
        for (field, is_given, used_by) in optional_fields {
            if is_given && !used_by.contains(&self.fault) {
                return Err(InvalidFault::UnusedField { field, fault: self.fault });
            }
        }
        Ok(())
    }

    fn kind(&self) -> Result<FaultKind, InvalidFault> {
        Ok(match self.fault {
            FaultName::Latency => FaultKind::Latency(self.required(self.delay, "delay", "\"2s\"")?.0),
            FaultName::Throttle => FaultKind::Throttle,
            FaultName::Error => FaultKind::Error(error_status(self.status.unwrap_or(503))?),
            FaultName::Html => FaultKind::Html(html_status(self.status.unwrap_or(502))?),
            FaultName::Truncated => FaultKind::Truncated,
            FaultName::Reset => FaultKind::Reset,
            FaultName::Skew => FaultKind::Skew(check_skew(self.required(self.by, "by", "\"-20m\"")?)?),
            FaultName::Lifetime if self.on == Target::Cos => return Err(InvalidFault::LifetimeOfCos),
            FaultName::Lifetime => FaultKind::Lifetime(self.required(self.lasts, "lasts", "\"90s\"")?.0),
        })
    }

    fn required<T>(
        &self,
        value: Option<T>,
        field: &'static str,
        example: &'static str,
    ) -> Result<T, InvalidFault> {
        value.ok_or(InvalidFault::MissingField { field, fault: self.fault, example })
    }
}

impl fmt::Display for FaultName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Latency => "latency",
            Self::Throttle => "throttle",
            Self::Error => "error",
            Self::Html => "html",
            Self::Truncated => "truncated",
            Self::Reset => "reset",
            Self::Skew => "skew",
            Self::Lifetime => "lifetime",
        })
    }
}

/// Reads `times`, with a clearer error than serde's "a nonzero u32".
fn times<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroU32>, D::Error> {
    NonZeroU32::deserialize(deserializer)
        .map(Some)
        .map_err(|_| D::Error::custom("`times` is how often the fault is injected: a whole number from 1"))
}

fn error_status(code: u16) -> Result<StatusCode, InvalidFault> {
    let status = StatusCode::from_u16(code).ok().filter(StatusCode::is_server_error);
    status.ok_or(InvalidFault::Status(code))
}

fn html_status(code: u16) -> Result<StatusCode, InvalidFault> {
    StatusCode::from_u16(code)
        .ok()
        .filter(|status| *status == StatusCode::OK || status.is_client_error() || status.is_server_error())
        .ok_or(InvalidFault::Status(code))
}

fn check_skew(by: SignedHumanDuration) -> Result<SignedDuration, InvalidFault> {
    if by.0.abs() > MAX_CLOCK_SKEW {
        return Err(InvalidFault::Skew(by));
    }
    Ok(by.0)
}

/// Refuses an action that no request has.
fn check_action(on: Target, action: &str) -> Result<(), InvalidFault> {
    let action = action.to_owned();
    match on {
        Target::Sts if sts::ACTIONS.contains(&action.as_str()) => Ok(()),
        Target::Sts => Err(InvalidFault::UnknownStsAction { action }),
        Target::Cos if cos::ACTIONS.contains(&action.as_str()) => Ok(()),
        Target::Cos => Err(match nearest(action.trim_start_matches("name/cos:"), cos::ACTIONS) {
            Some(nearest) => InvalidFault::MisspelledCosAction { nearest: nearest.to_owned(), action },
            None => InvalidFault::UnknownCosAction { action },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Fault, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_is_parsed_and_serialised_unchanged() {
        for (text, kind) in [
            (
                r#"{"on":"sts","fault":"latency","delay":"2s","times":3,"share":0.5}"#,
                FaultKind::Latency(Duration::from_secs(2)),
            ),
            (r#"{"on":"cos","fault":"throttle","action":"UploadPart"}"#, FaultKind::Throttle),
            (r#"{"on":"cos","fault":"error"}"#, FaultKind::Error(StatusCode::SERVICE_UNAVAILABLE)),
            (
                r#"{"on":"sts","fault":"error","status":500}"#,
                FaultKind::Error(StatusCode::INTERNAL_SERVER_ERROR),
            ),
            (r#"{"on":"cos","fault":"html"}"#, FaultKind::Html(StatusCode::BAD_GATEWAY)),
            (r#"{"on":"cos","fault":"html","status":200}"#, FaultKind::Html(StatusCode::OK)),
            (r#"{"on":"sts","fault":"truncated","action":"AssumeRole"}"#, FaultKind::Truncated),
            (r#"{"on":"sts","fault":"reset"}"#, FaultKind::Reset),
            (r#"{"on":"sts","fault":"skew","by":"-20m"}"#, FaultKind::Skew(SignedDuration::from_mins(-20))),
            (
                r#"{"on":"sts","fault":"lifetime","lasts":"1m 30s"}"#,
                FaultKind::Lifetime(Duration::from_secs(90)),
            ),
        ] {
            let fault = parse(text).unwrap();
            assert_eq!(fault.kind(), kind, "{text}");
            assert_eq!(serde_json::to_string(&fault).unwrap(), text);
        }
    }

    #[test]
    fn an_invalid_fault_is_refused_with_what_to_write_instead() {
        for (text, expected) in [
            ("{}", "missing field `on`"),
            (r#"{"on":"gcs","fault":"reset"}"#, "expected `sts` or `cos`"),
            (r#"{"on":"sts","fault":"rest"}"#, "`reset`"),
            (r#"{"on":"sts","fault":"reset","tims":1}"#, "expected one of"),
            (
                r#"{"on":"sts","fault":"reset","times":0}"#,
                "`times` is how often the fault is injected: a whole number from 1",
            ),
            (r#"{"on":"sts","fault":"reset","times":"2"}"#, "a whole number from 1"),
            (r#"{"on":"sts","fault":"latency"}"#, "`latency` needs `delay`, such as \"delay\": \"2s\""),
            (r#"{"on":"sts","fault":"latency","delay":"2"}"#, "write it like"),
            (r#"{"on":"sts","fault":"reset","delay":"2s"}"#, "`delay` has no meaning for the fault `reset`"),
            (r#"{"on":"sts","fault":"reset","status":500}"#, "`status` has no meaning"),
            (r#"{"on":"sts","fault":"error","status":404}"#, "`error` takes 500 to 599"),
            (r#"{"on":"sts","fault":"html","status":204}"#, "is not an error"),
            (r#"{"on":"sts","fault":"skew"}"#, "\"-20m\""),
            (r#"{"on":"cos","fault":"skew","by":"-500000h"}"#, "ten years at most"),
            (r#"{"on":"sts","fault":"skew","by":"-2562047788015215h"}"#, "ten years at most"),
            (r#"{"on":"cos","fault":"lifetime","lasts":"90s"}"#, "\"on\": \"sts\""),
            (r#"{"on":"sts","fault":"reset","share":0}"#, "more than 0"),
            (r#"{"on":"sts","fault":"reset","share":1.5}"#, "at most 1"),
            (r#"{"on":"sts","fault":"reset","action":"PutObject"}"#, "it has GetFederationToken"),
            (r#"{"on":"cos","fault":"reset","action":"name/cos:PutObject"}"#, "did you mean `PutObject`?"),
            (r#"{"on":"cos","fault":"reset","action":"Putobject"}"#, "did you mean `PutObject`?"),
            (r#"{"on":"cos","fault":"reset","action":"Nope"}"#, "it has GetBucket, "),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
