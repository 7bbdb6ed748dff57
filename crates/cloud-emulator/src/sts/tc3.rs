//! Authenticates a call with a TC3-HMAC-SHA256 signature: a JSON body, everything else in headers.

use actix_web::HttpRequest;
use jiff::Timestamp;
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::{
    action::{AuthenticatedCall, Parameters},
    auth::{check_secret_id, check_timestamp},
    error::StsError,
};
use crate::account::Account;
use tencent_sign::tc3::{Signing, authorization};

/// Returns the call of a request, if this account signed it.
pub(super) fn call(
    request: &HttpRequest,
    body: &[u8],
    account: &Account,
    now: Timestamp,
) -> Result<AuthenticatedCall, StsError> {
    let action = required_header(request, "x-tc-action")?;
    let version = required_header(request, "x-tc-version")?;
    let region = required_header(request, "x-tc-region")?;
    let at = check_timestamp(header(request, "x-tc-timestamp").unwrap_or_default(), now)?;
    let given = header(request, "authorization").unwrap_or_default();
    let id = given
        .strip_prefix("TC3-HMAC-SHA256 Credential=")
        .and_then(|rest| rest.split_once('/'))
        .map(|(id, _)| id)
        .ok_or_else(|| {
            StsError::new("AuthFailure.InvalidAuthorization", "Authorization is not TC3-HMAC-SHA256")
        })?;
    check_secret_id(account, id)?;
    let signing = Signing {
        service: "sts",
        host: header(request, "host").unwrap_or_default(),
        content_type: header(request, "content-type").unwrap_or_default(),
        body,
        at,
    };
    let expected = authorization(&signing, &account.secret_id, &account.secret_key);
    if !bool::from(expected.as_bytes().ct_eq(given.as_bytes())) {
        return Err(StsError::signature_failure());
    }
    match strict_json::from_slice(body) {
        Ok(Value::Object(map)) => AuthenticatedCall::new(action, version, region, Parameters::Json(map)),
        _ => Err(StsError::new("InvalidParameter", "the body is not a JSON object")),
    }
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

fn required_header<'a>(request: &'a HttpRequest, name: &str) -> Result<&'a str, StsError> {
    header(request, name).ok_or_else(|| StsError::missing(&format!("the header {name}")))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const BODY: &str = r#"{"Name":"uploader","Policy":"%7B%7D","DurationSeconds":900}"#;

    /// Returns the error code for a request signed at `at` with one header changed afterwards.
    fn error_code(
        at: i64,
        key: (&str, &str),
        change: Option<(&'static str, &str)>,
        body: &str,
    ) -> Option<&'static str> {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let signing = Signing {
            service: "sts",
            host: "sts.test",
            content_type: "application/json",
            body: BODY.as_bytes(),
            at: Timestamp::from_second(at).unwrap(),
        };
        let mut request = TestRequest::post()
            .insert_header(("host", "sts.test"))
            .insert_header(("content-type", "application/json"))
            .insert_header(("x-tc-action", "GetFederationToken"))
            .insert_header(("x-tc-version", "2018-08-13"))
            .insert_header(("x-tc-region", "ap-guangzhou"))
            .insert_header(("x-tc-timestamp", at.to_string()))
            .insert_header(("authorization", authorization(&signing, key.0, key.1)));
        if let Some((name, value)) = change {
            request = request.insert_header((name, value));
        }
        let mut request = request.to_srv_request();
        if let Some((name, "")) = change {
            request.headers_mut().remove(name);
        }
        let account = Account { secret_id: "AKIDaccount".into(), secret_key: "secret".into() };
        call(request.request(), body.as_bytes(), &account, now).err().map(|error| error.code)
    }

    #[test]
    fn a_wrong_call_is_refused_with_tencents_codes() {
        const GOOD: (&str, &str) = ("AKIDaccount", "secret");
        let now = 1_800_000_000;
        assert_eq!(error_code(now, GOOD, None, BODY), None);
        for (at, key, change, body, code) in [
            (now, ("AKIDaccount", "wrong"), None, BODY, "AuthFailure.SignatureFailure"),
            (now, GOOD, None, "{}", "AuthFailure.SignatureFailure"),
            (now, GOOD, Some(("host", "other.test")), BODY, "AuthFailure.SignatureFailure"),
            (now, ("AKIDunknown", "secret"), None, BODY, "AuthFailure.SecretIdNotFound"),
            (now - 301, GOOD, None, BODY, "AuthFailure.SignatureExpire"),
            (now + 301, GOOD, None, BODY, "AuthFailure.SignatureExpire"),
            (now, GOOD, Some(("x-tc-timestamp", "soon")), BODY, "InvalidParameter"),
            (now, GOOD, Some(("authorization", "Bearer x")), BODY, "AuthFailure.InvalidAuthorization"),
            (now, GOOD, Some(("x-tc-action", "GetSessionToken")), BODY, "InvalidAction"),
            (now, GOOD, Some(("x-tc-action", "AssumeRole")), BODY, "UnknownParameter"),
            (now, GOOD, Some(("x-tc-version", "2017-03-12")), BODY, "NoSuchVersion"),
            (now, GOOD, Some(("x-tc-region", "")), BODY, "MissingParameter"),
            (now, GOOD, Some(("x-tc-version", "")), BODY, "MissingParameter"),
            (now, GOOD, Some(("x-tc-action", "")), BODY, "MissingParameter"),
        ] {
            assert_eq!(error_code(at, key, change, body), Some(code), "{at} {change:?} {body}");
        }
    }
}
