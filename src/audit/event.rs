//! What can be told, and how its line reads.
//!
//! Holds names, times and addresses; of a key only its id, which opens nothing. Who a token says it is of
//! stands here only once the token was verified.

use std::{collections::BTreeMap, fmt::Write, net::IpAddr, sync::Arc};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::{sts::TemporaryCredential, telemetry::TraceContext};
use diagnostics::{misleads, one_line};
use templates::{Grant, TemplateSet, identity::Principal};

/// What happened. The fields are those of the line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// The service serves from here on.
    Start {
        /// The program's version.
        version: &'static str,
        /// The set's version.
        template_set: String,
        /// Each template's version.
        templates: BTreeMap<String, String>,
    },
    /// The service has stopped; nothing of this run comes after.
    Stop {},
    /// STS made a key.
    Issue {
        /// `fetched` for somebody who waits, `refreshed` ahead of need, `canary` for nobody.
        outcome: &'static str,
        /// The ask that made it necessary.
        #[serde(flatten)]
        context: RequestContext,
        /// The key.
        #[serde(flatten)]
        key: KeyOut,
    },
    /// A key was handed out again, or to somebody else than who had STS make it.
    Serve {
        /// How it was come by.
        outcome: &'static str,
        /// Who sent for it.
        #[serde(flatten)]
        context: RequestContext,
        /// The key.
        #[serde(flatten)]
        key: KeyOut,
    },
    /// An ask was refused.
    Refusal(Refused),
    /// The templates' folder was loaded anew, or could not be.
    Reload {
        /// `loaded`, `unchanged` or `refused`.
        outcome: &'static str,
        /// Why it was tried.
        by: ReloadedBy,
        /// Who asked over the operators' listener.
        #[serde(skip_serializing_if = "Option::is_none")]
        client: Option<IpAddr>,
        /// The version of the set that serves now.
        template_set: String,
        /// Each template's version now.
        templates: BTreeMap<String, String>,
        /// What changed, template by template.
        changes: BTreeMap<String, String>,
        /// Why the folder does not serve, if it does not.
        problems: Vec<String>,
    },
    /// An operator stops, or again allows, a user to be served.
    Revoke {
        /// `revoked`, `already_revoked` or `restored`.
        outcome: &'static str,
        /// Who asked over the operators' listener.
        client: Option<IpAddr>,
        /// Who.
        #[serde(flatten)]
        principal: Whose,
        /// Until when the keys already out live.
        #[serde(skip_serializing_if = "Option::is_none")]
        keys_live_until: Option<Timestamp>,
    },
    /// Refusals beyond the rate, which have no lines of their own.
    Suppressed {
        /// Their outcome; for a token that is not believed, the cause.
        kind: String,
        /// How many.
        refusals: u64,
    },
    /// Lines that could not be written, somewhere between the line before and this one.
    Lost {
        /// How many.
        lines: u64,
    },
}

/// Which request, and who sent it.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestContext {
    /// The answer's `X-Request-Id`.
    #[serde(serialize_with = "as_text")]
    pub request_id: Arc<str>,
    /// The peer, or whom trusted proxies name.
    pub client: Option<IpAddr>,
    /// The trace it is part of, if its sender names one or it is sampled.
    #[serde(rename = "traceId", serialize_with = "trace_id", skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

/// An ask that was refused.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// The name of the refusal.
    pub outcome: &'static str,
    /// The answer's status.
    pub status: u16,
    /// What the asker may not have been told.
    pub cause: String,
    /// Who sent it.
    #[serde(flatten)]
    pub context: RequestContext,
    /// Who asked, by a verified token.
    #[serde(flatten)]
    pub principal: Option<Whose>,
    /// The template asked for, if there is one of that name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// Somebody, as a line names them.
#[derive(Debug)]
pub struct Whose(Principal);

/// Why templates were loaded anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReloadedBy {
    /// The folder changed.
    Folder,
    /// SIGHUP.
    Signal,
    /// `POST /api/reload`.
    Api,
}

/// A key that is out.
#[derive(Debug)]
pub struct KeyOut {
    grant: Arc<Grant>,
    key_id: String,
    expires: Timestamp,
    /// STS's name for the call, where the line is about that call.
    made_by: Option<String>,
}

/// Each line says who, what and until when; the line of its making also says what it may do.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyLine<'a> {
    issuer: &'a str,
    subject: &'a str,
    template: &'a str,
    grant_id: String,
    key_id: &'a str,
    expires: String,
    #[serde(flatten)]
    made: Option<MadeLine<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MadeLine<'a> {
    sts_request_id: &'a str,
    template_version: String,
    policy_sha256: String,
    bucket: &'a str,
    region: &'a str,
    prefix: &'a str,
    scoped: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

impl Event {
    /// The service serves from here on.
    pub fn start(serving: &TemplateSet) -> Self {
        Self::Start {
            version: env!("CARGO_PKG_VERSION"),
            template_set: serving.version().short().to_string(),
            templates: versions(serving),
        }
    }

    /// STS made a key.
    pub fn issue(
        outcome: &'static str,
        context: RequestContext,
        grant: &Arc<Grant>,
        key: &TemporaryCredential,
    ) -> Self {
        let made_by = Some(key.request_id.clone());
        Self::Issue { outcome, context, key: KeyOut { made_by, ..KeyOut::new(grant, key) } }
    }

