//! The signature of a request to COS, `q-signature` (docs 436/7778).

use std::{fmt, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use crate::hmac::hmac_sha1;

/// Every character except the unreserved ones of RFC 3986 §2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The parts of a request that are signed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The HTTP method, such as `GET`.
    pub method: &'a str,
    /// The decoded path, with its leading slash.
    pub path: &'a str,
    /// The decoded names and values of the query.
    pub parameters: &'a [(String, String)],
    /// The names and values of the headers to sign.
    pub headers: &'a [(String, String)],
}

/// The validity period of a signature, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first second in which the signature is valid.
    pub from: i64,
    /// The last second in which the signature is valid.
    pub until: i64,
}

impl Window {
    /// Returns the period in which both windows are valid.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), until: self.until.min(other.until) }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{}", self.from, self.until)
    }
}

/// The error for a text that is not `from;until` in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a validity period is `from;until` in Unix seconds")]
pub struct InvalidWindow;

impl FromStr for Window {
    type Err = InvalidWindow;

    fn from_str(text: &str) -> Result<Self, InvalidWindow> {
        let (from, until) = text.split_once(';').ok_or(InvalidWindow)?;
        let from = from.parse().map_err(|_| InvalidWindow)?;
        let until = until.parse().map_err(|_| InvalidWindow)?;
        Ok(Self { from, until })
    }
}

/// A client's signature and what it covers, from the `Authorization` header or the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// The `SecretId` of the signing key (`q-ak`).
    pub secret_id: String,
    /// The validity period of the signature (`q-sign-time`).
    pub window: Window,
    /// The validity period of the derived signing key (`q-key-time`).
    pub key_window: Window,
    key_time: String,
    headers: Vec<String>,
    parameters: Vec<String>,
    signature: String,
}

/// The error for an authorization with a missing or malformed field, which it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is missing or malformed")]
pub struct Malformed(pub &'static str);

impl Authorization {
    /// Reads an `Authorization` header.
    ///
    /// # Errors
    /// The first field that is missing or malformed.
    pub fn parse(header: &str) -> Result<Self, Malformed> {
        let fields: Vec<_> = header.trim().split('&').filter_map(|field| field.split_once('=')).collect();
        Self::from_fields(|name| fields.iter().find(|(one, _)| *one == name).map(|(_, value)| *value))
    }

    /// Builds an authorization from a lookup of its fields, for example in a query.
    ///
    /// # Errors
    /// The first field that is missing or malformed.
    pub fn from_fields<'a>(field: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Malformed> {
        if required(&field, "q-sign-algorithm")? != "sha1" {
            return Err(Malformed("q-sign-algorithm"));
        }
        Ok(Self {
            secret_id: required(&field, "q-ak")?.to_owned(),
            window: window(required(&field, "q-sign-time")?, "q-sign-time")?,
            key_window: window(required(&field, "q-key-time")?, "q-key-time")?,
            key_time: required(&field, "q-key-time")?.to_owned(),
            headers: names(required(&field, "q-header-list")?),
            parameters: names(required(&field, "q-url-param-list")?),
            signature: required(&field, "q-signature")?.to_owned(),
        })
    }

    /// Returns whether this request was signed with this key, in constant time.
    pub fn verify(&self, secret_key: &str, request: &Request<'_>) -> bool {
        let text = request.http_string(&self.parameters, &self.headers);
        let expected = signature(secret_key, &self.key_time, &self.window.to_string(), &text);
        expected.as_bytes().ct_eq(self.signature.as_bytes()).into()
    }

    /// Returns what a signature of this request must be over. COS shows it to a client with a wrong signature.
    pub fn signed_text(&self, request: &Request<'_>) -> SignedText {
        let http_string = request.http_string(&self.parameters, &self.headers);
        let string_to_sign = string_to_sign(&self.window.to_string(), &http_string);
        SignedText { http_string, string_to_sign }
    }
}

/// What a signature is over (docs 436/7778).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedText {
    /// The signed parts of the request; COS's errors call it `FormatString`.
    pub http_string: String,
    /// The validity period and the hash of the signed parts.
    pub string_to_sign: String,
}

