//! A fault as developers write it, and what that means once it is checked.

use std::{num::NonZeroU32, time::Duration};

use actix_web::http::StatusCode;
use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::cos;
use diagnostics::{HumanDuration, SignedHumanDuration, nearest};

/// What is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Target {
    Sts,
    Cos,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The answer comes late.
    Latency(Duration),
    /// Too many requests, in the service's own words.
    Throttle,
    /// A failure inside the service.
    Error(StatusCode),
    /// A page of some gateway's.
    Html(StatusCode),
    /// Half of the real answer.
    Truncated,
    /// No answer: the connection is reset.
    Reset,
    /// The service's clock is off.
    Skew(SignedDuration),
    /// Keys live no longer than this.
    Lifetime(Duration),
}

/// A fault that can strike; written as its [`Rule`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Rule", into = "Rule")]
pub(super) struct Fault {
    rule: Rule,
    kind: Kind,
}

/// The JSON of a fault. All kinds share one shape, so that a word too many is told by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    on: Target,
    fault: Name,
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
enum Name {
    Latency,
    Throttle,
    Error,
    Html,
    Truncated,
    Reset,
    Skew,
    Lifetime,
}

/// How far a clock can be off: ten years.
const FARTHEST_OFF: SignedDuration = SignedDuration::from_hours(87_600);

/// The actions of STS that the emulator knows.
const STS_ACTIONS: [&str; 2] = ["GetFederationToken", "AssumeRole"];

impl Fault {
    /// Whether it is meant for such a request.
    pub(super) fn means(&self, target: Target, action: Option<&str>) -> bool {
        self.rule.on == target && self.rule.action.as_deref().is_none_or(|named| Some(named) == action)
    }

    /// How often it strikes; until it is removed, if that is not said.
    pub(super) fn times(&self) -> Option<u32> {
        self.rule.times.map(NonZeroU32::get)
    }

    /// Of the requests it is meant for, how many it strikes.
    pub(super) fn share(&self) -> f64 {
        self.rule.share.unwrap_or(1.0)
    }

    /// What goes wrong.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }
}

impl From<Fault> for Rule {
    fn from(fault: Fault) -> Self {
        fault.rule
    }
}

impl TryFrom<Rule> for Fault {
    type Error = String;

    fn try_from(rule: Rule) -> Result<Self, String> {
        rule.says_nothing_beside_its_kind()?;
        if let Some(share) = rule.share.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
            return Err(format!("`share` is {share}; it is more than 0 and at most 1"));
        }
        if let Some(action) = &rule.action {
            is_action(rule.on, action)?;
        }
        let kind = rule.kind()?;
        Ok(Self { rule, kind })
    }
}

impl Rule {
    fn says_nothing_beside_its_kind(&self) -> Result<(), String> {
        let spoken = [
            ("delay", self.delay.is_some(), &[Name::Latency][..]),
            ("status", self.status.is_some(), &[Name::Error, Name::Html]),
            ("by", self.by.is_some(), &[Name::Skew]),
            ("lasts", self.lasts.is_some(), &[Name::Lifetime]),
        ];
        let stray = spoken.into_iter().find(|(_, said, kinds)| *said && !kinds.contains(&self.fault));
        stray.map_or(Ok(()), |(field, ..)| {
            Err(format!("`{field}` means nothing to the fault `{}`; leave it out", self.fault.written()))
        })
    }

    fn kind(&self) -> Result<Kind, String> {
        let needs = |field, example| {
            format!("`{}` needs `{field}`, such as \"{field}\": {example}", self.fault.written())
        };
        Ok(match self.fault {
            Name::Latency => Kind::Latency(self.delay.ok_or_else(|| needs("delay", "\"2s\""))?.0),
            Name::Throttle => Kind::Throttle,
            Name::Error => {
                Kind::Error(status(self.status.unwrap_or(503), |code| (500..600).contains(&code))?)
            }
            Name::Html => Kind::Html(status(self.status.unwrap_or(502), |code| {
                code == 200 || (400..600).contains(&code)
            })?),
            Name::Truncated => Kind::Truncated,
            Name::Reset => Kind::Reset,
            Name::Skew => Kind::Skew(skew(self.by.ok_or_else(|| needs("by", "\"-20m\""))?)?),
            Name::Lifetime if self.on == Target::Cos => {
                return Err("`lifetime` is for \"on\": \"sts\", which makes the keys".to_owned());
            }
            Name::Lifetime => Kind::Lifetime(self.lasts.ok_or_else(|| needs("lasts", "\"90s\""))?.0),
        })
    }
}

impl Name {
    fn written(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Throttle => "throttle",
            Self::Error => "error",
            Self::Html => "html",
            Self::Truncated => "truncated",
            Self::Reset => "reset",
            Self::Skew => "skew",
            Self::Lifetime => "lifetime",
        }
    }
}

