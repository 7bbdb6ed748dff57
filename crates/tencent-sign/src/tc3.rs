//! TC3-HMAC-SHA256, the current signature of Tencent Cloud's API (docs 1312/48204).

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::hmac::hmac_sha256;

/// The `Content-Type` of a JSON request.
pub const CONTENT_TYPE: &str = "application/json";

/// What is signed in place of a body that is not signed, as the header `X-TC-Content-SHA256` says.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// The parts of a request that are signed.
#[derive(Debug, Clone, Copy)]
pub struct Signing<'a> {
    /// The service, such as `sts`.
    pub service: &'a str,
    /// The HTTP method, `GET` or `POST`.
    pub method: &'a str,
    /// The query as sent, encoded; empty for a `POST`.
    pub query: &'a str,
    /// The `Host` header as sent.
    pub host: &'a str,
    /// The `Content-Type` header as sent.
    pub content_type: &'a str,
    /// The body's exact bytes, or [`UNSIGNED_PAYLOAD`].
    pub body: &'a [u8],
    /// The `X-TC-Timestamp` header as sent, in seconds.
    pub at: Timestamp,
}

/// Returns the `Authorization` header of a request.
pub fn authorization(signing: &Signing<'_>, secret_id: &str, secret_key: &str) -> String {
    let date = utc_date(signing.at);
    let scope = format!("{date}/{}/tc3_request", signing.service);
    let signature = signature(signing, &date, &scope, secret_key);
    format!(
        "TC3-HMAC-SHA256 Credential={secret_id}/{scope}, SignedHeaders=content-type;host, Signature={signature}"
    )
}

fn signature(signing: &Signing<'_>, date: &str, scope: &str, secret_key: &str) -> String {
    let canonical = format!(
        "{}\n/\n{}\ncontent-type:{}\nhost:{}\n\ncontent-type;host\n{}",
        signing.method,
        signing.query,
        signing.content_type,
        signing.host,
        sha256_hex(signing.body),
    );
    let to_sign =
        format!("TC3-HMAC-SHA256\n{}\n{scope}\n{}", signing.at.as_second(), sha256_hex(canonical.as_bytes()));
    let seed = Zeroizing::new(format!("TC3{secret_key}"));
    let date_key = Zeroizing::new(hmac_sha256(seed.as_bytes(), date.as_bytes()));
    let service_key = Zeroizing::new(hmac_sha256(&*date_key, signing.service.as_bytes()));
    let request_key = Zeroizing::new(hmac_sha256(&*service_key, b"tc3_request"));
    hex::encode(hmac_sha256(&*request_key, to_sign.as_bytes()))
}

/// Returns the UTC date of the credential scope.
fn utc_date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Vectors {
        vectors: Vec<Vector>,
    }

    #[derive(serde::Deserialize)]
    struct Vector {
        secret_id: String,
        secret_key: String,
        timestamp: i64,
        host: String,
        body: String,
        content_type: String,
        authorization: String,
    }

    /// `testdata/tc3.json`: requests that the official SDK signed at fixed clocks.
    #[test]
    fn the_signature_equals_the_official_sdks_for_every_vector() {
        let file: Vectors = serde_json::from_str(include_str!("../testdata/tc3.json")).unwrap();
        assert!(!file.vectors.is_empty());
        for vector in file.vectors {
            let signing = Signing {
                service: "sts",
                method: "POST",
                query: "",
                host: &vector.host,
                content_type: &vector.content_type,
                body: vector.body.as_bytes(),
                at: Timestamp::from_second(vector.timestamp).unwrap(),
            };
            let ours = authorization(&signing, &vector.secret_id, &vector.secret_key);
            assert_eq!(ours, vector.authorization);
        }
    }

    /// The example of Tencent's own document on the signature (docs 213/30654).
    #[test]
    fn the_signature_equals_the_documents_example() {
        let body =
            br#"{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}"#;
        let signing = Signing {
            service: "cvm",
            method: "POST",
            query: "",
            host: "cvm.tencentcloudapi.com",
            content_type: "application/json; charset=utf-8",
            body,
            at: Timestamp::from_second(1_551_113_065).unwrap(),
        };
        let header = authorization(
            &signing,
            "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE",
            "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE",
        );
        assert!(header.starts_with("TC3-HMAC-SHA256 Credential=AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE/2019-02-25/cvm/tc3_request, SignedHeaders=content-type;host, Signature="), "{header}");
        assert!(
            header.ends_with("72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168"),
            "{header}"
        );
    }

    #[test]
    fn the_date_changes_at_midnight_utc() {
        for (second, date) in [(1_893_455_999, "2029-12-31"), (1_893_456_000, "2030-01-01")] {
            assert_eq!(utc_date(Timestamp::from_second(second).unwrap()), date);
        }
    }
}
