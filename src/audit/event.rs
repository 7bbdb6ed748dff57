//! The events of the audit log, and their lines.
//!
//! An event holds names, times and addresses; of a credential only its id, which opens nothing. The principal of a
//! token is named only once the token was verified.

use std::{collections::BTreeMap, fmt::Write, net::IpAddr, sync::Arc};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::{request::RequestContext, sts::TemporaryCredential};
use diagnostics::is_misleading;
use templates::{Grant, TemplateSet, identity::Principal};

/// What happened. The fields are those of the line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// The service starts to serve.
    Start { version: &'static str, template_set: String, templates: BTreeMap<String, String> },
    /// The service has stopped. It is the last line of a run.
    Stop {},
    /// STS issued a credential.
    Issue {
        /// `fetched` for a request, `refreshed` before it expires, `canary` for a synthetic identity.
        outcome: &'static str,
        /// The request that caused the call to STS; none for the canary.
        #[serde(flatten)]
        context: Option<RequestContext>,
        #[serde(flatten)]
        key: IssuedKey,
    },
    /// A request was served a credential that another request had caused.
    Serve {
        /// The outcome of the request, like `hit`.
        outcome: &'static str,
        /// The request that was served.
        #[serde(flatten)]
        context: RequestContext,
        #[serde(flatten)]
        key: IssuedKey,
    },
    /// A request was refused.
    Refusal(Refused),
    /// The templates' folder was reloaded, or could not be.
    Reload {
        /// `loaded`, `unchanged` or `refused`.
        outcome: &'static str,
        /// The cause of the reload.
        by: ReloadedBy,
        /// The client of the operators' listener that requested it.
        #[serde(skip_serializing_if = "Option::is_none")]
        client: Option<IpAddr>,
        template_set: String,
        templates: BTreeMap<String, String>,
        /// The changes by template.
        changes: BTreeMap<String, String>,
        /// The reasons why the folder was refused.
        problems: Vec<String>,
    },
    /// An operator revoked or restored a user.
    Revoke {
        /// `revoked`, `already_revoked` or `restored`.
        outcome: &'static str,
        /// The client of the operators' listener that requested it.
        client: Option<IpAddr>,
        /// The revoked or restored user.
        #[serde(flatten)]
        principal: AuditPrincipal,
        /// When the last of the user's active credentials expires.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_last_at: Option<Timestamp>,
    },
    /// Refusals above the rate limit of the log, which have no lines of their own.
    Suppressed {
        /// The outcome of these refusals; for an invalid token, the cause.
        kind: String,
        refusals: u64,
    },
    /// Lines between the one before and this one were lost.
    Lost { lines: u64 },
}

/// The event of a refused request.
#[derive(Debug, Serialize)]
pub(crate) struct Refused {
    /// The name of the refusal.
    pub(crate) outcome: &'static str,
    pub(crate) status: u16,
    /// The cause, which the response may not state.
    pub(crate) cause: String,
    #[serde(flatten)]
    pub(crate) context: RequestContext,
    /// The principal, if the token was verified.
    #[serde(flatten)]
    pub(crate) principal: Option<AuditPrincipal>,
    /// The requested template, if it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) template: Option<String>,
}

/// A principal, written as `issuer` and `subject`.
#[derive(Debug)]
pub(crate) struct AuditPrincipal(Principal);

/// The cause of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReloadedBy {
    Folder,
    /// The process received SIGHUP.
    Signal,
    /// An operator called `POST /api/reload`.
    Api,
}

/// An issued credential, without its secrets.
#[derive(Debug)]
pub(crate) struct IssuedKey {
    grant: Arc<Grant>,
    key_id: String,
    expires_at: Timestamp,
    /// The request id of the call to STS; none where the line is not about that call.
    sts_request_id: Option<String>,
}

/// The fields of an [`IssuedKey`] in every line.
#[derive(Serialize)]
struct KeyFields<'a> {
    issuer: &'a str,
    subject: &'a str,
    template: &'a str,
    grant_id: String,
    key_id: &'a str,
    expires_at: String,
    #[serde(flatten)]
    issue: Option<IssueFields<'a>>,
}

