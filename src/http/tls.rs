//! TLS of the public listener: TLS 1.2 and 1.3, no client certificates.

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
/// If chain or key is not PEM, or they do not belong together.
pub(super) fn server(tls: &Tls) -> io::Result<ServerConfig> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(tls.certificate_chain())
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(tls, "tls_cert_file", &error))?;
    let key = PrivateKeyDer::from_pem_slice(tls.private_key().expose_secret())
        .map_err(|error| unusable(tls, "tls_key_file", &error))?;
    let mut server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unusable(tls, "tls_cert_file with tls_key_file", &error))?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(server)
}

fn unusable(tls: &Tls, what: &str, error: &impl std::error::Error) -> io::Error {
    let message = format!(
        "{}: {what} cannot be used: {error}; give a PEM certificate chain and the PEM key that belongs to it",
        tls.place()
    );
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
