//! The signature of a request to COS (docs 436/7778): pure, from the parts of a request to `q-signature`.

use std::{fmt, str::FromStr};

use hmac::{Hmac, KeyInit, Mac, digest::array::Array};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// All but what RFC 3986 §2.3 leaves unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What of a request is signed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Such as `GET`.
    pub method: &'a str,
    /// Decoded, with its leading slash.
    pub path: &'a str,
    /// Decoded names and values of the query.
    pub parameters: &'a [(String, String)],
    /// Names and values.
    pub headers: &'a [(String, String)],
}

/// From when until when a signature holds, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// From then on.
    pub from: i64,
    /// Until then.
    pub until: i64,
}

impl Window {
    /// When both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), until: self.until.min(other.until) }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{}", self.from, self.until)
    }
}

impl FromStr for Window {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (from, until) = text.split_once(';').ok_or(())?;
        Ok(Self { from: from.parse().map_err(drop)?, until: until.parse().map_err(drop)? })
    }
}

/// What a client says of its signature, in `Authorization` or in the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// `q-ak`
    pub secret_id: String,
    /// `q-sign-time`
    pub window: Window,
    /// `q-key-time`: how long whoever was handed the key of the signature may sign.
    pub key_window: Window,
    key_time: String,
    headers: Vec<String>,
    parameters: Vec<String>,
    signature: String,
}

/// What is no authorization: the field that is missing or malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is missing or malformed")]
pub struct Malformed(pub &'static str);

impl Authorization {
    /// Reads an `Authorization` header.
    ///
    /// # Errors
    /// The field that is not as the protocol has it.
    pub fn parse(header: &str) -> Result<Self, Malformed> {
        let fields: Vec<_> = header.trim().split('&').filter_map(|field| field.split_once('=')).collect();
        Self::of(|name| fields.iter().find(|(one, _)| *one == name).map(|(_, value)| *value))
    }

    /// Takes the fields from wherever they stand.
    ///
    /// # Errors
    /// The field that is not as the protocol has it.
    pub fn of<'a>(field: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Malformed> {
        let needed = |name: &'static str| field(name).ok_or(Malformed(name));
        let list = |name| -> Result<Vec<String>, Malformed> {
            Ok(needed(name)?.split(';').filter(|one| !one.is_empty()).map(str::to_owned).collect())
        };
        if needed("q-sign-algorithm")? != "sha1" {
            return Err(Malformed("q-sign-algorithm"));
        }
        Ok(Self {
            secret_id: needed("q-ak")?.to_owned(),
            window: needed("q-sign-time")?.parse().map_err(|()| Malformed("q-sign-time"))?,
            key_window: needed("q-key-time")?.parse().map_err(|()| Malformed("q-key-time"))?,
            key_time: needed("q-key-time")?.to_owned(),
            headers: list("q-header-list")?,
            parameters: list("q-url-param-list")?,
            signature: needed("q-signature")?.to_owned(),
        })
    }

    /// Whether the holder of this key signed this request.
    pub fn is_by(&self, secret_key: &str, request: &Request<'_>) -> bool {
        let text = request.text(&self.parameters, &self.headers);
        let expected = signature(secret_key, &self.key_time, &self.window.to_string(), &text);
        expected.as_bytes().ct_eq(self.signature.as_bytes()).into()
    }
}

impl Request<'_> {
    /// `HttpString`, with the parameters and headers that are named.
    fn text(&self, parameters: &[String], headers: &[String]) -> String {
        let (parameters, headers) = (named(self.parameters, parameters), named(self.headers, headers));
        format!("{}\n{}\n{parameters}\n{headers}\n", self.method.to_lowercase(), self.path)
    }

    /// The fields that authorize a request of which everything given is signed; ready for a header, and with
    /// their values percent-encoded for a query.
    pub fn authorize(
        &self,
        secret_id: &str,
        secret_key: &str,
        window: Window,
    ) -> [(&'static str, String); 7] {
        let names = |pairs: &[(String, String)]| {
            let mut names: Vec<String> = pairs.iter().map(|(name, _)| encoded(name).to_lowercase()).collect();
            names.sort_unstable();
            names
        };
        let (parameters, headers) = (names(self.parameters), names(self.headers));
        let time = window.to_string();
        let signature = signature(secret_key, &time, &time, &self.text(&parameters, &headers));
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
}

/// The signature of the base64 policy of a form upload (docs 436/14690).
pub fn form_signature(secret_key: &str, key_time: &str, policy: &[u8]) -> String {
    mac(&mac(secret_key, key_time), &hex::encode(Sha1::digest(policy)))
}

/// Those of the pairs whose names are listed, as the signature has them.
fn named(pairs: &[(String, String)], list: &[String]) -> String {
    let mut named: Vec<(String, String)> = pairs
        .iter()
        .map(|(name, value)| (encoded(name).to_lowercase(), encoded(value)))
        .filter(|(name, _)| list.contains(name))
        .collect();
    named.sort_unstable();
    named.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn signature(secret_key: &str, key_time: &str, sign_time: &str, text: &str) -> String {
    let text = format!("sha1\n{sign_time}\n{}\n", hex::encode(Sha1::digest(text)));
    mac(&mac(secret_key, key_time), &text)
}

fn mac(key: &str, text: &str) -> String {
    // HMAC takes a key of any length (RFC 2104 §2).
    let mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).unwrap_or_else(|_| Hmac::new(&Array::default()));
    hex::encode(mac.chain_update(text).finalize().into_bytes())
}

/// Percent-encoded as a signature, and a query, has it.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
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
    fn the_vendors_examples_come_out() {
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
    fn a_signature_holds_for_what_was_signed_only() {
        let headers = put_headers();
        let parameters = pairs(&[("uploadId", "1"), ("partNumber", "2")]);
        let signed = Request { method: "PUT", path: "/k", parameters: &parameters, headers: &headers };
        let window = Window { from: 1, until: 2 };
        let written = header(&signed.authorize(ID, KEY, window));
        let authorization = Authorization::parse(&written).unwrap();
        assert_eq!((authorization.secret_id.as_str(), authorization.window), (ID, window));
        assert!(authorization.is_by(KEY, &signed));
        assert!(!authorization.is_by("another key", &signed));
        assert!(!authorization.is_by(KEY, &Request { method: "GET", ..signed }));
        assert!(!authorization.is_by(KEY, &Request { path: "/l", ..signed }));
        let other = pairs(&[("uploadId", "1"), ("partNumber", "3")]);
        assert!(!authorization.is_by(KEY, &Request { parameters: &other, ..signed }));
        assert!(!authorization.is_by(KEY, &Request { parameters: &other[..1], ..signed }));
        let mut other = headers.clone();
        other[5].1 = "public-read".to_owned();
        assert!(!authorization.is_by(KEY, &Request { headers: &other, ..signed }));
        other = headers.clone();
        other.push(("x-not-listed".to_owned(), "anything".to_owned()));
        assert!(authorization.is_by(KEY, &Request { headers: &other, ..signed }));
        let longer = Authorization::parse(&written.replace("q-sign-time=1;2", "q-sign-time=1;9")).unwrap();
        assert!(!longer.is_by(KEY, &signed));
    }

    #[test]
    fn what_is_missing_is_named() {
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