/// A number of times, told in words where it is none: serde speaks of "a nonzero u32".
fn times<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NonZeroU32>, D::Error> {
    let wrong = |_| D::Error::custom("`times` is how often it strikes: a whole number from 1");
    NonZeroU32::deserialize(from).map(Some).map_err(wrong)
}

fn status(code: u16, fits: impl Fn(u16) -> bool) -> Result<StatusCode, String> {
    StatusCode::from_u16(code).ok().filter(|_| fits(code)).ok_or_else(|| {
        format!("the status {code} is no failure; `error` takes 500 to 599, `html` also 200 and 400 to 499")
    })
}

/// As far as the sandbox's clock itself goes: what lies before 1970 cannot be written in a `Date`.
fn skew(by: SignedHumanDuration) -> Result<SignedDuration, String> {
    if by.0.abs() > FARTHEST_OFF {
        return Err(format!("`by` is {by}; a clock is off by ten years at most, \"87600h\" or \"-87600h\""));
    }
    Ok(by.0)
}

/// A name that no request has would wait in vain.
fn is_action(on: Target, action: &str) -> Result<(), String> {
    match on {
        Target::Sts if STS_ACTIONS.contains(&action) => Ok(()),
        Target::Sts => Err(format!("STS has no action `{action}`; it has {}", STS_ACTIONS.join(" and "))),
        Target::Cos if cos::ACTIONS.contains(&action) => Ok(()),
        Target::Cos => {
            let help = match nearest(action.trim_start_matches("name/cos:"), cos::ACTIONS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it has {}", cos::ACTIONS.join(", ")),
            };
            Err(format!("the sandbox's COS has no action `{action}`; {help}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Fault, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_is_read_and_shown_as_it_was_written() {
        for (text, kind) in [
            (
                r#"{"on":"sts","fault":"latency","delay":"2s","times":3,"share":0.5}"#,
                Kind::Latency(Duration::from_secs(2)),
            ),
            (r#"{"on":"cos","fault":"throttle","action":"UploadPart"}"#, Kind::Throttle),
            (r#"{"on":"cos","fault":"error"}"#, Kind::Error(StatusCode::SERVICE_UNAVAILABLE)),
            (r#"{"on":"sts","fault":"error","status":500}"#, Kind::Error(StatusCode::INTERNAL_SERVER_ERROR)),
            (r#"{"on":"cos","fault":"html"}"#, Kind::Html(StatusCode::BAD_GATEWAY)),
            (r#"{"on":"cos","fault":"html","status":200}"#, Kind::Html(StatusCode::OK)),
            (r#"{"on":"sts","fault":"truncated","action":"AssumeRole"}"#, Kind::Truncated),
            (r#"{"on":"sts","fault":"reset"}"#, Kind::Reset),
            (r#"{"on":"sts","fault":"skew","by":"-20m"}"#, Kind::Skew(SignedDuration::from_mins(-20))),
            (r#"{"on":"sts","fault":"lifetime","lasts":"1m 30s"}"#, Kind::Lifetime(Duration::from_secs(90))),
        ] {
            let fault = read(text).unwrap();
            assert_eq!(fault.kind(), kind, "{text}");
            assert_eq!(serde_json::to_string(&fault).unwrap(), text);
        }
    }

    #[test]
    fn what_cannot_strike_is_refused_with_what_to_write_instead() {
        for (text, told) in [
            ("{}", "missing field `on`"),
            (r#"{"on":"gcs","fault":"reset"}"#, "expected `sts` or `cos`"),
            (r#"{"on":"sts","fault":"rest"}"#, "`reset`"),
            (r#"{"on":"sts","fault":"reset","tims":1}"#, "expected one of"),
            (
                r#"{"on":"sts","fault":"reset","times":0}"#,
                "`times` is how often it strikes: a whole number from 1",
            ),
            (r#"{"on":"sts","fault":"reset","times":"2"}"#, "a whole number from 1"),
            (r#"{"on":"sts","fault":"latency"}"#, "`latency` needs `delay`, such as \"delay\": \"2s\""),
            (r#"{"on":"sts","fault":"latency","delay":"2"}"#, "write it like"),
            (r#"{"on":"sts","fault":"reset","delay":"2s"}"#, "`delay` means nothing to the fault `reset`"),
            (r#"{"on":"sts","fault":"reset","status":500}"#, "`status` means nothing"),
            (r#"{"on":"sts","fault":"error","status":404}"#, "`error` takes 500 to 599"),
            (r#"{"on":"sts","fault":"html","status":204}"#, "no failure"),
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
            let error = read(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
