//! The certificate of a listener: `tls_cert_file` and `tls_key_file` of `[server]` and `[admin]`.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use secrecy::SecretSlice;
use toml::Spanned;

use super::{
    context::Context,
    secrets::{MAX_KEY_FILE_BYTES, MAX_SECRET_FILE_BYTES},
};
use diagnostics::{Diagnostic, FilePlace, ReadFault, read_regular_file, read_secret_file};

/// The TLS of a listener: its certificate, and whose clients it takes.
#[derive(Debug)]
pub struct Tls {
    /// Where chain and key were read, to read them again.
    pub files: TlsFiles,
    /// What they contained.
    pub pem: TlsPem,
    /// Where the configuration names the chain.
    pub chain_place: FilePlace,
    /// Where the configuration names the key.
    pub key_place: FilePlace,
    /// Who must have signed the certificate of a client. If empty, clients need none.
    pub client_authorities: Vec<CertificateDer<'static>>,
}

/// The files of a certificate.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate chain, the leaf first.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A certificate chain and its private key, both in PEM.
#[derive(Debug)]
pub struct TlsPem {
    /// The certificate chain.
    pub chain: Vec<u8>,
    /// The private key.
    pub key: SecretSlice<u8>,
}

/// Why the files of a certificate cannot be read again.
#[derive(Debug, thiserror::Error)]
#[error("{} {fault}; {}", path.display(), fault.help(path))]
pub struct TlsUnreadable {
    path: PathBuf,
    fault: ReadFault,
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
            pem: TlsPem {
                chain: context.read_file(&chain)?,
                key: SecretSlice::from(context.read_secret_file(&key)?.to_vec()),
            },
            files: TlsFiles { chain: context.resolve(chain.get_ref()), key: context.resolve(key.get_ref()) },
            chain_place: context.file_place(chain.span()),
            key_place: context.file_place(key.span()),
            client_authorities: Vec::new(),
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
    /// When one of them cannot be read.
    pub fn read(&self) -> Result<TlsPem, TlsUnreadable> {
        let unreadable = |path: &PathBuf, fault| TlsUnreadable { path: path.clone(), fault };
        let chain = read_regular_file(&self.chain, MAX_KEY_FILE_BYTES)
            .map_err(|fault| unreadable(&self.chain, fault))?;
        let key = read_secret_file(&self.key, MAX_SECRET_FILE_BYTES)
            .map_err(|fault| unreadable(&self.key, fault))?;
        Ok(TlsPem { chain, key: SecretSlice::from(key.to_vec()) })
    }
}
