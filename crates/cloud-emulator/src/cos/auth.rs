//! Checks the signature of a request, and whether the policy of the signing key allows it.

use std::{collections::BTreeMap, fmt::Display, sync::Arc};

use jiff::Timestamp;

use super::{emulator::CosEmulator, error::CosError, request::CosRequest};
use crate::{account::Account, account_policies::AccountDecision, session::SessionKey};
use cam::{Policy, evaluate};
use tencent_sign::cos::{Authorization, Request, Window};

/// How far in the future a signature may become valid.
const MAX_CLOCK_SKEW_SECONDS: i64 = 900;

/// Knows the account's permanent keys and the temporary keys of the emulated STS.
#[derive(Debug)]
pub(super) struct Authenticator {
    account: Account,
    session_key: Arc<SessionKey>,
}

/// Who signed a request.
#[derive(Debug)]
pub(super) enum Caller {
    /// The account itself, which may do anything.
    Account,
    /// The holder of a temporary key with this policy.
    TemporaryKey(Policy),
}

/// What a request says about its key, not verified yet.
pub(super) struct ClaimedKey<'a> {
    pub(super) secret_id: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) window: Window,
}

impl Authenticator {
    pub(super) fn new(account: Account, session_key: Arc<SessionKey>) -> Self {
        Self { account, session_key }
    }

    /// Returns who signed a request in its header or its query.
    pub(super) fn authenticate(&self, request: &CosRequest) -> Result<Caller, CosError> {
        let authorization = match request.header("authorization").filter(|header| !header.is_empty()) {
            Some(header) => Authorization::parse(header)?,
            None if request.parameter("q-signature").is_some() => {
                Authorization::from_fields(|name| request.parameter(name))?
            }
            // The older form, with the whole authorization in one parameter (docs 436/36162).
            None => match request.parameter("sign") {
                Some(authorization) => Authorization::parse(authorization)?,
                None => return Err(CosError::AccessDenied("the request is not signed".to_owned())),
            },
        };
        self.signer(&authorization, request)
    }

    /// Returns who signed a request with this authorization.
    pub(super) fn signer(
        &self,
        authorization: &Authorization,
        request: &CosRequest,
    ) -> Result<Caller, CosError> {
        let claimed = ClaimedKey {
            secret_id: &authorization.secret_id,
            token: request
                .header("x-cos-security-token")
                .or_else(|| request.parameter("x-cos-security-token")),
            window: authorization.window.intersection(authorization.key_window),
        };
        self.caller(&claimed, request.received_at, |secret_key| {
            let (method, parameters) = (request.method.as_str(), request.query.as_slice());
            let is_signed = signed_forms(request).any(|(path, headers)| {
                authorization.verify(secret_key, &Request { method, path, parameters, headers: &headers })
            });
            let (path, headers) = (&request.signed_path, &request.headers);
            let sent = Request { method, path, parameters, headers };
            if is_signed { Ok(()) } else { Err(CosError::WrongSignature(authorization.signed_text(&sent))) }
        })
    }

    /// Returns who holds the claimed key, if the signature is by it and both are valid now.
    pub(super) fn caller(
        &self,
        claimed: &ClaimedKey<'_>,
        now: Timestamp,
        check_signature: impl FnOnce(&str) -> Result<(), CosError>,
    ) -> Result<Caller, CosError> {
        let now = now.as_second();
        if claimed.window.from > now + MAX_CLOCK_SKEW_SECONDS {
            return Err(CosError::RequestTimeTooSkewed);
        }
        if claimed.window.until < now {
            return Err(CosError::Expired);
        }
        let Some(token) = claimed.token.filter(|token| !token.is_empty()) else {
            if claimed.secret_id != self.account.secret_id {
                return Err(CosError::InvalidAccessKeyId);
            }
            check_signature(&self.account.secret_key)?;
            return Ok(Caller::Account);
        };
        let session = self.session_key.open(token).filter(|session| session.secret_id == claimed.secret_id);
        let session = session.ok_or(CosError::InvalidAccessKeyId)?;
        check_signature(&self.session_key.secret_of(&session.secret_id))?;
        if session.expires_at <= now {
            return Err(CosError::ExpiredToken);
        }
        let policy = Policy::parse(session.policy.as_bytes());
        Ok(Caller::TemporaryKey(policy.map_err(|error| CosError::AccessDenied(error.to_string()))?))
    }
}

impl CosEmulator {
    /// Refuses an action on a resource, unless the caller's policy and the account's policies allow it and the bucket's
    /// policy does not deny it.
    pub(super) fn authorize(
        &self,
        caller: &Caller,
        action: &str,
        resource: &str,
        context: &BTreeMap<String, String>,
    ) -> Result<(), CosError> {
        let context = context.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let request = evaluate::Request { action, resource, context };
        if self.bucket_policies.denies(&request) {
            return Err(denied(&request, "the bucket's policy denies it"));
        }
        let Caller::TemporaryKey(policy) = caller else { return Ok(()) };
        let decision = evaluate::evaluate(policy, &request);
        if !decision.is_allowed() {
            return Err(denied(&request, decision));
        }
        match self.account_policies.decide(&request) {
            AccountDecision::Allowed => Ok(()),
            refused => Err(denied(&request, refused)),
        }
    }
}

fn denied(request: &evaluate::Request<'_>, why: impl Display) -> CosError {
    CosError::AccessDenied(format!("{} on {}: {why}", request.action, request.resource))
}

/// Returns the paths and headers that clients may have signed. With the bucket in the path, the Python SDK signs
/// the key only, and the host without its port (`cos_auth.py`); the JS SDK signs both as they are sent.
fn signed_forms(request: &CosRequest) -> impl Iterator<Item = (&str, Vec<(String, String)>)> {
    let whole = request.signed_path.as_str();
    let key_start = whole.len().checked_sub(request.address.key.len() + 1);
    let key_path = key_start.and_then(|start| whole.get(start..));
    let paths = [Some(whole), key_path.filter(|path| *path != whole)];
    paths.into_iter().flatten().flat_map(move |path| {
        let without_port = request.headers.iter().map(without_port).collect();
        [(path, request.headers.clone()), (path, without_port)]
    })
}

/// Removes the port from the header `host`.
fn without_port((name, value): &(String, String)) -> (String, String) {
    let host = value.rsplit_once(':').filter(|_| name == "host").map_or(value.as_str(), |(host, _)| host);
    (name.clone(), host.to_owned())
}
