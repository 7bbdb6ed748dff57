//! TC3-HMAC-SHA256: a JSON body, all else in headers.

use actix_web::HttpRequest;
use jiff::Timestamp;
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::{
    Account, Fault,
    call::{Call, Parameters},
    missing, signature_failure, signed_at,
};
use tencent_sign::tc3::{Signing, authorization};

/// The call of a request that this account signed.
pub(super) fn call(
    request: &HttpRequest,
    body: &[u8],
    account: &Account,
    now: Timestamp,
) -> Result<Call, Fault> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let needed = |name: &str| header(name).ok_or_else(|| missing(&format!("the header {name}")));
    let action = needed("x-tc-action")?;
    let version = needed("x-tc-version")?;
    let region = needed("x-tc-region")?;
    let at = signed_at(header("x-tc-timestamp").unwrap_or_default(), now)?;
    let given = header("authorization").unwrap_or_default();
    let id = given
        .strip_prefix("TC3-HMAC-SHA256 Credential=")
        .and_then(|rest| rest.split_once('/'))
        .map(|(id, _)| id)
        .ok_or_else(|| {
            Fault("AuthFailure.InvalidAuthorization", "Authorization is not TC3-HMAC-SHA256".to_owned())
        })?;
    account.is_named(id)?;
    let signing = Signing {
        service: "sts",
        host: header("host").unwrap_or_default(),
        content_type: header("content-type").unwrap_or_default(),
        body,
        at,
    };
    let expected = authorization(&signing, &account.secret_id, &account.secret_key);
    if !bool::from(expected.as_bytes().ct_eq(given.as_bytes())) {
        return Err(signature_failure());
    }
    match strict_json::from_slice(body) {
        Ok(Value::Object(map)) => Call::new(action, version, region, Parameters::Json(map)),
        _ => Err(Fault("InvalidParameter", "the body is not a JSON object".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const BODY: &str = r#"{"Name":"uploader","Policy":"%7B%7D","DurationSeconds":900}"#;

    /// The code that a request signed at `at` is answered with, after a header was changed.
    fn refusal(
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
        call(request.request(), body.as_bytes(), &account, now).err().map(|fault| fault.0)
    }

    #[test]
    fn what_is_wrong_is_refused_in_tencents_codes() {
        const GOOD: (&str, &str) = ("AKIDaccount", "secret");
        let now = 1_800_000_000;
        assert_eq!(refusal(now, GOOD, None, BODY), None);
        for (at, key, change, body, code) in [
            (now, ("AKIDaccount", "wrong"), None, BODY, "AuthFailure.SignatureFailure"),
            (now, GOOD, None, "{}", "AuthFailure.SignatureFailure"),
            (now, GOOD, Some(("host", "other.test")), BODY, "AuthFailure.SignatureFailure"),
            (now, ("AKIDnobody", "secret"), None, BODY, "AuthFailure.SecretIdNotFound"),
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
            assert_eq!(refusal(at, key, change, body), Some(code), "{at} {change:?} {body}");
        }
    }
}
