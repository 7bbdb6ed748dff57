//! Calls with the older STS signature ([`tencent_sign::sts_v1`]), as the vendor's older STS SDKs send them
//! (`docs/understand/tencent.md`): everything is a parameter of one form, the signature too.

use std::collections::BTreeMap;

use actix_web::{
    HttpRequest,
    http::{Method, header},
};
use url::form_urlencoded;

use super::{
    action::{AuthenticatedCall, CallParts},
    auth::Signers,
    error::StsError,
    parameters::Parameters,
};
use tencent_sign::sts_v1::{Request, SignatureMethod, UnknownSignatureMethod};

/// Hosts that a request may always be signed for: a client may reach the emulator through a proxy, or sign
/// another host than it connects to.
const TENCENT_HOSTS: [&str; 2] = ["sts.tencentcloudapi.com", "sts.internal.tencentcloudapi.com"];

/// Parameters of every call that change nothing here: the language of messages, and the SDK's name.
const IGNORED: [&str; 2] = ["Language", "RequestClient"];

/// Returns whether a request is signed this way, or meant to be.
pub(super) fn is_used(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let form = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    !headers.contains_key(header::AUTHORIZATION) && (form || request.method() == Method::GET)
}

/// Reads the call of a request, and checks that a key of this account signed it.
pub(super) fn call(
    request: &HttpRequest,
    body: &[u8],
    signers: Signers<'_>,
) -> Result<AuthenticatedCall, StsError> {
    let encoded = if request.method() == Method::GET { request.query_string().as_bytes() } else { body };
    let mut form = read_form(encoded)?;
    let signature = take(&mut form, "Signature")?;
    let signed = form.clone();
    let action = take(&mut form, "Action")?;
    let version = take(&mut form, "Version")?;
    let region = take(&mut form, "Region")?;
    let secret_id = take(&mut form, "SecretId")?;
    let timestamp = take(&mut form, "Timestamp")?;
    if take(&mut form, "Nonce")?.parse::<u64>().is_err() {
        return Err(StsError::new("InvalidParameter", "Nonce is not a positive integer"));
    }
    let method = signature_method(form.remove("SignatureMethod"))?;
    let token = form.remove("Token");
    for name in IGNORED {
        form.remove(name);
    }
    signers.check_timestamp(&timestamp)?;
    let key = signers.key(&secret_id, token.as_deref())?;
    let is_signed = signable_hosts(request).into_iter().any(|host| {
        let signed = Request { method: request.method().as_str(), host, parameters: &signed };
        signed.verify(method, &key.secret_key, &signature)
    });
    if !is_signed {
        return Err(StsError::signature_failure());
    }
    AuthenticatedCall::new(CallParts {
        action: &action,
        version: &version,
        region: &region,
        parameters: Parameters::Form(form),
        rights: key.rights,
    })
}

fn signature_method(name: Option<String>) -> Result<SignatureMethod, StsError> {
    let Some(name) = name else { return Ok(SignatureMethod::default()) };
    name.parse().map_err(|UnknownSignatureMethod| {
        StsError::new("InvalidParameter", format!("there is no SignatureMethod {name}"))
    })
}

/// Returns the hosts that a client may have signed for.
fn signable_hosts(request: &HttpRequest) -> [&str; 4] {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let without_port = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let [public, internal] = TENCENT_HOSTS;
    [host, without_port, public, internal]
}

/// Reads a form in which each name stands once.
pub(super) fn read_form(encoded: &[u8]) -> Result<BTreeMap<String, String>, StsError> {
    let mut form = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(encoded) {
        if form.insert(name.clone().into_owned(), value.into_owned()).is_some() {
            return Err(StsError::new("InvalidParameter", format!("{name} is given twice")));
        }
    }
    Ok(form)
}

