//! TLS of a listener: TLS 1.2 and 1.3, with certificates of clients if their authorities are configured. The listener's
//! certificate is read again when its files change, and connections that are open keep the one they began with.

use std::{
    fmt, io,
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
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tokio::time::{MissedTickBehavior, interval};
use x509_parser::parse_x509_certificate;

use crate::{
    config::{Tls, TlsFiles, TlsPem},
    metrics::MetricsWriter,
};
use diagnostics::Diagnostic;
use runtime::file_work::FileWorker;

/// How often the files are read.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

const WHAT_IS_NEEDED: &str = "give a PEM certificate chain and the PEM key that belongs to it";

/// The certificate that a listener shows to new connections.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// Names the listener in logs and metrics.
    listener: &'static str,
    files: TlsFiles,
    shown: ArcSwap<Shown>,
    /// Whether the files as they are now cannot be used.
    is_stale: AtomicBool,
}

/// A certificate with its key, ready to use.
#[derive(Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    expires_at: Timestamp,
    /// The SHA-256 of chain and key as they were read.
    digest: [u8; 32],
}

/// Why a certificate and a key cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("tls_cert_file cannot be used: {0}")]
    Chain(rustls::pki_types::pem::Error),
    #[error("tls_key_file cannot be used: {0}")]
    Key(rustls::pki_types::pem::Error),
    #[error("tls_cert_file with tls_key_file cannot be used: {0}")]
    Pair(rustls::Error),
    #[error("tls_cert_file cannot be used: {0}")]
    Certificate(&'static str),
}

impl Certificate {
    /// Returns the certificate of a listener.
    ///
    /// # Errors
    /// If chain or key is not PEM, or they do not belong together.
    pub(crate) fn new(listener: &'static str, tls: &Tls) -> Result<Self, Diagnostic> {
        let shown = Shown::of(&tls.pem).map_err(|unusable| {
            let place = if unusable.is_of_the_key() { &tls.key_place } else { &tls.chain_place };
            place.problem(unusable.to_string(), WHAT_IS_NEEDED)
        })?;
        Ok(Self {
            listener,
            files: tls.files.clone(),
            shown: ArcSwap::from_pointee(shown),
            is_stale: AtomicBool::new(false),
        })
    }

    /// Returns the TLS of a listener that shows this certificate. With authorities, a client must show a certificate of
    /// one of them.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub(crate) fn server(
        self: &Arc<Self>,
        client_authorities: &[CertificateDer<'static>],
    ) -> io::Result<ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
        let builder = if client_authorities.is_empty() {
            builder.with_no_client_auth()
        } else {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(client_authorities.iter().cloned());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(io::Error::other)?)
        };
        let mut server = builder.with_cert_resolver(Arc::clone(self) as _);
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(server)
    }

    /// Shows a changed certificate as soon as it is found, until dropped.
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
                Ok(Ok(pem)) => self.take(&pem).err().map(|unusable| unusable.to_string()),
                Ok(Err(unreadable)) => Some(unreadable.to_string()),
                Err(no_result) => Some(no_result.to_string()),
            };
            if let Some(fault) = fault.as_ref().filter(|fault| last_fault.as_ref() != Some(*fault)) {
                tracing::error!(
                    listener = self.listener,
                    fault,
                    help = WHAT_IS_NEEDED,
                    "the changed certificate is not used; the present one stays in use"
                );
            }
            self.is_stale.store(fault.is_some(), Ordering::Relaxed);
            last_fault = fault;
        }
    }

    /// Uses what was read, if it changed.
    fn take(&self, pem: &TlsPem) -> Result<(), Unusable> {
        if self.shown.load().digest == digest_of(pem) {
            return Ok(());
        }
        let shown = Shown::of(pem)?;
        let listener = self.listener;
        tracing::info!(listener, expires_at = %shown.expires_at, "new connections get the changed certificate");
        self.shown.store(Arc::new(shown));
        Ok(())
    }
}

impl Unusable {
    fn is_of_the_key(&self) -> bool {
        matches!(self, Self::Key(_) | Self::Pair(_))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.load().key))
    }
}

impl Shown {
    fn of(pem: &TlsPem) -> Result<Self, Unusable> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(&pem.chain).collect::<Result<_, _>>().map_err(Unusable::Chain)?;
        let key = PrivateKeyDer::from_pem_slice(pem.key.expose_secret()).map_err(Unusable::Key)?;
        let expires_at = expiry(chain.first())?;
        let key =
            CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(Unusable::Pair)?;
        Ok(Self { key: Arc::new(key), expires_at, digest: digest_of(pem) })
    }
}

