//! Servers on loopback that stand for the web: pages, TLS in front of them, and a proxy on the way.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// A web server whose pages a test writes.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    pages: Arc<Mutex<HashMap<String, Page>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
struct Page {
    /// The status line, and the headers but `content-length`.
    head: String,
    body: Vec<u8>,
}

impl Web {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let web = Self { address, pages: Arc::default(), requests: Arc::default() };
        let serving = web.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                std::thread::spawn(move || serving.answer(stream));
            }
        });
        web
    }

    pub(crate) fn put(&self, path: &str, body: impl Into<Vec<u8>>) {
        self.put_with(path, "200 OK", body);
    }

    /// Puts a page whose answer begins with this status, and perhaps headers in further lines.
    pub(crate) fn put_with(&self, path: &str, head: &str, body: impl Into<Vec<u8>>) {
        let page = Page { head: head.to_owned(), body: body.into() };
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The heads of all requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if !stream.read(&mut byte).is_ok_and(|read| read == 1) {
                return;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let target = head.split(' ').nth(1).unwrap_or_default();
        // A proxy is sent the whole URL (RFC 9112 §3.2.2).
        let path = match target.strip_prefix("http://").and_then(|rest| rest.split_once('/')) {
            Some((_, path)) => format!("/{path}"),
            None => target.to_owned(),
        };
        self.requests.lock().unwrap().push(head);
        let missing = Page { head: "404 Not Found".to_owned(), body: Vec::new() };
        let page = self.pages.lock().unwrap().get(&path).cloned().unwrap_or(missing);
        let length = page.body.len();
        let head = format!("HTTP/1.1 {}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n", page.head);
        let _ = stream.write_all(&[head.as_bytes(), &page.body].concat());
    }
}

/// Runs a server on a thread of its own: a test may block its own.
fn serve<F: Future<Output = ()> + Send + 'static>(
    handle: impl Fn(tokio::net::TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(handle(stream));
            }
        });
    });
    address
}

/// A certificate authority and what it signed.
pub(crate) struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { issuer: rcgen::Issuer::new(parameters, key), pem }
    }

    /// Signs a certificate for a host. Returns it and its key, in PEM.
    pub(crate) fn sign(&self, host: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
        (parameters.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Starts a server that ends the TLS of a host and passes on what is inside. It starts each handshake late.
    pub(crate) fn tls(&self, host: &str, backend: SocketAddr, delay: Duration) -> SocketAddr {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        tls_server(&certificate, &key, backend, delay)
    }
}

/// Starts a TLS server with a certificate as `openssl req -x509` makes it: self-signed, and an authority. Returns it, and
/// the certificate in PEM.
pub(crate) fn self_signed(host: &str, backend: SocketAddr) -> (SocketAddr, String) {
    let mut parameters = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    (tls_server(&certificate, &key, backend, Duration::ZERO), certificate.pem())
}

fn tls_server(
    certificate: &rcgen::Certificate,
    key: &rcgen::KeyPair,
    backend: SocketAddr,
    delay: Duration,
) -> SocketAddr {
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            tokio::time::sleep(delay).await;
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut backend = tokio::net::TcpStream::connect(backend).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut backend).await;
        }
    })
}

/// A proxy that knows some hosts.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts a proxy that leads `host:port` of each pair to an address here.
    pub(crate) fn start(hosts: &[(&str, SocketAddr)]) -> Self {
        let hosts: HashMap<String, SocketAddr> =
            hosts.iter().map(|(host, address)| ((*host).to_owned(), *address)).collect();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let recorded = Arc::clone(&heads);
        let address = serve(move |stream| forward(stream, hosts.clone(), Arc::clone(&recorded)));
        Self { address, heads }
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn forward(
    mut stream: tokio::net::TcpStream,
    hosts: HashMap<String, SocketAddr>,
    heads: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    heads.lock().unwrap().push(text.clone());
    let target = text.split(' ').nth(1).unwrap_or_default();
    let is_tunnel = text.starts_with("CONNECT ");
    let authority = target.trim_start_matches("http://").split('/').next().unwrap();
    let Some(address) = hosts.get(authority) else {
        let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await;
        return;
    };
    let mut server = tokio::net::TcpStream::connect(address).await.unwrap();
    if is_tunnel {
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    } else {
        server.write_all(&head).await.unwrap();
    }
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
}