fn take(form: &mut BTreeMap<String, String>, name: &str) -> Result<String, StsError> {
    form.remove(name).filter(|text| !text.is_empty()).ok_or_else(|| StsError::missing(name))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use jiff::Timestamp;

    use super::*;
    use crate::{account::Account, session::SessionKey};

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
            serde_json::from_str(include_str!("../../../tencent-sign/testdata/sts-v1.json")).unwrap();
        assert!(file.vectors.len() >= 4);
        file.vectors
    }

    fn read(request: TestRequest, host: &str, body: &str) -> Result<AuthenticatedCall, &'static str> {
        let request = request
            .insert_header((header::HOST, host.to_owned()))
            .insert_header((header::CONTENT_TYPE, "application/x-www-form-urlencoded"))
            .to_http_request();
        assert!(is_used(&request));
        let account = Account { secret_id: "AKIDaccount".into(), secret_key: "secret".into() };
        let now = Timestamp::from_second(NOW).unwrap();
        let signers = Signers { account: &account, session_key: &SessionKey::new([7; 32]), now };
        call(&request, body.as_bytes(), signers).map_err(|error| error.code)
    }

    fn posted(host: &str, body: &str) -> Result<AuthenticatedCall, &'static str> {
        read(TestRequest::post(), host, body)
    }

    /// A valid form, with some parameters changed or (`None`) left out before it is signed.
    fn signed(method: &str, host: &str, change: &[(&str, Option<&str>)]) -> String {
        let defaults = [
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
            defaults.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (name, value) in change {
            match value {
                Some(value) => form.insert((*name).to_owned(), (*value).to_owned()),
                None => form.remove(*name),
            };
        }
        let hmac = match form.get("SignatureMethod") {
            Some(_) => SignatureMethod::HmacSha256,
            None => SignatureMethod::HmacSha1,
        };
        let signature = Request { method, host, parameters: &form }.sign(hmac, "secret");
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .append_pair("Signature", &signature)
            .finish()
    }

    #[test]
    fn requests_of_the_vendors_older_sdks_are_accepted() {
        for vector in vectors() {
            let call = posted(HOST, &vector.body).unwrap_or_else(|code| panic!("{}: {code}", vector.sdk));
            assert_eq!(call.duration_seconds(), Ok(1800), "text is a number in a form");
            let policy = super::super::policy::decode(call.policy().unwrap().unwrap()).unwrap();
            assert!(
                policy.contains("ap-guangzhou:uid/1250000000:examplebucket-1250000000/users/alice/*"),
                "{policy}"
            );
            let elsewhere = posted("10.0.0.1:5002", &vector.body).map(|_| ());
            let by_name = TENCENT_HOSTS.contains(&vector.signed_host.as_str());
            assert_eq!(elsewhere, if by_name { Ok(()) } else { Err("AuthFailure.SignatureFailure") });
        }
    }

    #[test]
    fn a_request_may_be_signed_for_the_host_with_or_without_port_or_for_tencents_hosts() {
        for host in [HOST, "127.0.0.1", TENCENT_HOSTS[0], TENCENT_HOSTS[1]] {
            assert!(posted(HOST, &signed("POST", host, &[])).is_ok(), "{host}");
        }
        for host in ["", "127.0.0.1:5003", "cvm.tencentcloudapi.com"] {
            assert_eq!(posted(HOST, &signed("POST", host, &[])).err(), Some("AuthFailure.SignatureFailure"));
        }
    }

    #[test]
    fn a_get_is_signed_as_a_get_and_hmac_sha256_is_used_if_named() {
        let get = |method| {
            let query = format!("/?{}", signed(method, HOST, &[("SignatureMethod", Some("HmacSHA256"))]));
            read(TestRequest::get().uri(&query), HOST, "").map(|_| ())
        };
        assert_eq!(get("GET"), Ok(()));
        assert_eq!(get("POST"), Err("AuthFailure.SignatureFailure"));
    }

    #[test]
    fn each_fault_is_refused_with_tencents_code() {
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
    fn a_duration_is_a_number_that_the_action_allows() {
        let duration = |text| {
            let body = signed("POST", HOST, &[("DurationSeconds", text)]);
            posted(HOST, &body).unwrap().duration_seconds().map_err(|error| error.code)
        };
        assert_eq!(duration(None), Ok(1800));
        assert_eq!(duration(Some("129600")), Ok(129_600));
        assert_eq!(duration(Some("129601")), Err("InvalidParameter.OverTimeError"));
        assert_eq!(duration(Some("0")), Err("InvalidParameter.OverTimeError"));
        assert_eq!(duration(Some("long")), Err("InvalidParameter.ParamError"));
    }
}