    /// A key was handed out that another ask had STS make.
    pub fn serve(
        outcome: &'static str,
        context: RequestContext,
        grant: &Arc<Grant>,
        key: &TemporaryCredential,
    ) -> Self {
        Self::Serve { outcome, context, key: KeyOut::new(grant, key) }
    }

    /// An operator stopped, or again allowed, somebody to be served.
    pub fn revoke(
        outcome: &'static str,
        principal: Principal,
        client: Option<IpAddr>,
        keys_live_until: Option<Timestamp>,
    ) -> Self {
        Self::Revoke { outcome, client, principal: principal.into(), keys_live_until }
    }

    /// What kind of flood it may be part of: refusals of one kind do not hide another's. Kinds come from
    /// closed sets; a 401's cause is one of `identity::Rejection`.
    pub(super) fn flood(&self) -> Option<&str> {
        match self {
            Self::Refusal(refused) if refused.status == 401 => Some(&refused.cause),
            Self::Refusal(refused) => Some(refused.outcome),
            _ => None,
        }
    }

    /// Every [`Event::name`].
    pub(super) const NAMES: [&'static str; 9] =
        ["start", "stop", "issue", "serve", "refusal", "reload", "revoke", "suppressed", "lost"];

    /// As the line's `event`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Stop {} => "stop",
            Self::Issue { .. } => "issue",
            Self::Serve { .. } => "serve",
            Self::Refusal(_) => "refusal",
            Self::Reload { .. } => "reload",
            Self::Revoke { .. } => "revoke",
            Self::Suppressed { .. } => "suppressed",
            Self::Lost { .. } => "lost",
        }
    }

    /// The line, with its end.
    pub(super) fn line(&self, at: Timestamp) -> Vec<u8> {
        // Strings and numbers in structs always serialize.
        let json = serde_json::to_string(&Line { time: format!("{at:.3}"), event: self }).unwrap_or_default();
        let mut line = String::with_capacity(json.len() + 1);
        for c in json.chars() {
            // Only texts hold such characters, and there JSON may write them so. Four digits are enough for all.
            if misleads(c) {
                // Writing to a string never fails.
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            } else {
                line.push(c);
            }
        }
        line.push('\n');
        line.into_bytes()
    }
}

#[expect(clippy::ref_option, reason = "serde hands it over so")]
fn trace_id<S: Serializer>(trace: &Option<TraceContext>, serializer: S) -> Result<S::Ok, S::Error> {
    match trace {
        Some(trace) => serializer.collect_str(&trace.trace_id()),
        None => serializer.serialize_none(),
    }
}

fn as_text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

fn versions(serving: &TemplateSet) -> BTreeMap<String, String> {
    serving.versions().map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
}

impl KeyOut {
    fn new(grant: &Arc<Grant>, key: &TemporaryCredential) -> Self {
        Self { grant: Arc::clone(grant), key_id: key.secret_id.clone(), expires: key.expires, made_by: None }
    }
}

impl Serialize for KeyOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { grant, key_id, expires, made_by } = self;
        let made = made_by.as_deref().map(|sts_request_id| MadeLine {
            sts_request_id,
            template_version: grant.template_version(),
            policy_sha256: hex::encode(Sha256::digest(grant.policy().wire())),
            bucket: &grant.bucket().name,
            region: &grant.bucket().region,
            prefix: grant.home(),
            scoped: grant.is_narrowed(),
        });
        KeyLine {
            issuer: grant.principal().issuer(),
            subject: grant.principal().subject(),
            template: grant.template_name(),
            grant_id: grant.id().to_string(),
            key_id,
            expires: expires.to_string(),
            made,
        }
        .serialize(serializer)
    }
}

impl From<Principal> for Whose {
    fn from(principal: Principal) -> Self {
        Self(principal)
    }
}

impl Serialize for Whose {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct WhoseLine<'a> {
            issuer: &'a str,
            subject: &'a str,
        }
        WhoseLine { issuer: self.0.issuer(), subject: self.0.subject() }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_to_every_reader_and_says_exactly_what_was_said() {
        let odd = "a\n\u{85}\u{2028}\u{202e}\u{9b}31m\u{7f}\"\\密钥😀";
        let event = Event::revoke("revoked", Principal::new("https://id.test/", odd), None, None);
        let line = String::from_utf8(event.line(Timestamp::UNIX_EPOCH)).unwrap();
        let shown = line.strip_suffix('\n').unwrap();
        assert!(!shown.chars().any(misleads), "{shown}");
        assert!(shown.contains("密钥😀"), "{shown}");
        let read: serde_json::Value = serde_json::from_str(shown).unwrap();
        assert_eq!(read["subject"], odd);
        assert!(
            shown.starts_with(r#"{"time":"1970-01-01T00:00:00.000Z","event":"revoke","outcome":"revoked""#)
        );
    }

    #[test]
    fn who_an_unverified_token_speaks_of_has_no_place_in_its_line() {
        let refused = Refused {
            outcome: "unauthenticated",
            status: 401,
            cause: "bad signature".to_owned(),
            context: RequestContext { request_id: "r".into(), client: "10.1.2.3".parse().ok(), trace: None },
            principal: None,
            template: None,
        };
        let line = String::from_utf8(Event::Refusal(refused).line(Timestamp::UNIX_EPOCH)).unwrap();
        assert_eq!(
            line,
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"event\":\"refusal\",\"outcome\":\"unauthenticated\",\
             \"status\":401,\"cause\":\"bad signature\",\"requestId\":\"r\",\"client\":\"10.1.2.3\"}\n"
        );
    }
}
