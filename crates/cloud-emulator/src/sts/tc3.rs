//! Authenticates a call with a TC3-HMAC-SHA256 signature: everything but the action's parameters is in headers. These
//! are the JSON body of a `POST`, or the query of a `GET`.

use actix_web::{HttpRequest, http::Method};
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::{
    action::{AuthenticatedCall, CallParts},
    auth::Signers,
    error::StsError,
    parameters::Parameters,
    v1::read_form,
};
use tencent_sign::tc3::{Signing, UNSIGNED_PAYLOAD, authorization};

/// The name of the service in a signature.
const SERVICE: &str = "sts";

/// Returns the call of a request, if a key of this account signed it.
pub(super) fn call(
    request: &HttpRequest,
    body: &[u8],
    signers: Signers<'_>,
) -> Result<AuthenticatedCall, StsError> {
    let action = required_header(request, "x-tc-action")?;
    let version = required_header(request, "x-tc-version")?;
    let region = required_header(request, "x-tc-region")?;
    let at = signers.check_timestamp(header(request, "x-tc-timestamp").unwrap_or_default())?;
    let given = header(request, "authorization").unwrap_or_default();
    let id = given
        .strip_prefix("TC3-HMAC-SHA256 Credential=")
        .and_then(|rest| rest.split_once('/'))
        .map(|(id, _)| id)
        .ok_or_else(|| {
            StsError::new("AuthFailure.InvalidAuthorization", "Authorization is not TC3-HMAC-SHA256")
        })?;
    let key = signers.key(id, header(request, "x-tc-token"))?;
    let is_unsigned = header(request, "x-tc-content-sha256") == Some(UNSIGNED_PAYLOAD);
    let is_signed = signed_names(request).into_iter().any(|(service, host)| {
        let signing = Signing {
            service,
            method: request.method().as_str(),
            query: request.query_string(),
            host,
            content_type: header(request, "content-type").unwrap_or_default(),
            body: if is_unsigned { UNSIGNED_PAYLOAD.as_bytes() } else { body },
            at,
        };
        let expected = authorization(&signing, &key.secret_id, &key.secret_key);
        bool::from(expected.as_bytes().ct_eq(given.as_bytes()))
    });
    if !is_signed {
        return Err(StsError::signature_failure());
    }
    let parameters = parameters(request, body)?;
    AuthenticatedCall::new(CallParts { action, version, region, parameters, rights: key.rights })
}

/// Returns the services and hosts that a call may be signed for. The SDK for Node signs the host without its port, and
/// takes its first label for the name of the service (`sign.js`, `abstract_client.js`).
fn signed_names(request: &HttpRequest) -> [(&str, &str); 4] {
    let host = header(request, "host").unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let label = name.split('.').next().unwrap_or_default();
    [(SERVICE, host), (SERVICE, name), (label, host), (label, name)]
}

fn parameters(request: &HttpRequest, body: &[u8]) -> Result<Parameters, StsError> {
    if request.method() == Method::GET {
        return read_form(request.query_string().as_bytes()).map(Parameters::Form);
    }
    match strict_json::from_slice(body) {
        Ok(Value::Object(map)) => Ok(Parameters::Json(map)),
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
    use jiff::Timestamp;

    use super::*;
    use crate::{account::Account, session::SessionKey};

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
            method: "POST",
            query: "",
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
        let signers = Signers { account: &account, session_key: &SessionKey::new([7; 32]), now };
        call(request.request(), body.as_bytes(), signers).err().map(|error| error.code)
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
