//! TLS of a listener: TLS 1.2 and 1.3, with certificates of clients if their authorities are configured. Its files are read
//! again when they change, and connections that are open keep what they began with.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tokio::time::{MissedTickBehavior, interval};
use x509_parser::parse_x509_certificate;

use crate::{
    config::{Tls, TlsContents, TlsFiles},
    metrics::MetricsWriter,
};
use diagnostics::Diagnostic;
use runtime::file_work::FileWorker;

/// How often the files are read.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

const WHAT_IS_NEEDED: &str = "give a PEM certificate chain and the PEM key that belongs to it";

/// The TLS of a listener.
#[derive(Debug)]
pub(crate) struct ListenerTls {
    /// Names the listener in logs and metrics.
    listener: &'static str,
    files: TlsFiles,
    /// What new connections get. Exchanged as a whole, so that no session that began with other authorities is resumed.
    server: Arc<ArcSwap<ServerConfig>>,
    in_use: ArcSwap<InUse>,
    /// Whether the files as they are now cannot be used.
    is_stale: AtomicBool,
}

/// What is known of the files in use.
#[derive(Debug, PartialEq, Eq)]
struct InUse {
    expires_at: Timestamp,
    /// The SHA-256 of what was read.
    digest: [u8; 32],
}

/// Why the contents of the files cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("tls_cert_file cannot be used: {0}")]
    Chain(rustls::pki_types::pem::Error),
    #[error("tls_key_file cannot be used: {}", key_fault(.0))]
    Key(rustls::pki_types::pem::Error),
    #[error("tls_cert_file with tls_key_file cannot be used: {0}")]
    Pair(rustls::Error),
    #[error("tls_cert_file cannot be used: {0}")]
    Certificate(&'static str),
    #[error("client_ca_file cannot be used: {0}")]
    ClientAuthorities(#[from] VerifierBuilderError),
}

impl ListenerTls {
    /// Returns the TLS of a listener.
    ///
    /// # Errors
    /// If chain or key is not PEM, or they do not belong together.
    pub(crate) fn new(listener: &'static str, tls: &Tls) -> Result<Self, Diagnostic> {
        let (server, in_use) = usable(&tls.contents).map_err(|unusable| {
            let place = if unusable.is_of_the_key() { &tls.key_place } else { &tls.chain_place };
            place.problem(unusable.to_string(), WHAT_IS_NEEDED)
        })?;
        Ok(Self {
            listener,
            files: tls.files.clone(),
            server: Arc::new(ArcSwap::from_pointee(server)),
            in_use: ArcSwap::from_pointee(in_use),
            is_stale: AtomicBool::new(false),
        })
    }

    /// Returns what each new connection takes its TLS from.
    pub(crate) fn server(&self) -> Arc<ArcSwap<ServerConfig>> {
        Arc::clone(&self.server)
    }

    /// Uses changed files as soon as they are found, until dropped.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut polls = interval(POLL_INTERVAL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let worker = FileWorker::default();
        let mut last_fault = None;
        loop {
            polls.tick().await;
            let (files, worker) = (self.files.clone(), worker.clone());
            let read = move || worker.run(move || files.read());
            // A panic in there is reported by the hook; the next poll tries again.
            let Ok(read) = tokio::task::spawn_blocking(read).await else { continue };
            let fault = match read {
                Ok(Ok(contents)) => {
                    self.take(&contents).err().map(|unusable| format!("{unusable}; {WHAT_IS_NEEDED}"))
                }
                Ok(Err(unreadable)) => Some(unreadable.to_string()),
                Err(no_result) => Some(no_result.to_string()),
            };
            if let Some(fault) = fault.as_ref().filter(|fault| last_fault.as_ref() != Some(*fault)) {
                tracing::error!(
                    listener = self.listener,
                    fault,
                    "the changed TLS files are not used; what was read before stays in use"
                );
            }
            self.is_stale.store(fault.is_some(), Ordering::Relaxed);
            last_fault = fault;
        }
    }

    /// Uses what was read, if it changed.
    fn take(&self, contents: &TlsContents) -> Result<(), Unusable> {
        if self.in_use.load().digest == digest_of(contents) {
            return Ok(());
        }
        let (server, in_use) = usable(contents)?;
        let (listener, expires_at) = (self.listener, in_use.expires_at);
        self.server.store(Arc::new(server));
        self.in_use.store(Arc::new(in_use));
        tracing::info!(listener, %expires_at, "new connections use the changed TLS files");
        Ok(())
    }
}

impl Unusable {
    fn is_of_the_key(&self) -> bool {
        matches!(self, Self::Key(_) | Self::Pair(_))
    }
}

fn key_fault(error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::NoItemsFound => "it contains no private key".to_owned(),
        other => other.to_string(),
    }
}

/// Returns the TLS that the contents of the files give. With authorities, a client must show a certificate of one of them.
fn usable(contents: &TlsContents) -> Result<(ServerConfig, InUse), Unusable> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(&contents.chain).collect::<Result<_, _>>().map_err(Unusable::Chain)?;
    let key = PrivateKeyDer::from_pem_slice(contents.key.expose_secret()).map_err(Unusable::Key)?;
    let in_use = InUse { expires_at: expiry(chain.first())?, digest: digest_of(contents) };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(Unusable::Pair)?;
    let builder = if contents.client_authorities.is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(contents.client_authorities.iter().cloned());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build()?)
    };
    let mut server = builder.with_single_cert(chain, key).map_err(Unusable::Pair)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((server, in_use))
}