/// The fields that only an `issue` line has.
#[derive(Serialize)]
struct IssueFields<'a> {
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
    /// Returns the first event of a run.
    pub(crate) fn start(active: &TemplateSet) -> Self {
        Self::Start {
            version: env!("CARGO_PKG_VERSION"),
            template_set: active.version().short().to_string(),
            templates: versions(active),
        }
    }

    /// Returns the event of a call to STS that issued `key`.
    pub(crate) fn issue(
        outcome: &'static str,
        context: Option<RequestContext>,
        grant: &Arc<Grant>,
        key: &TemporaryCredential,
    ) -> Self {
        let sts_request_id = Some(key.request_id.clone());
        let key = IssuedKey { sts_request_id, ..IssuedKey::new(grant, &key.secret_id, key.expires_at) };
        Self::Issue { outcome, context, key }
    }

    /// Returns the event of a request that was served from the cache or shared a call to STS.
    pub(crate) fn serve(
        outcome: &'static str,
        context: RequestContext,
        grant: &Arc<Grant>,
        key_id: &str,
        expires_at: Timestamp,
    ) -> Self {
        Self::Serve { outcome, context, key: IssuedKey::new(grant, key_id, expires_at) }
    }

    /// Returns the event of a revocation or restoration.
    pub(crate) fn revoke(
        outcome: &'static str,
        principal: Principal,
        client: Option<IpAddr>,
        expires_last_at: Option<Timestamp>,
    ) -> Self {
        Self::Revoke { outcome, client, principal: principal.into(), expires_last_at }
    }

    /// Returns the kind by which refusals are rate limited, so that many of one kind do not hide others. Kinds come
    /// from closed sets: the cause of a 401 is an `identity::Rejection`.
    pub(super) fn flood_kind(&self) -> Option<&str> {
        match self {
            Self::Refusal(refused) if refused.status == 401 => Some(&refused.cause),
            Self::Refusal(refused) => Some(refused.outcome),
            _ => None,
        }
    }

    /// Returns whether it may use the reserved part of the queue: it is not one that each request may cause.
    pub(super) fn may_use_reserve(&self) -> bool {
        !matches!(self, Self::Serve { .. } | Self::Refusal(_))
    }

    /// All values of [`Event::name`].
    pub(super) const NAMES: [&'static str; 9] =
        ["start", "stop", "issue", "serve", "refusal", "reload", "revoke", "suppressed", "lost"];

    /// Returns the `event` field of the line.
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

    /// Returns the line, with its newline.
    pub(super) fn line(&self, at: Timestamp) -> Vec<u8> {
        // Strings and numbers in structs always serialise.
        let json = serde_json::to_string(&Line { time: format!("{at:.3}"), event: self }).unwrap_or_default();
        // Nearly every line is printable ASCII, in which nothing is misleading.
        let is_plain = json.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let mut line = if is_plain { json } else { escape_misleading(&json) };
        line.push('\n');
        line.into_bytes()
    }
}

/// Escapes the misleading characters of JSON. They stand only in strings, where JSON allows an escape.
fn escape_misleading(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_misleading(c) {
            // Four digits are enough for all. Writing to a string never fails.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn versions(templates: &TemplateSet) -> BTreeMap<String, String> {
    templates.versions().map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
}

impl IssuedKey {
    fn new(grant: &Arc<Grant>, key_id: &str, expires_at: Timestamp) -> Self {
        Self { grant: Arc::clone(grant), key_id: key_id.to_owned(), expires_at, sts_request_id: None }
    }
}

impl Serialize for IssuedKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { grant, key_id, expires_at, sts_request_id } = self;
        let issue = sts_request_id.as_deref().map(|sts_request_id| IssueFields {
            sts_request_id,
            template_version: grant.template_version(),
            policy_sha256: hex::encode(Sha256::digest(grant.policy().wire())),
            bucket: &grant.bucket().name,
            region: &grant.bucket().region,
            prefix: grant.home(),
            scoped: grant.is_narrowed(),
        });
        KeyFields {
            issuer: grant.principal().issuer(),
            subject: grant.principal().subject(),
            template: grant.template_name(),
            grant_id: grant.id().to_string(),
            key_id,
            expires_at: expires_at.to_string(),
            issue,
        }
        .serialize(serializer)
    }
}

impl From<Principal> for AuditPrincipal {
    fn from(principal: Principal) -> Self {
        Self(principal)
    }
}

impl Serialize for AuditPrincipal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            issuer: &'a str,
            subject: &'a str,
        }
        Fields { issuer: self.0.issuer(), subject: self.0.subject() }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_to_every_reader_and_keeps_every_character() {
        let odd = "a\n\u{85}\u{2028}\u{202e}\u{9b}31m\u{7f}\"\\密钥😀";
        let event = Event::revoke("revoked", Principal::new("https://id.test/", odd), None, None);
        let line = String::from_utf8(event.line(Timestamp::UNIX_EPOCH)).unwrap();
        let shown = line.strip_suffix('\n').unwrap();
        assert!(!shown.chars().any(is_misleading), "{shown}");
        assert!(shown.contains("密钥😀"), "{shown}");
        let read: serde_json::Value = serde_json::from_str(shown).unwrap();
        assert_eq!(read["subject"], odd);
        assert!(
            shown.starts_with(r#"{"time":"1970-01-01T00:00:00.000Z","event":"revoke","outcome":"revoked""#)
        );
    }

    #[test]
    fn the_principal_of_an_unverified_token_is_not_in_the_line() {
        let refused = Refused {
            outcome: "unauthenticated",
            status: 401,
            cause: "bad signature".to_owned(),
            context: RequestContext { client: "10.1.2.3".parse().ok(), ..RequestContext::for_tests(0x0f) },
            principal: None,
            template: None,
        };
        let line = String::from_utf8(Event::Refusal(refused).line(Timestamp::UNIX_EPOCH)).unwrap();
        assert_eq!(
            line,
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"event\":\"refusal\",\"outcome\":\"unauthenticated\",\
             \"status\":401,\"cause\":\"bad signature\",\"request_id\":\"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f\",\"client\":\"10.1.2.3\"}\n"
        );
    }
}
