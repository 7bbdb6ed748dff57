//! The one place that wires the rooms together: a checked configuration becomes two listeners.

mod source_credentials;

use std::{
    future::Future,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_web::dev::Server;
use prometheus_client::registry::Registry;
use tokio::{
    net::TcpSocket,
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

use crate::{
    admin::{self, AdminState, Services},
    audit::{Audit, CannotWrite, Event},
    canary::{self, Canary},
    config::{Config, TemplateSettings},
    credential_cache::CredentialCache,
    http::{self, Api, RecentRefusals},
    identity::Verifier,
    reload::{self, TemplateStore},
    sts::TencentSts,
    telemetry::{CannotExport, Tracer},
};
use diagnostics::Diagnostic;
use runtime::{clock::Clock, entropy::Entropy};
use templates::{IssuerTrust, ServingConstraints, TemplateSet};

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration or a template, problem by problem.
    #[error("{}", lines(.0))]
    Problems(Vec<Diagnostic>),
    /// An issuer's key.
    #[error("{0}; mend that section or the file it names")]
    Key(#[from] crate::identity::KeyFault),
    /// No HTTP client can be made.
    #[error("the client of STS cannot be made: {0}")]
    Client(#[from] tencent_sts::InvalidConfig),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] CannotWrite),
    /// The way to the collector.
    #[error(transparent)]
    Tracing(#[from] CannotExport),
    /// The canary's template.
    #[error("{place}: {unfit}; name one in canary.template that lets each user write in their own folder")]
    Canary {
        /// Where the configuration has the section.
        place: String,
        /// What is wrong with it.
        unfit: canary::Unfit,
    },
    /// No HTTP client can be made.
    #[error(transparent)]
    Cos(#[from] canary::NoClient),
    /// A listener.
    #[error(
        "cannot listen on {address}: {error}; {} (server.listen, admin.listen; in the sandbox --listen, --admin-listen, --cloud-listen)",
        to_listen(error)
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// The servers.
    #[error("cannot serve: {0}")]
    Serve(#[from] std::io::Error),
}

/// How to mend what keeps a listener from an address.
fn to_listen(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            "choose a port of 1024 or more, or give the service CAP_NET_BIND_SERVICE"
        }
        ErrorKind::AddrNotAvailable => "choose an address of this machine",
        _ => "end what listens there, or choose another address",
    }
}

fn lines(problems: &[Diagnostic]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A service ready to run.
pub struct App {
    public: (SocketAddr, Server),
    operators: (SocketAddr, Server),
    figures: Arc<AdminState>,
    verifier: Arc<Verifier>,
    templates: Arc<TemplateStore>,
    sts: Arc<TencentSts>,
    cache: CredentialCache,
    audit: Audit,
    tracer: Tracer,
    canary: Option<Arc<Canary>>,
    clock: Arc<dyn Clock>,
    /// Taken before anybody is told that this process serves: a SIGHUP that nobody listens for ends it.
    hangups: Signal,
    /// Taken, though nobody waits for it: it would end the process where a file may grow no more (setrlimit(2),
    /// `RLIMIT_FSIZE`), which is no more than a full disk.
    _file_limits: Signal,
    draining: Arc<AtomicBool>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("public", &self.public.0)
            .field("operators", &self.operators.0)
            .finish_non_exhaustive()
    }
}

/// What a configuration asks of its templates. A claim is trusted only if every issuer vouches for it.
pub fn terms(outline: &TemplateSettings) -> ServingConstraints {
    let trusted = outline.issuers.iter().map(|(_, trusted)| trusted);
    let everywhere = |claim: &&String| trusted.clone().all(|trusted| trusted.contains(claim));
    ServingConstraints {
        issuer_trust: IssuerTrust {
            several: outline.issuers.len() > 1,
            trusted_claims: trusted.clone().flatten().filter(everywhere).cloned().collect(),
        },
        longest: outline.longest,
        min_remaining: outline.min_remaining,
        default: outline.templates.default.clone(),
    }
}

/// Whether the canary could run with these templates.
///
/// # Errors
/// Why not.
pub fn check_canary(
    canary: &crate::config::Canary,
    templates: &TemplateSet,
    issuers: &[String],
) -> Result<(), StartError> {
    let issuer = issuers.first().map_or("", String::as_str);
    canary::check(templates, &canary.template, issuer)
        .map_err(|unfit| StartError::Canary { place: canary.place.clone(), unfit })
}

impl App {
    /// Builds the service and takes its ports; serves nobody yet.
    ///
    /// # Errors
    /// Why it cannot start.
    pub fn build(
        config: Config,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, StartError> {
        let runtime = Handle::current();
        let templates =
            TemplateStore::open(config.templates.dir.clone(), terms(&config.outline()), clock.now());
        let templates = Arc::new(templates.map_err(StartError::Problems)?);
        let issuers: Vec<String> = config.issuers.iter().map(|issuer| issuer.issuer.clone()).collect();
        if let Some(canary) = &config.canary {
            check_canary(canary, &templates.current(), &issuers)?;
        }
        let verifier = Arc::new(Verifier::new(config.issuers, Arc::clone(&clock), &runtime)?);
        let tracer =
            Tracer::start(config.tracing.as_ref(), Arc::clone(&clock), Arc::clone(&entropy), &runtime)?;
        let sts = TencentSts::new(config.sts, Arc::clone(&clock), Arc::clone(&entropy))?;
        let sts = Arc::new(sts.traced(tracer.clone()));
        let audit = Audit::start(config.audit, Arc::clone(&clock))?;
        let cache = CredentialCache::new(
            config.cache,
            &config.limits,
            Arc::clone(&sts) as Arc<dyn crate::sts::Sts>,
            audit.clone(),
            Arc::clone(&clock),
            Arc::clone(&entropy),
            runtime,
        );
        let canary = config.canary.map(|canary| {
            let deps = canary::CanaryDeps {
                templates: Arc::clone(&templates),
                issuer: issuers.first().cloned().unwrap_or_default(),
                sts: Arc::clone(&sts) as Arc<dyn crate::sts::Sts>,
                audit: audit.clone(),
                clock: Arc::clone(&clock),
                entropy: Arc::clone(&entropy),
            };
            Canary::new(canary, deps).map(Arc::new)
        });
        let canary = canary.transpose()?;
        let draining = Arc::new(AtomicBool::new(false));
        let metrics = http::Metrics::default();
        let mut registry = Registry::default();
        metrics.show_templates(templates.current().names());
        cache.register(&mut registry);
        metrics.register(&mut registry);
        sts.register(&mut registry);
        templates.register(&mut registry);
        verifier.register(&mut registry);
        audit.register(&mut registry);
        tracer.register(&mut registry);
        if let Some(canary) = &canary {
            canary.register(&mut registry);
        }
        let (operators_at, listener) = listen(config.admin.listen)?;
        let recent = RecentRefusals::default();
        let services = Services {
            cache: cache.clone(),
            templates: Arc::clone(&templates),
            verifier: Arc::clone(&verifier),
            sts: Arc::clone(&sts),
            requests: metrics.clone(),
            recent: recent.clone(),
            canary: canary.clone(),
            audit: audit.clone(),
            clock: Arc::clone(&clock),
        };
        let figures = Arc::new(AdminState::new(registry, services, config.admin.token));
        let operators = admin::serve(Arc::clone(&figures), listener)?;
        let (public_at, listener) = listen(config.server.listen)?;
        let api = Api {
            verifier: Arc::clone(&verifier),
            templates: Arc::clone(&templates),
            cache: cache.clone(),
            audit: audit.clone(),
            tracer: tracer.clone(),
            clock: Arc::clone(&clock),
            entropy,
            metrics,
            recent,
            trusted_proxies: config.server.trusted_proxies.clone(),
            draining: Arc::clone(&draining),
        };
        let public = http::serve(api, listener, config.server)?;
        Ok(Self {
            public: (public_at, public),
            operators: (operators_at, operators),
            figures,
            verifier,
            templates,
            sts,
            cache,
            audit,
            tracer,
            canary,
            clock,
            hangups: signal(SignalKind::hangup())?,
            _file_limits: signal(SignalKind::from_raw(SIGXFSZ))?,
            draining,
        })
    }

    /// Where the public API listens.
    pub fn public_address(&self) -> SocketAddr {
        self.public.0
    }

    /// Where the operators' listener stands.
    pub fn operators_address(&self) -> SocketAddr {
        self.operators.0
    }

    /// Names the templates that serve, whenever it is called.
    pub fn template_names(&self) -> impl Fn() -> Vec<String> + Send + Sync + use<> {
        let templates = Arc::clone(&self.templates);
        move || templates.current().names().map(str::to_owned).collect()
    }

    /// Serves until `stop` comes, then lets running asks and calls to STS finish, the audit log say so, and
    /// the last spans go.
    ///
    /// # Errors
    /// When a listener fails.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        let (cache, audit, tracer) = (self.cache.clone(), self.audit.clone(), self.tracer.clone());
        audit.record(Event::start(&self.templates.current()));
        let served = self.serve(stop).await;
        // Nobody starts one any more, and each ends by itself within `sts.timeout`.
        cache.wait_idle().await;
        let audited = tokio::task::spawn_blocking(move || audit.close());
        if let (Err(error), ()) = tokio::join!(audited, tracer.close()) {
            tracing::error!(%error, "the audit log could not be ended");
        }
        served
    }

    async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        // The hour begins before the first ask, which its first moment is to count.
        self.figures.record_sample();
        let (public, operators) = (self.public.1, self.operators.1);
        let (public_handle, operators_handle) = (public.handle(), operators.handle());
        let serving = async { tokio::try_join!(public, operators) };
        tokio::pin!(serving);
        // Beside the rest: an issuer that hangs must not keep the process from being stopped.
        tokio::spawn(async move { self.verifier.warm_up().await });
        let watch = tokio::spawn(reload::watch(self.templates, self.audit, self.clock, self.hangups));
        let rotation = tokio::spawn(source_credentials::watch(self.sts));
        let look = tokio::spawn(look(self.figures));
        let canary = self.canary.map(|canary| tokio::spawn(canary.watch()));
        tokio::select! {
            ended = &mut serving => ended?,
            () = stop => {
                self.draining.store(true, Ordering::Relaxed);
                tracing::info!("stopping: no new connections, running asks may finish");
                // A server stops only while it is polled.
                let (ended, (), ()) =
                    tokio::join!(serving, public_handle.stop(true), operators_handle.stop(true));
                ended?
            }
        };
        watch.abort();
        rotation.abort();
        look.abort();
        if let Some(canary) = canary {
            canary.abort();
        }
        Ok(())
    }
}

/// Has the figures remembered again and again, so that their last hour can be shown, until dropped.
async fn look(figures: Arc<AdminState>) {
    loop {
        sleep(admin::SAMPLE_INTERVAL).await;
        figures.record_sample();
    }
}

/// The signal's number, the same on every architecture of Linux that Rust's standard library runs on but MIPS.
const SIGXFSZ: i32 = 25;

/// Connections that may wait to be accepted: an app's users come back together after an outage, and the
/// standard library's 128 would make them wait for a second SYN.
const BACKLOG: u32 = 4096;

fn listen(address: SocketAddr) -> Result<(SocketAddr, TcpListener), StartError> {
    let taken = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?.into_std()?;
        Ok((listener.local_addr()?, listener))
    };
    taken().map_err(|error| StartError::Listen { address, error })
}
