//! An STS that is as strict as Tencent's: it checks signature, clock, parameters, and the policy's syntax
//! and size, and answers Tencent's own error codes (`docs/tencent.md`; SDK errorcodes.py).
//!
//! A request is signed in one of two ways, TC3 or the older v1; either makes a [`Call`] of it, and what a call
//! gets does not depend on the way.

mod call;
mod policy;
mod tc3;
mod v1;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use actix_web::{HttpRequest, HttpResponse, guard::GuardContext, http::Method, web};
use jiff::Timestamp;
use serde_json::{Value, json};

use self::call::Call;
use super::{
    fault,
    session::{Session, SessionKey},
};
use runtime::{clock::Clock, entropy::Entropy};

/// The account whose keys the emulator knows.
#[derive(Debug, Clone)]
pub struct Account {
    /// `SecretId`.
    pub secret_id: String,
    /// `SecretKey`.
    pub secret_key: String,
}

/// The emulator.
#[derive(Debug)]
pub struct StsEmulator {
    account: Account,
    sessions: Arc<SessionKey>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    calls: AtomicU64,
}

/// One of Tencent's error codes, and words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault(&'static str, String);

/// How far a request's clock may be off (`docs/tencent.md`).
const SKEW: i64 = 300;

impl StsEmulator {
    /// An STS for one account.
    pub fn new(
        account: Account,
        sessions: Arc<SessionKey>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { account, sessions, clock, entropy, calls: AtomicU64::new(0) }
    }

    /// Requests answered so far, whatever the answer.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// What a session token of this emulator carries.
    pub fn open(&self, token: &str) -> Option<Session> {
        self.sessions.open(token)
    }

    fn answer(&self, request: &HttpRequest, body: &[u8]) -> Result<Value, Fault> {
        let now = fault::now(request, &*self.clock);
        let call = if v1::is_used(request) {
            v1::call(request, body, &self.account, now)?
        } else {
            tc3::call(request, body, &self.account, now)?
        };
        self.key_for(&call, request, now)
    }

    fn key_for(&self, call: &Call, request: &HttpRequest, now: Timestamp) -> Result<Value, Fault> {
        let duration = call.duration()?;
        let policy = policy::read(call.policy()?)?;
        let secret_id = format!("AKID{}", self.entropy.hex_id());
        let duration = fault::lifetime(request, duration);
        let expires = now.as_second() + duration.cast_signed();
        let session = Session { secret_id, policy, expires };
        Ok(json!({
            "Credentials": {
                "Token": self.sessions.seal(&session),
                "TmpSecretId": session.secret_id,
                "TmpSecretKey": self.sessions.secret_of(&session.secret_id),
            },
            "ExpiredTime": expires,
            "Expiration": Timestamp::from_second(expires).map(|time| time.to_string()).ok(),
        }))
    }
}

impl Account {
    fn is_named(&self, secret_id: &str) -> Result<(), Fault> {
        if secret_id == self.secret_id {
            return Ok(());
        }
        Err(Fault("AuthFailure.SecretIdNotFound", "the SecretId is not found".to_owned()))
    }
}

/// The time a request names, if it is near enough.
fn signed_at(seconds: &str, now: Timestamp) -> Result<Timestamp, Fault> {
    let at = seconds
        .parse()
        .ok()
        .and_then(|second| Timestamp::from_second(second).ok())
        .ok_or_else(|| Fault("InvalidParameter", "the timestamp is not seconds".to_owned()))?;
    if (at.as_second() - now.as_second()).abs() > SKEW {
        return Err(Fault("AuthFailure.SignatureExpire", "the request's clock is off".to_owned()));
    }
    Ok(at)
}

fn missing(name: &str) -> Fault {
    Fault("MissingParameter", format!("{name} is missing"))
}

fn signature_failure() -> Fault {
    Fault("AuthFailure.SignatureFailure", "the signature does not hold".to_owned())
}

/// Whether a `GET /` is a call.
pub(super) fn is_call(context: &GuardContext<'_>) -> bool {
    let head = context.head();
    head.method == Method::GET
        && head.uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("Action=")))
}

/// `POST /`, and `GET /?Action=...`
pub(super) async fn handle(
    sts: web::Data<StsEmulator>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    sts.calls.fetch_add(1, Ordering::Relaxed);
    let request_id = sts.entropy.hex_id();
    let mut response = match sts.answer(&request, &body) {
        Ok(response) => response,
        Err(Fault(code, message)) => {
            tracing::info!(code, message, "the STS emulator refuses a call");
            json!({"Error": {"Code": code, "Message": message}})
        }
    };
    if let Some(map) = response.as_object_mut() {
        map.insert("RequestId".to_owned(), Value::from(request_id));
    }
    HttpResponse::Ok().json(json!({"Response": response}))
}
