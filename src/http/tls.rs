//! TLS for the public listener: one provider, TLS 1.2 and 1.3, no client certificates.

use std::io;

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use secrecy::ExposeSecret;

use crate::config::Tls;

/// The listener's TLS, from PEM.
///
/// # Errors
/// When chain or key is not PEM, or the two do not belong together.
pub(super) fn server(tls: &Tls) -> io::Result<ServerConfig> {
    let wrong = |what: &str, error: String| {
        let message = format!(
            "{}: {what} cannot be used: {error}; give a PEM certificate chain and the PEM key that belongs to it",
            tls.place()
        );
        io::Error::new(io::ErrorKind::InvalidInput, message)
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(tls.certificate_chain())
        .collect::<Result<_, _>>()
        .map_err(|error| wrong("tls_cert_file", error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(tls.private_key().expose_secret())
        .map_err(|error| wrong("tls_key_file", error.to_string()))?;
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong("tls_cert_file with tls_key_file", error.to_string()))
}