fn required<'a>(field: impl Fn(&str) -> Option<&'a str>, name: &'static str) -> Result<&'a str, Malformed> {
    field(name).ok_or(Malformed(name))
}

fn window(text: &str, field: &'static str) -> Result<Window, Malformed> {
    text.parse().map_err(|InvalidWindow| Malformed(field))
}

/// Splits a list of names such as `date;host`.
fn names(list: &str) -> Vec<String> {
    list.split(';').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

impl Request<'_> {
    /// Returns the seven authorization fields; all parameters and headers of the request are signed. They are
    /// ready for a header; for a query, percent-encode their values.
    pub fn authorize(
        &self,
        secret_id: &str,
        secret_key: &str,
        window: Window,
    ) -> [(&'static str, String); 7] {
        let (parameters, headers) = (sorted_names(self.parameters), sorted_names(self.headers));
        let time = window.to_string();
        let signature = signature(secret_key, &time, &time, &self.http_string(&parameters, &headers));
        [
            ("q-sign-algorithm", "sha1".to_owned()),
            ("q-ak", secret_id.to_owned()),
            ("q-sign-time", time.clone()),
            ("q-key-time", time),
            ("q-header-list", headers.join(";")),
            ("q-url-param-list", parameters.join(";")),
            ("q-signature", signature),
        ]
    }

    /// Returns the document's `HttpString`, with the listed parameters and headers only.
    fn http_string(&self, parameters: &[String], headers: &[String]) -> String {
        let parameters = canonical_pairs(self.parameters, parameters);
        let headers = canonical_pairs(self.headers, headers);
        format!("{}\n{}\n{parameters}\n{headers}\n", self.method.to_lowercase(), self.path)
    }
}

/// Returns the signature of the base64 policy of a form upload (docs 436/14690).
pub fn form_signature(secret_key: &str, key_time: &str, policy: &[u8]) -> String {
    hmac_hex(&hmac_hex(secret_key, key_time), &hex::encode(Sha1::digest(policy)))
}

/// Percent-encodes a text the way that COS signs it and that a query carries it.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Returns the lower-case, percent-encoded names of the pairs in order.
fn sorted_names(pairs: &[(String, String)]) -> Vec<String> {
    let mut names: Vec<String> = pairs.iter().map(|(name, _)| canonical_name(name)).collect();
    names.sort_unstable();
    names
}

/// Returns the pairs whose names are listed as `name=value&...`, sorted and percent-encoded.
fn canonical_pairs(pairs: &[(String, String)], list: &[String]) -> String {
    let mut listed: Vec<(String, String)> = pairs
        .iter()
        .map(|(name, value)| (canonical_name(name), encoded(value)))
        .filter(|(name, _)| list.contains(name))
        .collect();
    listed.sort_unstable();
    listed.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn canonical_name(name: &str) -> String {
    encoded(name).to_lowercase()
}

fn signature(secret_key: &str, key_time: &str, sign_time: &str, http_string: &str) -> String {
    hmac_hex(&hmac_hex(secret_key, key_time), &string_to_sign(sign_time, http_string))
}

fn string_to_sign(sign_time: &str, http_string: &str) -> String {
    format!("sha1\n{sign_time}\n{}\n", hex::encode(Sha1::digest(http_string)))
}

fn hmac_hex(key: &str, text: &str) -> String {
    hex::encode(hmac_sha1(key.as_bytes(), text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "AKIDQjz3ltompVjBni5LitkWHFlFpwkn9U5q";
    const KEY: &str = "BQYIM75p8x0iWVFSIgqEKwFprpRSVHlz";
    const HOST: &str = "examplebucket-1250000000.cos.ap-beijing.myqcloud.com";

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn put_headers() -> Vec<(String, String)> {
        pairs(&[
            ("Date", "Thu, 16 May 2019 06:45:51 GMT"),
            ("Host", HOST),
            ("Content-Type", "text/plain"),
            ("Content-Length", "13"),
            ("Content-MD5", "mQ/fVh815F3k6TAUm8m0eg=="),
            ("x-cos-acl", "private"),
            ("x-cos-grant-read", "uin=\"100000000011\""),
        ])
    }

    /// The vendor's two worked examples (docs 436/7778).
    #[test]
    fn the_signature_equals_the_vendors_two_examples() {
        let headers = put_headers();
        let put =
            Request { method: "PUT", path: "/exampleobject(腾讯云)", parameters: &[], headers: &headers };
        let window = Window { from: 1_557_989_151, until: 1_557_996_351 };
        let fields = put.authorize(ID, KEY, window);
        assert_eq!(
            fields[4].1,
            "content-length;content-md5;content-type;date;host;x-cos-acl;x-cos-grant-read"
        );
        assert_eq!(fields[6].1, "3b8851a11a569213c17ba8fa7dcf2abec6935172");

        let parameters = pairs(&[
            ("response-content-type", "application/octet-stream"),
            ("response-cache-control", "max-age=600"),
        ]);
        let headers = pairs(&[("Date", "Thu, 16 May 2019 06:55:53 GMT"), ("Host", HOST)]);
        let get = Request { method: "GET", parameters: &parameters, headers: &headers, ..put };
        let window = Window { from: 1_557_989_753, until: 1_557_996_953 };
        assert_eq!(get.authorize(ID, KEY, window)[6].1, "01681b8c9d798a678e43b685a9f1bba0f6c0e012");
    }

    fn header(fields: &[(&str, String)]) -> String {
        fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }

    #[test]
    fn a_signature_is_valid_for_the_signed_request_only() {
        let headers = put_headers();
        let parameters = pairs(&[("uploadId", "1"), ("partNumber", "2")]);
        let signed = Request { method: "PUT", path: "/k", parameters: &parameters, headers: &headers };
        let window = Window { from: 1, until: 2 };
        let written = header(&signed.authorize(ID, KEY, window));
        let authorization = Authorization::parse(&written).unwrap();
        assert_eq!((authorization.secret_id.as_str(), authorization.window), (ID, window));
        assert!(authorization.verify(KEY, &signed));
        assert!(!authorization.verify("another key", &signed));
        assert!(!authorization.verify(KEY, &Request { method: "GET", ..signed }));
        assert!(!authorization.verify(KEY, &Request { path: "/l", ..signed }));
        let other = pairs(&[("uploadId", "1"), ("partNumber", "3")]);
        assert!(!authorization.verify(KEY, &Request { parameters: &other, ..signed }));
        assert!(!authorization.verify(KEY, &Request { parameters: &other[..1], ..signed }));
        let mut other = headers.clone();
        other[5].1 = "public-read".to_owned();
        assert!(!authorization.verify(KEY, &Request { headers: &other, ..signed }));
        other = headers.clone();
        other.push(("x-not-listed".to_owned(), "anything".to_owned()));
        assert!(authorization.verify(KEY, &Request { headers: &other, ..signed }));
        let longer = Authorization::parse(&written.replace("q-sign-time=1;2", "q-sign-time=1;9")).unwrap();
        assert!(!longer.verify(KEY, &signed));
    }

    #[test]
    fn a_missing_or_malformed_field_is_named() {
        let request = Request { method: "GET", path: "/", parameters: &[], headers: &[] };
        let whole = request.authorize(ID, KEY, Window { from: 1, until: 2 });
        for (name, _) in &whole {
            let rest: Vec<_> = whole.iter().filter(|(one, _)| one != name).cloned().collect();
            assert_eq!(Authorization::parse(&header(&rest)), Err(Malformed(name)));
        }
        for (from, to, fault) in [
            ("sha1", "sha256", "q-sign-algorithm"),
            ("q-sign-time=1;2", "q-sign-time=1", "q-sign-time"),
            ("q-sign-time=1;2", "q-sign-time=a;b", "q-sign-time"),
            ("q-key-time=1;2", "q-key-time=2", "q-key-time"),
        ] {
            assert_eq!(Authorization::parse(&header(&whole).replace(from, to)), Err(Malformed(fault)));
        }
    }
}
