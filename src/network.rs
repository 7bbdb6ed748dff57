//! HTTP clients and TLS as `[network]` says: through a proxy, with further certificate authorities. Knows nothing of
//! what is requested.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{Uri, header::HeaderValue};
use hyper_util::client::proxy::matcher::Matcher;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use rustls_platform_verifier::Verifier;
use secrecy::ExposeSecret;

use crate::config::{Network, Proxy};

/// The error for an HTTP client that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum NoHttpClient {
    /// TLS cannot be set up.
    #[error("no HTTP client can be built: {0}; check network.ca_file and this machine's certificate store")]
    Tls(#[from] TlsError),
    /// The client or its proxy is refused.
    #[error("no HTTP client can be built: {0}; check [network] and this machine's certificate store")]
    Client(#[from] reqwest::Error),
}

/// Returns a builder of HTTP clients, which follow no redirect, take no compressed answer, and ignore the proxies in the
/// environment.
///
/// # Errors
/// When TLS or the proxy cannot be set up.
pub fn client_builder(network: &Network) -> Result<reqwest::ClientBuilder, NoHttpClient> {
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .no_gzip()
        .no_deflate();
    if let Some(proxy) = network.proxy() {
        builder = builder.proxy(reqwest_proxy(proxy)?);
    }
    if !network.ca_certificates().is_empty() {
        builder = builder.tls_backend_preconfigured(tls(network)?);
    }
    Ok(builder)
}

fn reqwest_proxy(proxy: &Proxy) -> Result<reqwest::Proxy, reqwest::Error> {
    let exceptions = reqwest::NoProxy::from_string(&proxy.exceptions.join(","));
    let mut built = reqwest::Proxy::all(proxy.url.clone())?.no_proxy(exceptions);
    if let Some(authorization) = authorization(proxy) {
        built = built.custom_http_auth(authorization);
    }
    Ok(built)
}

/// Returns the value of `Proxy-Authorization`.
pub fn authorization(proxy: &Proxy) -> Option<HeaderValue> {
    let credentials = proxy.credentials.as_ref()?.expose_secret();
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(credentials))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Decides which requests go through a proxy.
#[derive(Debug)]
pub struct ProxyChoice(Matcher);

impl ProxyChoice {
    /// Returns the choice that a proxy's exceptions make.
    pub fn of(proxy: &Proxy) -> Self {
        Self(Matcher::builder().all(proxy.url.as_str()).no(proxy.exceptions.join(",")).build())
    }

    /// Returns whether a request goes through the proxy.
    pub fn is_for(&self, target: &Uri) -> bool {
        self.0.intercept(target).is_some()
    }
}

/// Returns the TLS of clients: it trusts the authorities of this machine and those of `network.ca_file`.
///
/// # Errors
/// When there is no authority at all, or TLS cannot be set up.
pub fn tls(network: &Network) -> Result<ClientConfig, TlsError> {
    tls_trusting(network.ca_certificates(), None)
}

/// A certificate chain and its private key, with which a client says who it is.
pub type ClientIdentity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Returns the TLS of a client: it trusts the authorities of this machine and further certificates.
///
/// # Errors
/// When there is no authority at all, or the identity cannot be used.
pub fn tls_trusting(
    certificates: &[CertificateDer<'static>],
    identity: Option<ClientIdentity>,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = CertificateVerifier::new(certificates, Arc::clone(&provider))?;
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    match identity {
        None => Ok(config.with_no_client_auth()),
        Some((chain, key)) => config.with_client_auth_cert(chain, key),
    }
}

/// Verifies servers by the authorities of this machine and by configured certificates.
///
/// A configured certificate may be the server's own. Tools write self-signed certificates as authorities, which no server
/// may use as its own by the usual rules. It is trusted because the operator named it, whatever its dates.
#[derive(Debug)]
struct CertificateVerifier {
    authorities: Verifier,
    configured: Vec<CertificateDer<'static>>,
}

impl CertificateVerifier {
    fn new(configured: &[CertificateDer<'static>], provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let authorities = Verifier::new_with_extra_roots(configured.iter().cloned(), provider)?;
        Ok(Self { authorities, configured: configured.to_vec() })
    }
}

impl ServerCertVerifier for CertificateVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if self.configured.iter().any(|configured| configured == end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.authorities.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.authorities.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
