//! The STS emulator, as strict as Tencent's STS: it checks signature, clock, parameters, and the policy's syntax
//! and size, and answers with Tencent's own error codes (`docs/understand/tencent.md`; SDK errorcodes.py).
//!
//! A request is signed with TC3 or with the older v1. Each gives an [`AuthenticatedCall`], and from there on the
//! signature version makes no difference.

mod action;
mod auth;
mod error;
mod parameters;
mod policy;
mod tc3;
mod v1;

use std::{
    fmt::Display,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use actix_web::{
    HttpRequest, HttpResponse,
    guard::{self, GuardContext},
    http::Method,
    web,
};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) use self::action::ACTIONS;
use self::{
    action::AuthenticatedCall,
    auth::{Rights, Signers},
    error::StsError,
};
use crate::{
    account::Account,
    account_policies::{AccountDecision, AccountPolicies, everything},
    injected,
    session::{Session, SessionKey},
};
use cam::evaluate::{Request, evaluate};
use runtime::{clock::Clock, entropy::Entropy};

/// An STS for one account.
#[derive(Debug)]
pub struct StsEmulator {
    account: Account,
    account_policies: Arc<AccountPolicies>,
    session_key: Arc<SessionKey>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    calls: AtomicU64,
}

impl StsEmulator {
    /// Creates an STS for one account. The session key seals the session tokens.
    pub(crate) fn new(
        account: Account,
        account_policies: Arc<AccountPolicies>,
        session_key: Arc<SessionKey>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { account, account_policies, session_key, clock, entropy, calls: AtomicU64::new(0) }
    }

    /// Returns the number of requests answered so far, refusals included.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Returns the session in a token of this emulator.
    pub fn open(&self, token: &str) -> Option<Session> {
        self.session_key.open(token)
    }

    fn answer(&self, request: &HttpRequest, body: &[u8]) -> Result<Value, StsError> {
        let now = injected::now(request, &*self.clock);
        let signers = Signers { account: &self.account, session_key: &self.session_key, now };
        let call = if v1::is_used(request) {
            v1::call(request, body, signers)?
        } else {
            tc3::call(request, body, signers)?
        };
        self.authorize(&call)?;
        self.issue_credential(&call, request, now)
    }

    /// Refuses a call that the caller's key or the account's policies do not allow.
    fn authorize(&self, call: &AuthenticatedCall) -> Result<(), StsError> {
        let (action, resource) = call.required_right();
        let right = Request { action, resource, ..Request::default() };
        if let Rights::OfTemporaryKey(policy) = &call.rights {
            let decision = evaluate(policy, &right);
            if !decision.is_allowed() {
                return Err(unauthorized(&right, decision));
            }
        }
        match self.account_policies.decide(&right) {
            AccountDecision::Allowed => Ok(()),
            refused => Err(unauthorized(&right, refused)),
        }
    }

    fn issue_credential(
        &self,
        call: &AuthenticatedCall,
        request: &HttpRequest,
        now: Timestamp,
    ) -> Result<Value, StsError> {
        let requested_ttl = call.duration_seconds()?;
        // Without a policy, a key has all rights of its role.
        let policy = call.policy()?.map_or_else(|| Ok(everything().to_json()), policy::decode)?;
        let secret_id = format!("AKID{}", self.entropy.hex_id());
        let ttl = injected::credential_ttl(request, requested_ttl);
        let expires_at = now.as_second() + ttl.cast_signed();
        let session = Session { secret_id, policy, expires_at };
        Ok(json!({
            "Credentials": {
                "Token": self.session_key.seal(&session),
                "TmpSecretId": session.secret_id,
                "TmpSecretKey": self.session_key.secret_of(&session.secret_id),
            },
            "ExpiredTime": expires_at,
            "Expiration": Timestamp::from_second(expires_at).map(|time| time.to_string()).ok(),
        }))
    }
}

fn unauthorized(right: &Request<'_>, why: impl Display) -> StsError {
    let message = format!("not authorized to perform {} on {}: {why}", right.action, right.resource);
    StsError::new("UnauthorizedOperation", message)
}

/// Adds `POST /` and `GET /?Action=...`.
pub(crate) fn routes(services: &mut web::ServiceConfig) {
    services
        .route("/", web::post().to(handle))
        .route("/", web::get().guard(guard::fn_guard(is_sts_call)).to(handle));
}

/// Whether a `GET /` is an STS call, with either signature.
fn is_sts_call(context: &GuardContext<'_>) -> bool {
    let head = context.head();
    let names_action =
        head.uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("Action=")));
    head.method == Method::GET && (names_action || head.headers.contains_key("x-tc-action"))
}

async fn handle(sts: web::Data<StsEmulator>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    sts.calls.fetch_add(1, Ordering::Relaxed);
    let request_id = sts.entropy.hex_id();
    let mut response = match sts.answer(&request, &body) {
        Ok(response) => response,
        Err(StsError { code, message }) => {
            tracing::info!(code, message, "the STS emulator refused a call");
            json!({"Error": {"Code": code, "Message": message}})
        }
    };
    if let Some(map) = response.as_object_mut() {
        map.insert("RequestId".to_owned(), Value::from(request_id));
    }
    HttpResponse::Ok().json(json!({"Response": response}))
}
