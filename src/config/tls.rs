//! The TLS of a listener: `tls_cert_file` and `tls_key_file` of `[server]` and `[admin]`, and `client_ca_file` of `[admin]`.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use secrecy::SecretSlice;
use toml::Spanned;

use super::{
    context::Context,
    network::usable_certificates,
    secrets::{MAX_KEY_FILE_BYTES, MAX_SECRET_FILE_BYTES},
};
use diagnostics::{Diagnostic, FilePlace, ReadFault, read_regular_file, read_secret_file};

/// The TLS of a listener: its certificate, and whose clients it takes.
#[derive(Debug)]
pub struct Tls {
    /// The files, to read them again.
    pub files: TlsFiles,
    /// What they contained.
    pub contents: TlsContents,
    /// Where the configuration names the chain.
    pub chain_place: FilePlace,
    /// Where the configuration names the key.
    pub key_place: FilePlace,
}

/// The files of a listener's TLS.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate chain, the leaf first.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The certificates of those who sign the certificates of clients. Without it, clients need none.
    pub client_authorities: Option<PathBuf>,
}

/// What the files of a listener's TLS contain.
#[derive(Debug)]
pub struct TlsContents {
    /// The certificate chain in PEM.
    pub chain: Vec<u8>,
    /// The private key in PEM.
    pub key: SecretSlice<u8>,
    /// Who must have signed the certificate of a client. If empty, clients need none.
    pub client_authorities: Vec<CertificateDer<'static>>,
}

/// Why the files of a listener's TLS cannot be read again.
#[derive(Debug, thiserror::Error)]
pub enum TlsUnreadable {
    /// A file cannot be read.
    #[error("{} {fault}; {}", path.display(), fault.help(path))]
    File { path: PathBuf, fault: ReadFault },
    /// The file of the authorities of clients has none.
    #[error("{} holds no certificates in PEM; put that of the authority there", path.display())]
    NoCertificates { path: PathBuf },
}

/// Reads the certificate of a listener, if its section names one.
pub(super) fn tls(
    section: &str,
    chain: Option<Spanned<PathBuf>>,
    key: Option<Spanned<PathBuf>>,
    context: &Context<'_>,
) -> Result<Option<Tls>, Diagnostic> {
    match (chain, key) {
        (None, None) => Ok(None),
        (Some(chain), Some(key)) => Ok(Some(Tls {
            contents: TlsContents {
                chain: context.read_file(&chain)?,
                key: SecretSlice::from(context.read_secret_file(&key)?.to_vec()),
                client_authorities: Vec::new(),
            },
            files: TlsFiles {
                chain: context.resolve(chain.get_ref()),
                key: context.resolve(key.get_ref()),
                client_authorities: None,
            },
            chain_place: context.file_place(chain.span()),
            key_place: context.file_place(key.span()),
        })),
        (Some(only), None) | (None, Some(only)) => Err(context.problem(
            only.span(),
            format!("[{section}] has one of tls_cert_file and tls_key_file"),
            "give both, or neither for plain HTTP behind a TLS proxy",
        )),
    }
}

impl TlsFiles {
    /// Reads the files again. Blocks.
    ///
    /// # Errors
    /// When one of them cannot be read, or that of the authorities has no certificates.
    pub fn read(&self) -> Result<TlsContents, TlsUnreadable> {
        let unreadable = |path: &PathBuf, fault| TlsUnreadable::File { path: path.clone(), fault };
        let chain = read_regular_file(&self.chain, MAX_KEY_FILE_BYTES)
            .map_err(|fault| unreadable(&self.chain, fault))?;
        let key = read_secret_file(&self.key, MAX_SECRET_FILE_BYTES)
            .map_err(|fault| unreadable(&self.key, fault))?;
        let client_authorities = match &self.client_authorities {
            None => Vec::new(),
            Some(path) => {
                let pem =
                    read_regular_file(path, MAX_KEY_FILE_BYTES).map_err(|fault| unreadable(path, fault))?;
                usable_certificates(&pem)
                    .ok_or_else(|| TlsUnreadable::NoCertificates { path: path.clone() })?
            }
        };
        Ok(TlsContents { chain, key: SecretSlice::from(key.to_vec()), client_authorities })
    }
}
