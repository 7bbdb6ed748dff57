//! The signature before TC3, as the vendor's older STS SDKs still use it (`qcloud-cos-sts`,
//! `qcloud-python-sts`; `docs/tencent.md`): everything is a parameter of one form, the signature too.

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
    Account, Fault,
    call::{Call, Parameters},
    missing, signature_failure, signed_at,
};

/// The names that a request may be signed for wherever it is sent: clients are pointed at the emulator by a
/// proxy, or by a URL beside the name they sign.
const TENCENTS_HOSTS: [&str; 2] = ["sts.tencentcloudapi.com", "sts.internal.tencentcloudapi.com"];

/// Whether a request is signed this way, or meant to be.
pub(super) fn is_used(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let form = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    !headers.contains_key(header::AUTHORIZATION) && (form || request.method() == Method::GET)
}

/// The call of a request that this account signed.
pub(super) fn call(
    request: &HttpRequest,
    body: &[u8],
    account: &Account,
    now: Timestamp,
) -> Result<Call, Fault> {
    let sent = if request.method() == Method::GET { request.query_string().as_bytes() } else { body };
    let mut form = form(sent)?;
    let given = take(&mut form, "Signature")?;
    let signed = pairs(&form);
    let mut needed = |name| take(&mut form, name);
    let (action, version, region) = (needed("Action")?, needed("Version")?, needed("Region")?);
    let (id, at, nonce) = (needed("SecretId")?, needed("Timestamp")?, needed("Nonce")?);
    if nonce.parse::<u64>().is_err() {
        return Err(Fault("InvalidParameter", "Nonce is not a positive integer".to_owned()));
    }
    let signature = match form.remove("SignatureMethod").as_deref() {
        None | Some("HmacSHA1") => hmac_sha1,
        Some("HmacSHA256") => hmac_sha256,
        Some(other) => return Err(Fault("InvalidParameter", format!("no SignatureMethod {other}"))),
    };
    signed_at(&at, now)?;
    account.is_named(&id)?;
    let sent_to = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let without_port = sent_to.rsplit_once(':').map_or(sent_to, |(name, _)| name);
    let holds = |host: &str| {
        let text = format!("{}{host}/?{signed}", request.method());
        let expected = STANDARD.encode(signature(account.secret_key.as_bytes(), text.as_bytes()));
        bool::from(expected.as_bytes().ct_eq(given.as_bytes()))
    };
    if ![sent_to, without_port].into_iter().chain(TENCENTS_HOSTS).any(holds) {
        return Err(signature_failure());
    }
    Call::new(&action, &version, &region, Parameters::Form(form))
}

/// The form, each name once.
fn form(encoded: &[u8]) -> Result<BTreeMap<String, String>, Fault> {
    let mut form = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(encoded) {
        if form.insert(name.clone().into_owned(), value.into_owned()).is_some() {
            return Err(Fault("InvalidParameter", format!("{name} is given twice")));
        }
    }
    Ok(form)
}

fn take(form: &mut BTreeMap<String, String>, name: &str) -> Result<String, Fault> {
    form.remove(name).filter(|text| !text.is_empty()).ok_or_else(|| missing(name))
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

    fn judge(request: TestRequest, host: &str, body: &str) -> Result<Call, &'static str> {
        let request = request
            .insert_header((header::HOST, host.to_owned()))
            .insert_header((header::CONTENT_TYPE, "application/x-www-form-urlencoded"))
            .to_http_request();
        assert!(is_used(&request));
        let account = Account { secret_id: "AKIDaccount".into(), secret_key: "secret".into() };
        call(&request, body.as_bytes(), &account, Timestamp::from_second(NOW).unwrap())
            .map_err(|fault| fault.0)
    }

    fn posted(host: &str, body: &str) -> Result<Call, &'static str> {
        judge(TestRequest::post(), host, body)
    }

    /// A form that is right, with a parameter changed or (`None`) left out before it is signed.
    fn signed(method: &str, host: &str, change: &[(&str, Option<&str>)]) -> String {
        let usual = [
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
            usual.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
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
    fn what_the_vendors_older_sdks_send_is_taken() {
        for vector in vectors() {
            let call = posted(HOST, &vector.body).unwrap_or_else(|code| panic!("{}: {code}", vector.sdk));
            assert_eq!(call.duration(), Ok(1800), "text is a number in a form");
            let policy = super::super::policy::read(call.policy().unwrap()).unwrap();
            assert!(
                policy.contains("ap-guangzhou:uid/1250000000:examplebucket-1250000000/users/alice/*"),
                "{policy}"
            );
            let elsewhere = posted("10.0.0.1:5002", &vector.body).map(|_| ());
            let by_name = TENCENTS_HOSTS.contains(&vector.signed_host.as_str());
            assert_eq!(elsewhere, if by_name { Ok(()) } else { Err("AuthFailure.SignatureFailure") });
        }
    }

    #[test]
    fn the_host_is_signed_with_its_port_or_without_or_by_tencents_names() {
        for host in [HOST, "127.0.0.1", TENCENTS_HOSTS[0], TENCENTS_HOSTS[1]] {
            assert!(posted(HOST, &signed("POST", host, &[])).is_ok(), "{host}");
        }
        for host in ["", "127.0.0.1:5003", "cvm.tencentcloudapi.com"] {
            assert_eq!(posted(HOST, &signed("POST", host, &[])).err(), Some("AuthFailure.SignatureFailure"));
        }
    }

    #[test]
    fn a_get_is_signed_as_a_get_and_sha256_is_taken_where_it_is_named() {
        let get = |method| {
            let query = format!("/?{}", signed(method, HOST, &[("SignatureMethod", Some("HmacSHA256"))]));
            judge(TestRequest::get().uri(&query), HOST, "").map(|_| ())
        };
        assert_eq!(get("GET"), Ok(()));
        assert_eq!(get("POST"), Err("AuthFailure.SignatureFailure"));
    }

    #[test]
    fn what_is_wrong_is_refused_in_tencents_codes() {
        for (name, value, code) in [
            ("SecretId", Some("AKIDnobody"), "AuthFailure.SecretIdNotFound"),
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
            assert_eq!(posted(HOST, &body).err(), Some(code), "{name} {value:?}");
        }
        let good = signed("POST", HOST, &[]);
        for (body, code) in [
            (good.replace("=900", "=901"), "AuthFailure.SignatureFailure"),
            (format!("{good}&Nonce=7"), "InvalidParameter"),
            (good.split("&Signature").next().unwrap().to_owned(), "MissingParameter"),
            (String::new(), "MissingParameter"),
        ] {
            assert_eq!(posted(HOST, &body).err(), Some(code), "{body}");
        }
        assert!(posted(HOST, &signed("POST", HOST, &[("Timestamp", Some("1799999700"))])).is_ok());
    }

    #[test]
    fn a_life_is_a_number_that_the_action_allows() {
        let life = |text| {
            let body = signed("POST", HOST, &[("DurationSeconds", text)]);
            posted(HOST, &body).unwrap().duration().map_err(|fault| fault.0)
        };
        assert_eq!(life(None), Ok(1800));
        assert_eq!(life(Some("129600")), Ok(129_600));
        assert_eq!(life(Some("129601")), Err("InvalidParameter.OverTimeError"));
        assert_eq!(life(Some("0")), Err("InvalidParameter.OverTimeError"));
        assert_eq!(life(Some("long")), Err("InvalidParameter.ParamError"));
    }
}
