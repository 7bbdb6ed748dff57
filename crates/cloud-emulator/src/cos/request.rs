//! A request to COS as plain values: what its signature covers, and what a policy can check.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use actix_web::{
    HttpRequest,
    dev::RequestHead,
    http::{Method, header, uri::Authority},
};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use super::{address::Address, error::CosError, operation::Operation};
use tencent_sign::cos::encoded;

/// A request to COS.
#[derive(Debug)]
pub(super) struct CosRequest {
    pub(super) method: Method,
    pub(super) address: Address,
    /// The decoded path of the request line.
    pub(super) path: String,
    /// The same as COS's signature covers it: a `+` that is not escaped is a space there, although not in the key.
    pub(super) signed_path: String,
    /// Header names in lower case, and values.
    pub(super) headers: Vec<(String, String)>,
    /// The decoded parameters of the query.
    pub(super) query: Vec<(String, String)>,
    pub(super) peer: Option<IpAddr>,
    /// When the request came, by the emulator's clock.
    pub(super) received_at: Timestamp,
}

/// Returns the bucket and key that a request names; `None` if it is not a request to COS.
pub(super) fn address_of(request: &RequestHead, default_region: &str) -> Option<Address> {
    Address::parse(host(request)?, request.uri.path(), default_region)
}

/// Returns the host of an absolute request line, as proxies get it, or else of the header (RFC 9112 §3.2.2).
pub(super) fn host(request: &RequestHead) -> Option<&str> {
    match request.uri.authority() {
        Some(authority) => Some(Authority::as_str(authority)),
        None => request.headers.get(header::HOST)?.to_str().ok(),
    }
}

impl CosRequest {
    pub(super) fn new(request: &HttpRequest, mut address: Address, received_at: Timestamp) -> Self {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        if is_read && address.key.bytes().all(|byte| byte == b'/') {
            // `GET ///////` lists the bucket, says the vendor's own test (cos-nodejs-sdk-v5, `test/test.js`).
            address.key.clear();
        }
        let mut headers: Vec<_> = request
            .headers()
            .iter()
            .filter(|(name, _)| *name != header::HOST)
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        headers.extend(host(request.head()).map(|host| ("host".to_owned(), host.to_owned())));
        let query = request.uri().query().unwrap_or_default();
        let path = request.uri().path();
        Self {
            method: request.method().clone(),
            address,
            path: percent_decode_str(path).decode_utf8_lossy().into_owned(),
            signed_path: percent_decode_str(&path.replace('+', " ")).decode_utf8_lossy().into_owned(),
            headers,
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            peer: request.peer_addr().map(|peer| peer.ip()),
            received_at,
        }
    }

    /// Returns the same request for another object, without conditions.
    pub(super) fn at(&self, address: Address) -> Self {
        Self {
            method: self.method.clone(),
            address,
            path: self.path.clone(),
            signed_path: self.signed_path.clone(),
            headers: Vec::new(),
            query: Vec::new(),
            ..*self
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// Returns a numeric parameter, or `default` if it is missing or empty.
    pub(super) fn number<N: std::str::FromStr>(&self, name: &str, default: N) -> Result<N, CosError> {
        self.parameter(name).filter(|text| !text.is_empty()).map_or(Ok(default), |text| {
            text.parse().map_err(|_| CosError::InvalidArgument(format!("{name} is not a number in range.")))
        })
    }

    /// Refuses repeated parameters, and repeated headers of those that COS reads.
    pub(super) fn refuse_duplicates(&self) -> Result<(), CosError> {
        let headers = self.headers.iter().map(|(name, _)| name.as_str());
        refuse_duplicates_of("header", headers.filter(|name| is_read_by_cos(name)))?;
        refuse_duplicates_of("parameter", self.query.iter().map(|(name, _)| name.as_str()))
    }

    /// Returns the operation that is requested, if it knows all parameters and headers.
    pub(super) fn operation(&self) -> Result<Operation, CosError> {
        let copies = self.header("x-cos-copy-source").is_some_and(|source| !source.is_empty());
        let operation = Operation::parse(&self.method, !self.address.key.is_empty(), copies, &self.query)?;
        operation.refuse_unknown(&self.query, &self.headers)?;
        Ok(operation)
    }

    /// Returns the resource that a policy must allow.
    ///
    /// Unfinished uploads are listed at the bucket's address, but the vendor's examples of multipart uploads
    /// allow it for the folder's resource (docs 436/30580).
    pub(super) fn resource(&self, operation: Operation) -> String {
        let key = match operation {
            Operation::ListUploads => self.parameter("prefix").unwrap_or_default(),
            _ => &self.address.key,
        };
        self.address.resource(key)
    }

    /// Returns the condition keys and their values (docs 436/71307). Values of parameters stay encoded.
    pub(super) fn context(&self, operation: Operation) -> BTreeMap<String, String> {
        let headers = self.headers.iter().filter(|(name, _)| is_condition_header(name, operation));
        let parameters = self.query.iter().filter(|(name, _)| is_condition_parameter(name));
        // A request from this machine counts as secure (W3C Secure Contexts §3.1).
        let is_secure = self.peer.is_some_and(|peer| peer.is_loopback());
        let mut context: BTreeMap<String, String> = headers
            .map(|(name, value)| (format!("cos:{name}"), value.clone()))
            .chain(parameters.map(|(name, value)| (format!("cos:{name}"), encoded(value))))
            .collect();
        context.insert("cos:secure-transport".to_owned(), is_secure.to_string());
        if is_secure {
            let versions = TLS_VERSION_KEYS.map(|key| (key.to_owned(), TLS_VERSION.to_owned()));
            context.extend(versions);
        }
        context.extend(self.peer.map(|peer| ("qcs:ip".to_owned(), peer.to_string())));
        context
    }
}

/// The condition key of the TLS version in its two spellings (docs 436/71307, 436/46205).
const TLS_VERSION_KEYS: [&str; 2] = ["tls-version", "cos:tls-version"];
/// The version that a connection from this machine counts as.
const TLS_VERSION: &str = "1.3";

fn is_read_by_cos(header: &str) -> bool {
    ["authorization", "content-", "x-cos-", "pic-operations"].iter().any(|prefix| header.starts_with(prefix))
}

fn is_condition_header(name: &str, operation: Operation) -> bool {
    match name {
        "content-type" => true,
        "content-length" => operation.has_body(),
        "x-cos-security-token" => false,
        name => name.starts_with("x-cos-"),
    }
}

/// A parameter must not set the condition of a header: `?content-length=1` would make any body look small.
fn is_condition_parameter(name: &str) -> bool {
    !["q-", "x-cos-", "content-"].iter().any(|prefix| name.starts_with(prefix))
}

/// Refuses a repeated name. Of two prefixes, the policy might check one and the operation list the other.
pub(super) fn refuse_duplicates_of<'a>(
    kind: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<(), CosError> {
    let mut seen = BTreeSet::new();
    match names.into_iter().find(|name| !seen.insert(*name)) {
        Some(name) => Err(CosError::InvalidArgument(format!("The {kind} {name} is given more than once."))),
        None => Ok(()),
    }
}
