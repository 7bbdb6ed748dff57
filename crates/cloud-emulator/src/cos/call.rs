//! A request to COS as plain values: what its signature is over, and what a policy may ask of it.

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

use super::{address::Address, operation::Operation, refusal::Refusal};
use tencent_sign::cos::encoded;

/// One request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) address: Address,
    /// What came over the wire as the path, decoded.
    pub(super) path: String,
    /// Names in lower case, and values.
    pub(super) headers: Vec<(String, String)>,
    /// The query, decoded.
    pub(super) query: Vec<(String, String)>,
    pub(super) peer: Option<IpAddr>,
    /// When it came, by the emulator's clock.
    pub(super) at: Timestamp,
}

/// The bucket and key that a request names, if it is one to COS at all.
pub(super) fn address_of(request: &RequestHead, home: &str) -> Option<Address> {
    Address::of(host(request)?, request.uri.path(), home)
}

/// RFC 9112 §3.2.2: the host of an absolute request line, as proxies get it, goes before the header's.
pub(super) fn host(request: &RequestHead) -> Option<&str> {
    let in_header = || request.headers.get(header::HOST)?.to_str().ok();
    request.uri.authority().map(Authority::as_str).or_else(in_header)
}

impl Call {
    pub(super) fn of(request: &HttpRequest, address: Address, at: Timestamp) -> Self {
        let text = |value: &header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let mut headers: Vec<_> =
            request.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        headers.retain(|(name, _)| name != "host");
        headers.extend(host(request.head()).map(|host| ("host".to_owned(), host.to_owned())));
        let query = request.uri().query().unwrap_or_default();
        Self {
            method: request.method().clone(),
            address,
            path: percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned(),
            headers,
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            peer: request.peer_addr().map(|peer| peer.ip()),
            at,
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that is a number, or what it is when it is not given.
    pub(super) fn number<N: std::str::FromStr>(&self, name: &str, usual: N) -> Result<N, Refusal> {
        self.parameter(name).filter(|text| !text.is_empty()).map_or(Ok(usual), |text| {
            text.parse().map_err(|_| Refusal::InvalidArgument(format!("{name} is not a number in range.")))
        })
    }

    /// Refuses what is said twice, as far as anybody here listens.
    pub(super) fn says_nothing_twice(&self) -> Result<(), Refusal> {
        let counts =
            |name: &str| ["authorization", "content-", "x-cos-"].iter().any(|one| name.starts_with(one));
        once("header", self.headers.iter().map(|(name, _)| name.as_str()).filter(|name| counts(name)))?;
        once("parameter", self.query.iter().map(|(name, _)| name.as_str()))
    }

    /// What it wants.
    pub(super) fn operation(&self) -> Result<Operation, Refusal> {
        let copies = self.header("x-cos-copy-source").is_some();
        Operation::of(&self.method, !self.address.key.is_empty(), copies, &self.query)
    }

    /// The resource that a policy must speak of.
    ///
    /// An unfinished upload is listed by the bucket's address and granted by the folder: the vendor's
    /// examples of multipart uploads give it the folder's resource (docs 436/30580).
    pub(super) fn resource(&self, operation: Operation) -> String {
        let key = match operation {
            Operation::ListUploads => self.parameter("prefix").unwrap_or_default(),
            _ => &self.address.key,
        };
        self.address.resource(key)
    }

    /// The condition keys it has (docs 436/71307): values of parameters stay encoded.
    pub(super) fn context(&self, operation: Operation) -> BTreeMap<String, String> {
        let simple = matches!(operation, Operation::PutObject | Operation::PostObject);
        let counts = |name: &str| match name {
            "content-type" => true,
            "content-length" => simple,
            "x-cos-security-token" => false,
            name => name.starts_with("x-cos-"),
        };
        let headers = self.headers.iter().filter(|(name, _)| counts(name));
        // What is a header's to say, no parameter says: `?content-length=1` would make any body short.
        let headers_own = ["q-", "x-cos-", "content-"];
        let parameters =
            self.query.iter().filter(|(name, _)| !headers_own.iter().any(|own| name.starts_with(own)));
        // Of one's own machine, as W3C's Secure Contexts §3.1 has it, what comes is as good as over TLS.
        let secure = self.peer.is_some_and(|peer| peer.is_loopback());
        let mut context: BTreeMap<String, String> = headers
            .map(|(name, value)| (format!("cos:{name}"), value.clone()))
            .chain(parameters.map(|(name, value)| (format!("cos:{name}"), encoded(value))))
            .collect();
        context.insert("cos:secure-transport".to_owned(), secure.to_string());
        context.extend(self.peer.map(|peer| ("qcs:ip".to_owned(), peer.to_string())));
        context
    }
}

/// Refuses a name that comes twice: of two prefixes, the policy might be asked about one and the other listed.
pub(super) fn once<'a>(kind: &str, names: impl IntoIterator<Item = &'a str>) -> Result<(), Refusal> {
    let mut said = BTreeSet::new();
    let twice = names.into_iter().find(|name| !said.insert(*name));
    twice.map_or(Ok(()), |name| {
        Err(Refusal::InvalidArgument(format!("The {kind} {name} is given more than once.")))
    })
}
