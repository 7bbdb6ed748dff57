//! The signature that Tencent Cloud's API used before TC3. The vendor's older STS SDKs (`qcloud-cos-sts`,
//! `qcloud-python-sts`) still send it: everything is a parameter of one form, the signature too.

use std::{collections::BTreeMap, fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;

use crate::hmac::{hmac_sha1, hmac_sha256};

/// The parts of a request that are signed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The HTTP method, `GET` or `POST`.
    pub method: &'a str,
    /// The host that the client signs for, such as `sts.tencentcloudapi.com`.
    pub host: &'a str,
    /// The decoded parameters of the query or form, except `Signature`.
    pub parameters: &'a BTreeMap<String, String>,
}

/// The HMAC behind a signature, named by the parameter `SignatureMethod`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignatureMethod {
    /// `HmacSHA1`, the method of a request that names none.
    #[default]
    HmacSha1,
    /// `HmacSHA256`
    HmacSha256,
}

/// The error for a `SignatureMethod` that the API does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown SignatureMethod; use HmacSHA1 or HmacSHA256")]
pub struct UnknownSignatureMethod;

impl Request<'_> {
    /// Returns the value of the parameter `Signature`.
    pub fn sign(&self, method: SignatureMethod, secret_key: &str) -> String {
        let text = self.text_to_sign();
        let (key, text) = (secret_key.as_bytes(), text.as_bytes());
        match method {
            SignatureMethod::HmacSha1 => STANDARD.encode(hmac_sha1(key, text)),
            SignatureMethod::HmacSha256 => STANDARD.encode(hmac_sha256(key, text)),
        }
    }

    /// Returns whether a signature was made with this key for this request, in constant time.
    pub fn verify(&self, method: SignatureMethod, secret_key: &str, signature: &str) -> bool {
        self.sign(method, secret_key).as_bytes().ct_eq(signature.as_bytes()).into()
    }

    /// Parameters stand sorted by name, with nothing encoded.
    fn text_to_sign(&self) -> String {
        let pairs: Vec<String> =
            self.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{}{}/?{}", self.method, self.host, pairs.join("&"))
    }
}

impl FromStr for SignatureMethod {
    type Err = UnknownSignatureMethod;

    fn from_str(text: &str) -> Result<Self, UnknownSignatureMethod> {
        match text {
            "HmacSHA1" => Ok(Self::HmacSha1),
            "HmacSHA256" => Ok(Self::HmacSha256),
            _ => Err(UnknownSignatureMethod),
        }
    }
}

impl fmt::Display for SignatureMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HmacSha1 => "HmacSHA1",
            Self::HmacSha256 => "HmacSHA256",
        })
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;

    use super::*;

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

    fn decoded_form(body: &str) -> BTreeMap<String, String> {
        body.split('&')
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap();
                let value = value.replace('+', " ");
                (name.to_owned(), percent_decode_str(&value).decode_utf8().unwrap().into_owned())
            })
            .collect()
    }

    /// `testdata/sts-v1.json`: forms that the vendor's older SDKs sent, at a fixed clock.
    #[test]
    fn the_signature_equals_the_vendors_sdks_for_every_vector() {
        let file: Vectors = serde_json::from_str(include_str!("../testdata/sts-v1.json")).unwrap();
        assert!(file.vectors.len() >= 4);
        for vector in file.vectors {
            let mut parameters = decoded_form(&vector.body);
            let signature = parameters.remove("Signature").unwrap();
            let method = match parameters.get("SignatureMethod") {
                Some(name) => name.parse().unwrap(),
                None => SignatureMethod::default(),
            };
            let request = Request { method: "POST", host: &vector.signed_host, parameters: &parameters };
            assert_eq!(request.sign(method, "secret"), signature, "{}", vector.sdk);
        }
    }

    #[test]
    fn a_signature_is_valid_for_the_signed_request_only() {
        let parameters = BTreeMap::from([("Action", "GetFederationToken"), ("Nonce", "7")])
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let request = Request { method: "GET", host: "sts.tencentcloudapi.com", parameters: &parameters };
        for method in [SignatureMethod::HmacSha1, SignatureMethod::HmacSha256] {
            let signature = request.sign(method, "key");
            assert!(request.verify(method, "key", &signature));
            assert!(!request.verify(method, "another key", &signature));
            assert!(!Request { method: "POST", ..request }.verify(method, "key", &signature));
            assert!(!Request { host: "localhost", ..request }.verify(method, "key", &signature));
            assert!(!Request { parameters: &BTreeMap::new(), ..request }.verify(method, "key", &signature));
            assert_eq!(method.to_string().parse(), Ok(method));
        }
        let of_sha1 = request.sign(SignatureMethod::HmacSha1, "key");
        assert!(!request.verify(SignatureMethod::HmacSha256, "key", &of_sha1));
        assert_eq!("HmacMD5".parse::<SignatureMethod>(), Err(UnknownSignatureMethod));
    }
}