/// Returns when the certificate of a chain's leaf ends to be valid.
fn expiry(leaf: Option<&CertificateDer<'_>>) -> Result<Timestamp, Unusable> {
    let leaf = leaf.ok_or(Unusable::Certificate("it contains no certificate"))?;
    let (_, certificate) = parse_x509_certificate(leaf)
        .map_err(|_| Unusable::Certificate("it contains no X.509 certificate"))?;
    Timestamp::from_second(certificate.validity().not_after.timestamp())
        .map_err(|_| Unusable::Certificate("its certificate ends at no time that can be"))
}

/// Returns the SHA-256 of all contents, each after its length.
fn digest_of(contents: &TlsContents) -> [u8; 32] {
    let authorities = contents.client_authorities.iter().map(|certificate| &**certificate);
    let parts = [contents.chain.as_slice(), contents.key.expose_secret()].into_iter().chain(authorities);
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Exports when the certificate of each listener expires, and whether its files can be used.
#[derive(Debug)]
pub(crate) struct CertificateMetrics {
    /// The listeners by name. None without TLS: then nothing expires.
    pub(crate) listeners: [(&'static str, Option<Arc<ListenerTls>>); 2],
}

impl Collector for CertificateMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = MetricsWriter::new(encoder);
        writer.gauges(
            "cosbroker_tls_certificate_expiry_timestamp_seconds",
            "When the certificate that new connections get expires; never without TLS",
            self.listeners.iter().map(|(listener, tls)| {
                let expires_at = tls
                    .as_ref()
                    .map_or(f64::INFINITY, |tls| tls.in_use.load().expires_at.as_duration().as_secs_f64());
                ([("listener", *listener)], expires_at)
            }),
        )?;
        writer.gauges(
            "cosbroker_tls_certificate_stale",
            "1 if the TLS files have changed and cannot be used",
            self.listeners.iter().map(|(listener, tls)| {
                let is_stale = tls.as_ref().is_some_and(|tls| tls.is_stale.load(Ordering::Relaxed));
                ([("listener", *listener)], i64::from(is_stale))
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretSlice;

    use diagnostics::Source;

    use super::*;

    fn contents_for(name: &str) -> TlsContents {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        TlsContents {
            chain: made.cert.pem().into_bytes(),
            key: SecretSlice::from(made.signing_key.serialize_pem().into_bytes()),
            client_authorities: Vec::new(),
        }
    }

    /// As [`contents_for`], with an authority for clients.
    fn with_authority(contents: &TlsContents) -> TlsContents {
        let authority = rcgen::generate_simple_self_signed(["clients".to_owned()]).unwrap();
        TlsContents {
            chain: contents.chain.clone(),
            key: contents.key.clone(),
            client_authorities: vec![authority.cert.der().clone()],
        }
    }

    fn tls(contents: TlsContents) -> Result<ListenerTls, Diagnostic> {
        let source = Source::new("config.toml", "[server]\nchain\nkey\n");
        ListenerTls::new(
            "public",
            &Tls {
                files: TlsFiles {
                    chain: "chain.pem".into(),
                    key: "key.pem".into(),
                    client_authorities: None,
                },
                contents,
                chain_place: source.file_place(9..14),
                key_place: source.file_place(15..18),
            },
        )
    }

    #[test]
    fn changed_files_are_used_and_mismatched_ones_are_not() {
        let tls = tls(contents_for("localhost")).unwrap();
        let first = tls.server().load_full();
        let (second, third) = (contents_for("localhost"), contents_for("localhost"));
        let mixed = TlsContents { chain: second.chain.clone(), ..third };
        let refused = tls.take(&mixed).unwrap_err();
        assert!(refused.to_string().contains("tls_cert_file with tls_key_file"), "{refused}");
        assert!(Arc::ptr_eq(&tls.server().load(), &first));
        tls.take(&second).unwrap();
        let server = tls.server().load_full();
        assert!(!Arc::ptr_eq(&server, &first));
        tls.take(&second).unwrap();
        assert!(Arc::ptr_eq(&tls.server().load(), &server), "unchanged files change nothing");
        tls.take(&with_authority(&second)).unwrap();
        assert!(!Arc::ptr_eq(&tls.server().load(), &server), "the authorities of clients changed");
    }

    #[test]
    fn what_cannot_be_used_is_told_once_at_its_own_line() {
        let other = contents_for("localhost").key;
        for (contents, told) in [
            (
                TlsContents { chain: b"no PEM".to_vec(), ..contents_for("localhost") },
                "config.toml:2:1: tls_cert_file cannot be used: it contains no certificate; give a PEM",
            ),
            (
                TlsContents { key: SecretSlice::from(b"no PEM".to_vec()), ..contents_for("localhost") },
                "config.toml:3:1: tls_key_file cannot be used: it contains no private key; give a PEM",
            ),
            (
                TlsContents { key: other, ..contents_for("localhost") },
                "config.toml:3:1: tls_cert_file with tls_key_file cannot be used: ",
            ),
        ] {
            let error = tls(contents).unwrap_err().to_string();
            assert!(error.starts_with(told), "{error}");
        }
    }

    #[test]
    fn the_expiry_is_that_of_the_leaf() {
        let expires_at = tls(contents_for("localhost")).unwrap().in_use.load().expires_at;
        // The default of rcgen.
        assert_eq!(expires_at.to_string(), "4096-01-01T00:00:00Z");
    }
}