/// Returns when the certificate of a chain's leaf ends to be valid.
fn expiry(leaf: Option<&CertificateDer<'_>>) -> Result<Timestamp, Unusable> {
    let leaf = leaf.ok_or(Unusable::Certificate("it contains no certificate"))?;
    let (_, certificate) = parse_x509_certificate(leaf)
        .map_err(|_| Unusable::Certificate("it contains no X.509 certificate"))?;
    Timestamp::from_second(certificate.validity().not_after.timestamp())
        .map_err(|_| Unusable::Certificate("its certificate ends at no time that can be"))
}

fn digest_of(pem: &TlsPem) -> [u8; 32] {
    let hash = Sha256::new_with_prefix((pem.chain.len() as u64).to_be_bytes());
    hash.chain_update(&pem.chain).chain_update(pem.key.expose_secret()).finalize().into()
}

/// Exports when the certificate of each listener expires, and whether its files can be used.
#[derive(Debug)]
pub(crate) struct CertificateMetrics {
    /// The listeners by name. None without TLS: then nothing expires.
    pub(crate) certificates: [(&'static str, Option<Arc<Certificate>>); 2],
}

impl Collector for CertificateMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = MetricsWriter::new(encoder);
        writer.gauges(
            "cosbroker_tls_certificate_expiry_timestamp_seconds",
            "When the certificate that new connections get expires; never without TLS",
            self.certificates.iter().map(|(listener, certificate)| {
                let expires_at = certificate.as_ref().map_or(f64::INFINITY, |certificate| {
                    certificate.shown.load().expires_at.as_duration().as_secs_f64()
                });
                ([("listener", *listener)], expires_at)
            }),
        )?;
        writer.gauges(
            "cosbroker_tls_certificate_stale",
            "1 if the files of the certificate have changed and cannot be used",
            self.certificates.iter().map(|(listener, certificate)| {
                let is_stale = certificate
                    .as_ref()
                    .is_some_and(|certificate| certificate.is_stale.load(Ordering::Relaxed));
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

    fn pem_for(name: &str) -> TlsPem {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        TlsPem {
            chain: made.cert.pem().into_bytes(),
            key: SecretSlice::from(made.signing_key.serialize_pem().into_bytes()),
        }
    }

    fn certificate(pem: TlsPem) -> Result<Certificate, Diagnostic> {
        let source = Source::new("config.toml", "[server]\nchain\nkey\n");
        Certificate::new(
            "public",
            &Tls {
                files: TlsFiles { chain: "chain.pem".into(), key: "key.pem".into() },
                pem,
                chain_place: source.file_place(9..14),
                key_place: source.file_place(15..18),
                client_authorities: Vec::new(),
            },
        )
    }

    fn leaf(certificate: &Certificate) -> Vec<u8> {
        certificate.shown.load().key.cert[0].to_vec()
    }

    #[test]
    fn a_changed_pair_is_shown_and_a_mismatched_one_is_not() {
        let certificate = certificate(pem_for("localhost")).unwrap();
        let first = leaf(&certificate);
        let (second, third) = (pem_for("localhost"), pem_for("localhost"));
        let mixed = TlsPem { chain: second.chain.clone(), key: third.key };
        let refused = certificate.take(&mixed).unwrap_err();
        assert!(refused.to_string().contains("tls_cert_file with tls_key_file"), "{refused}");
        assert_eq!(leaf(&certificate), first);
        certificate.take(&second).unwrap();
        assert_ne!(leaf(&certificate), first);
    }

    #[test]
    fn what_cannot_be_used_is_told_once_at_its_own_line() {
        let other = pem_for("localhost").key;
        for (pem, told) in [
            (
                TlsPem { chain: b"no PEM".to_vec(), ..pem_for("localhost") },
                "config.toml:2:1: tls_cert_file cannot be used: it contains no certificate; give a PEM",
            ),
            (
                TlsPem { key: SecretSlice::from(b"no PEM".to_vec()), ..pem_for("localhost") },
                "config.toml:3:1: tls_key_file cannot be used: ",
            ),
            (
                TlsPem { key: other, ..pem_for("localhost") },
                "config.toml:3:1: tls_cert_file with tls_key_file cannot be used: ",
            ),
        ] {
            let error = certificate(pem).unwrap_err().to_string();
            assert!(error.starts_with(told), "{error}");
        }
    }

    #[test]
    fn the_expiry_is_that_of_the_leaf() {
        let expires_at = certificate(pem_for("localhost")).unwrap().shown.load().expires_at;
        // The default of rcgen.
        assert_eq!(expires_at.to_string(), "4096-01-01T00:00:00Z");
    }
}
