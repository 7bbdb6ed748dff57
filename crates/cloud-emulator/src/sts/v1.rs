//! Authenticates a call with the signature before TC3, which the vendor's older STS SDKs use (`qcloud-cos-sts`,
//! `qcloud-python-sts`; `docs/tencent.md`): all values are parameters of one form, the signature as well.

use std::collections::BTreeMap;

use actix_web::{
    HttpRequest,
    http::{Method, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac, digest::array::Array};
use jiff::Timestamp;
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::{
    action::{AuthenticatedCall, Parameters},
    auth::{check_secret_id, check_timestamp},
    error::StsError,
};
use crate::account::Account;

/// Host names that a request may be signed for, whatever address it was sent to: clients reach the emulator by a
/// proxy, or by a URL that differs from the name they sign.
const TENCENT_HOSTS: [&str; 2] = ["sts.tencentcloudapi.com", "sts.internal.tencentcloudapi.com"];

/// Whether a request has the form of this signature version.
pub(super) fn is_used(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let form = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    !headers.contains_key(header::AUTHORIZATION) && (form || request.method() == Method::GET)
}

/// Returns the call of a request, if this account signed it.
pub(super) fn call(
    request: &HttpRequest,
    body: &[u8],
    account: &Account,
    now: Timestamp,
) -> Result<AuthenticatedCall, StsError> {
    let sent = if request.method() == Method::GET { request.query_string().as_bytes() } else { body };
    let mut form = form(sent)?;
    let given = take(&mut form, "Signature")?;
    let signed = pairs(&form);
    let action = take(&mut form, "Action")?;
    let version = take(&mut form, "Version")?;
    let region = take(&mut form, "Region")?;
    let id = take(&mut form, "SecretId")?;
    let at = take(&mut form, "Timestamp")?;
    let nonce = take(&mut form, "Nonce")?;
    if nonce.parse::<u64>().is_err() {
        return Err(StsError::new("InvalidParameter", "Nonce is not a positive integer"));
    }
    let signature = match form.remove("SignatureMethod").as_deref() {
        None | Some("HmacSHA1") => hmac_sha1,
        Some("HmacSHA256") => hmac_sha256,
        Some(other) => {
            return Err(StsError::new("InvalidParameter", format!("there is no SignatureMethod {other}")));
        }
    };
    check_timestamp(&at, now)?;
    check_secret_id(account, &id)?;
    let sent_to = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let without_port = sent_to.rsplit_once(':').map_or(sent_to, |(name, _)| name);
    let holds = |host: &str| {
        let text = format!("{}{host}/?{signed}", request.method());
        let expected = STANDARD.encode(signature(account.secret_key.as_bytes(), text.as_bytes()));
        bool::from(expected.as_bytes().ct_eq(given.as_bytes()))
    };
    if ![sent_to, without_port].into_iter().chain(TENCENT_HOSTS).any(holds) {
        return Err(StsError::signature_failure());
    }
    AuthenticatedCall::new(&action, &version, &region, Parameters::Form(form))
}

/// Returns the fields of a form. Refuses a repeated name.
fn form(encoded: &[u8]) -> Result<BTreeMap<String, String>, StsError> {
    let mut form = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(encoded) {
        if form.insert(name.clone().into_owned(), value.into_owned()).is_some() {
            return Err(StsError::new("InvalidParameter", format!("{name} is given twice")));
        }
    }
    Ok(form)
}

/// Removes a required field from the form.
fn take(form: &mut BTreeMap<String, String>, name: &str) -> Result<String, StsError> {
    form.remove(name).filter(|text| !text.is_empty()).ok_or_else(|| StsError::missing(name))
}

/// The form as it is signed: names in order, nothing encoded.
fn pairs(form: &BTreeMap<String, String>) -> String {
    form.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn hmac_sha1(key: &[u8], message: &[u8]) -> Vec<u8> {
    // HMAC takes a key of any length (RFC 2104 §2).
    let mac = Hmac::<Sha1>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Array::default()));
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Array::default()));
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const NOW: i64 = 1_800_000_000;
    const HOST: &str = "127.0.0.1:5002";

    #[derive(serde::Deserialize)]
    struct Vectors {
        vectors: Vec<Vector>,
    }

    #[derive(serde::Deserialize)]
    struct Vector {
        sdk: String,
        signed_host: String,
        body: String,
    }

    fn vectors() -> Vec<Vector> {
        let file: Vectors =
            serde_json::from_str(include_str!("../../../../tests/data/vectors/sts-v1.json")).unwrap();
        assert!(file.vectors.len() >= 4);
        file.vectors
    }

    fn authenticate(
        request: TestRequest,
        host: &str,
        body: &str,
    ) -> Result<AuthenticatedCall, &'static str> {
        let request = request
            .insert_header((header::HOST, host.to_owned()))
            .insert_header((header::CONTENT_TYPE, "application/x-www-form-urlencoded"))
            .to_http_request();
        assert!(is_used(&request));
        let account = Account { secret_id: "AKIDaccount".into(), secret_key: "secret".into() };
        call(&request, body.as_bytes(), &account, Timestamp::from_second(NOW).unwrap())
            .map_err(|error| error.code)
    }

    fn post(host: &str, body: &str) -> Result<AuthenticatedCall, &'static str> {
        authenticate(TestRequest::post(), host, body)
    }

    /// A valid form, with parameters changed or (`None`) removed before it is signed.
    fn signed(method: &str, host: &str, change: &[(&str, Option<&str>)]) -> String {
        let default = [
            ("SecretId", "AKIDaccount"),
            ("Timestamp", "1800000000"),
            ("Nonce", "7"),
            ("Action", "GetFederationToken"),
            ("Version", "2018-08-13"),
            ("Region", "ap-guangzhou"),
            ("Name", "cos-sts-nodejs"),
            ("Policy", "%7B%7D"),
            ("DurationSeconds", "900"),
        ];
        let mut form: BTreeMap<String, String> =
            default.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (name, value) in change {
            match value {
                Some(value) => form.insert((*name).to_owned(), (*value).to_owned()),
                None => form.remove(*name),
            };
        }
        let text = format!("{method}{host}/?{}", pairs(&form));
        let signature = match form.get("SignatureMethod") {
            Some(_) => hmac_sha256(b"secret", text.as_bytes()),
            None => hmac_sha1(b"secret", text.as_bytes()),
        };
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .append_pair("Signature", &STANDARD.encode(signature))
            .finish()
    }

    #[test]
    fn requests_of_the_vendors_older_sdks_are_accepted() {
        for vector in vectors() {
            let call = post(HOST, &vector.body).unwrap_or_else(|code| panic!("{}: {code}", vector.sdk));
            assert_eq!(call.duration_seconds(), Ok(1800), "a form has numbers as text");
            let policy = super::super::policy::decode(call.policy().unwrap()).unwrap();
            assert!(
                policy.contains("ap-guangzhou:uid/1250000000:examplebucket-1250000000/users/alice/*"),
                "{policy}"
            );
            let elsewhere = post("10.0.0.1:5002", &vector.body).map(|_| ());
            let by_name = TENCENT_HOSTS.contains(&vector.signed_host.as_str());
            assert_eq!(elsewhere, if by_name { Ok(()) } else { Err("AuthFailure.SignatureFailure") });
        }
    }

    #[test]
    fn the_signed_host_is_the_address_with_or_without_port_or_a_name_of_tencents() {
        for host in [HOST, "127.0.0.1", TENCENT_HOSTS[0], TENCENT_HOSTS[1]] {
            assert!(post(HOST, &signed("POST", host, &[])).is_ok(), "{host}");
        }
        for host in ["", "127.0.0.1:5003", "cvm.tencentcloudapi.com"] {
            assert_eq!(post(HOST, &signed("POST", host, &[])).err(), Some("AuthFailure.SignatureFailure"));
        }
    }

    #[test]
    fn a_get_is_signed_as_a_get_and_sha256_is_used_if_named() {
        let get = |method| {
            let query = format!("/?{}", signed(method, HOST, &[("SignatureMethod", Some("HmacSHA256"))]));
            authenticate(TestRequest::get().uri(&query), HOST, "").map(|_| ())
        };
        assert_eq!(get("GET"), Ok(()));
        assert_eq!(get("POST"), Err("AuthFailure.SignatureFailure"));
    }

    #[test]
    fn a_wrong_call_is_refused_with_tencents_codes() {
        for (name, value, code) in [
            ("SecretId", Some("AKIDunknown"), "AuthFailure.SecretIdNotFound"),
            ("Timestamp", Some("1799999699"), "AuthFailure.SignatureExpire"),
            ("Timestamp", Some("1800000301"), "AuthFailure.SignatureExpire"),
            ("Timestamp", Some("now"), "InvalidParameter"),
            ("Nonce", Some("-1"), "InvalidParameter"),
            ("SignatureMethod", Some("HmacMD5"), "InvalidParameter"),
            ("Action", Some("GetSessionToken"), "InvalidAction"),
            ("Version", Some("2017-03-12"), "NoSuchVersion"),
            ("Name", Some("a b"), "InvalidParameter.ParamError"),
            ("Name", Some("--"), "InvalidParameter.ParamError"),
            ("Bucket", Some("b"), "UnknownParameter"),
            ("SecretId", None, "MissingParameter"),
            ("Timestamp", None, "MissingParameter"),
            ("Nonce", None, "MissingParameter"),
            ("Action", None, "MissingParameter"),
            ("Version", None, "MissingParameter"),
            ("Region", None, "MissingParameter"),
            ("Region", Some(""), "MissingParameter"),
            ("Name", None, "MissingParameter"),
        ] {
            let body = signed("POST", HOST, &[(name, value)]);
            assert_eq!(post(HOST, &body).err(), Some(code), "{name} {value:?}");
        }
        let good = signed("POST", HOST, &[]);
        for (body, code) in [
            (good.replace("=900", "=901"), "AuthFailure.SignatureFailure"),
            (format!("{good}&Nonce=7"), "InvalidParameter"),
            (good.split("&Signature").next().unwrap().to_owned(), "MissingParameter"),
            (String::new(), "MissingParameter"),
        ] {
            assert_eq!(post(HOST, &body).err(), Some(code), "{body}");
        }
        assert!(post(HOST, &signed("POST", HOST, &[("Timestamp", Some("1799999700"))])).is_ok());
    }

    #[test]
    fn the_duration_is_a_number_that_the_action_allows() {
        let duration = |text| {
            let body = signed("POST", HOST, &[("DurationSeconds", text)]);
            post(HOST, &body).unwrap().duration_seconds().map_err(|error| error.code)
        };
        assert_eq!(duration(None), Ok(1800));
        assert_eq!(duration(Some("129600")), Ok(129_600));
        assert_eq!(duration(Some("129601")), Err("InvalidParameter.OverTimeError"));
        assert_eq!(duration(Some("0")), Err("InvalidParameter.OverTimeError"));
        assert_eq!(duration(Some("long")), Err("InvalidParameter.ParamError"));
    }
}
