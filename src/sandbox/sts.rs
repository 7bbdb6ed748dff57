//! An STS that is as strict as Tencent's: it checks signature, clock, parameters, and the policy's syntax
//! and size, and answers Tencent's own error codes (`docs/tencent.md`; SDK errorcodes.py).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;

use super::session::{Session, SessionKey};
use crate::{
    clock::Clock,
    entropy::Entropy,
    policy::cam::Policy,
    sts::sign::{Signing, authorization},
};

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
struct Fault(&'static str, String);

/// How far a request's clock may be off (`docs/tencent.md`).
const SKEW: i64 = 300;
/// CAM's bound on a policy (docs 598/10609).
const LARGEST_POLICY: usize = 6144;
/// The longest life of a federation token, and of an assumed role's key.
const LONGEST: [(&str, u64, u64); 2] = [("GetFederationToken", 1800, 129_600), ("AssumeRole", 7200, 43_200)];

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
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let needed = |name: &'static str| {
            header(name).ok_or_else(|| Fault("MissingParameter", format!("the header {name} is missing")))
        };
        let now = self.clock.now();
        let action = needed("x-tc-action")?;
        let (_, usual, longest) = LONGEST
            .iter()
            .find(|(name, ..)| *name == action)
            .ok_or_else(|| Fault("InvalidAction", format!("no action {action}")))?;
        if needed("x-tc-version")? != "2018-08-13" {
            return Err(Fault("NoSuchVersion", "the version is 2018-08-13".to_owned()));
        }
        if needed("x-tc-region")?.is_empty() {
            return Err(Fault("UnsupportedRegion", "the region is empty".to_owned()));
        }
        self.check_signature(request, body, now)?;
        let parameters = parameters(body)?;
        let (policy, duration) = check(action, &parameters, *usual, *longest)?;
        let secret_id = format!("AKID{}", self.entropy.name());
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

    fn check_signature(&self, request: &HttpRequest, body: &[u8], now: Timestamp) -> Result<(), Fault> {
        let header = |name: &str| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let at = header("x-tc-timestamp")
            .parse()
            .ok()
            .and_then(|second| Timestamp::from_second(second).ok())
            .ok_or_else(|| Fault("InvalidParameter", "X-TC-Timestamp is not seconds".to_owned()))?;
        if (at.as_second() - now.as_second()).abs() > SKEW {
            return Err(Fault("AuthFailure.SignatureExpire", "the request's clock is off".to_owned()));
        }
        let given = header("authorization");
        let id = given
            .strip_prefix("TC3-HMAC-SHA256 Credential=")
            .and_then(|rest| rest.split_once('/'))
            .map(|(id, _)| id)
            .ok_or_else(|| {
                Fault("AuthFailure.InvalidAuthorization", "Authorization is not TC3-HMAC-SHA256".to_owned())
            })?;
        if id != self.account.secret_id {
            return Err(Fault("AuthFailure.SecretIdNotFound", "the SecretId is not found".to_owned()));
        }
        let signing =
            Signing { service: "sts", host: header("host"), content_type: header("content-type"), body, at };
        let expected = authorization(&signing, &self.account.secret_id, &self.account.secret_key);
        if !bool::from(expected.as_bytes().ct_eq(given.as_bytes())) {
            return Err(Fault("AuthFailure.SignatureFailure", "the signature does not hold".to_owned()));
        }
        Ok(())
    }
}

/// `POST /`
pub(super) async fn handle(
    sts: web::Data<StsEmulator>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    sts.calls.fetch_add(1, Ordering::Relaxed);
    let request_id = sts.entropy.name();
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

fn parameters(body: &[u8]) -> Result<Map<String, Value>, Fault> {
    match crate::json::strict(body) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Fault("InvalidParameter", "the body is not a JSON object".to_owned())),
    }
}

/// The policy, decoded, and the life in seconds.
fn check(
    action: &str,
    parameters: &Map<String, Value>,
    usual: u64,
    longest: u64,
) -> Result<(String, u64), Fault> {
    let known: &[&str] = match action {
        "GetFederationToken" => &["Name", "Policy", "DurationSeconds"],
        _ => &[
            "RoleArn",
            "RoleSessionName",
            "DurationSeconds",
            "Policy",
            "ExternalId",
            "Tags",
            "SourceIdentity",
        ],
    };
    if let Some(other) = parameters.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(Fault("UnknownParameter", format!("the parameter {other} is not recognized")));
    }
    let text = |name: &'static str| match parameters.get(name) {
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err(Fault("InvalidParameter.ParamError", format!("{name} must be a string"))),
        None => Err(Fault("MissingParameter", format!("{name} is missing"))),
    };
    let session = |text: &str| {
        (2..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
    };
    let named = if action == "GetFederationToken" {
        let name = text("Name")?;
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic())
    } else {
        if !text("RoleArn")?.starts_with("qcs::cam::uin/") {
            return Err(Fault("ResourceNotFound.RoleNotFound", "the role does not exist".to_owned()));
        }
        session(text("RoleSessionName")?)
    };
    if !named {
        return Err(Fault("InvalidParameter.ParamError", "the session's name is malformed".to_owned()));
    }
    let duration = match parameters.get("DurationSeconds") {
        None => usual,
        Some(value) => value.as_u64().ok_or_else(|| {
            Fault("InvalidParameter.ParamError", "DurationSeconds is not a number".to_owned())
        })?,
    };
    if duration == 0 || duration > longest {
        return Err(Fault("InvalidParameter.OverTimeError", format!("at most {longest} seconds")));
    }
    Ok((policy(text("Policy")?)?, duration))
}

/// The policy as the server reads it: decoded once, then parsed.
fn policy(encoded: &str) -> Result<String, Fault> {
    let broken = |why: String| Fault("InvalidParameter.StrategyFormatError", why);
    let decoded = percent_encoding::percent_decode_str(encoded)
        .decode_utf8()
        .map_err(|_| broken("the policy is not UTF-8".to_owned()))?;
    if decoded.len() > LARGEST_POLICY {
        return Err(Fault("InvalidParameter.PolicyTooLong", format!("at most {LARGEST_POLICY} bytes")));
    }
    let policy = Policy::parse(decoded.as_bytes()).map_err(|error| broken(error.to_string()))?;
    for statement in &policy.statement {
        for action in &statement.action {
            if action != "*" && !action.starts_with("name/") {
                return Err(Fault(
                    "InvalidParameter.StrategyInvalid",
                    format!("`{action}` is not an action"),
                ));
            }
        }
        for resource in &statement.resource {
            let segments = resource.splitn(6, ':').collect::<Vec<_>>();
            let whole = matches!(segments.as_slice(), ["qcs", "", service, _, account, key]
                if !service.is_empty() && account.starts_with("uid/") && !key.is_empty());
            if resource != "*" && !whole {
                return Err(Fault(
                    "InvalidParameter.ResouceError",
                    format!("`{resource}` is not a six-segment resource"),
                ));
            }
        }
    }
    Ok(decoded.into_owned())
}
