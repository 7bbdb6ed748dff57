//! Who signed a request, and whether that key's policy lets it through.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{call::Call, refusal::Refusal};
use crate::{Account, SessionKey};
use cam::{Policy, evaluate};
use tencent_sign::cos::{Authorization, Request, Window};

/// How far a signature may begin in the future, in seconds.
const SKEW: i64 = 900;

/// Knows the account's keys, and those that its STS made.
#[derive(Debug)]
pub(super) struct Authority {
    account: Account,
    sessions: Arc<SessionKey>,
}

/// Whoever holds the key that signed.
#[derive(Debug)]
pub(super) enum Caller {
    /// The account itself, which may do anything.
    Account,
    /// The holder of a temporary key, who may do what its policy allows.
    Holder(Policy),
}

/// What a client says of the key it signs with.
pub(super) struct Claimed<'a> {
    pub(super) secret_id: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) window: Window,
}

impl Authority {
    pub(super) fn new(account: Account, sessions: Arc<SessionKey>) -> Self {
        Self { account, sessions }
    }

    /// Who signed a request, in its header or in its query.
    pub(super) fn signer(&self, call: &Call) -> Result<Caller, Refusal> {
        let authorization = match call.header("authorization").filter(|header| !header.is_empty()) {
            Some(header) => Authorization::parse(header)?,
            None if call.parameter("q-signature").is_some() => {
                Authorization::from_fields(|name| call.parameter(name))?
            }
            None => return Err(Refusal::AccessDenied("the request is not signed".to_owned())),
        };
        let claimed = Claimed {
            secret_id: &authorization.secret_id,
            token: call.header("x-cos-security-token").or_else(|| call.parameter("x-cos-security-token")),
            window: authorization.window.intersection(authorization.key_window),
        };
        self.holder(&claimed, call.at, |secret_key| {
            signed_forms(call).any(|(path, headers)| {
                let (method, parameters) = (call.method.as_str(), call.query.as_slice());
                authorization.verify(secret_key, &Request { method, path, parameters, headers: &headers })
            })
        })
    }

    /// Who holds the key, if the signature is by it and both are in time.
    pub(super) fn holder(
        &self,
        claimed: &Claimed<'_>,
        now: Timestamp,
        is_signed_by: impl FnOnce(&str) -> bool,
    ) -> Result<Caller, Refusal> {
        let now = now.as_second();
        if claimed.window.from > now + SKEW {
            return Err(Refusal::RequestTimeTooSkewed);
        }
        if claimed.window.until < now {
            return Err(Refusal::Expired);
        }
        let Some(token) = claimed.token.filter(|token| !token.is_empty()) else {
            if claimed.secret_id != self.account.secret_id {
                return Err(Refusal::InvalidAccessKeyId);
            }
            let signed = is_signed_by(&self.account.secret_key);
            return if signed { Ok(Caller::Account) } else { Err(Refusal::SignatureDoesNotMatch) };
        };
        let session = self.sessions.open(token).filter(|session| session.secret_id == claimed.secret_id);
        let session = session.ok_or(Refusal::InvalidAccessKeyId)?;
        if !is_signed_by(&self.sessions.secret_of(&session.secret_id)) {
            return Err(Refusal::SignatureDoesNotMatch);
        }
        if session.expires <= now {
            return Err(Refusal::ExpiredToken);
        }
        let policy = Policy::parse(session.policy.as_bytes());
        Ok(Caller::Holder(policy.map_err(|error| Refusal::AccessDenied(error.to_string()))?))
    }
}

impl Caller {
    /// Lets an action on a resource through, or not.
    pub(super) fn may(
        &self,
        action: &str,
        resource: &str,
        context: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        let Self::Holder(policy) = self else { return Ok(()) };
        let context = context.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let decision = evaluate::evaluate(policy, &evaluate::Request { action, resource, context });
        if decision.is_allowed() {
            return Ok(());
        }
        Err(Refusal::AccessDenied(format!("{action} on {resource}: {decision}")))
    }
}

/// What the clients take for the path and the host: where the path names the bucket, the Python SDK signs
/// the key only, and it signs a host without its port (`cos_auth.py`); the JS SDK signs both as they are sent.
fn signed_forms(call: &Call) -> impl Iterator<Item = (&str, Vec<(String, String)>)> {
    let key =
        call.path.len().checked_sub(call.address.key.len() + 1).and_then(|start| call.path.get(start..));
    let paths = [Some(call.path.as_str()), key.filter(|key| *key != call.path)];
    let without_port = |(name, value): &(String, String)| {
        let host = value.rsplit_once(':').filter(|_| name == "host").map_or(value.as_str(), |(host, _)| host);
        (name.clone(), host.to_owned())
    };
    paths.into_iter().flatten().flat_map(move |path| {
        let portless = call.headers.iter().map(without_port).collect();
        [(path, call.headers.clone()), (path, portless)]
    })
}
