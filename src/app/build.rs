//! Builds the service from its configuration.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::{App, Listener, Signals, StartError, listen::listen, snapshot::Snapshot, stop::Stop};
use crate::{
    admin::{AdminState, Services},
    audit::Audit,
    canary::{self, Canary, CanaryDeps},
    config::{self, AdminParts, Config, ConfigParts, Issuer, Tls},
    connections,
    credential_cache::CredentialCache,
    http::{self, Api, CertificateMetrics, CorsPolicy, ListenerTls, RecentRefusals},
    identity::Verifier,
    reload::{TemplateStore, folder},
    replicas::Replicas,
    sts::{Sts, TencentSts},
    telemetry::{Log, Tracer},
};
use diagnostics::Diagnostic;
use runtime::{clock::Clock, entropy::Entropy};
use templates::TemplateSet;

/// SIGXFSZ: the same number on every Linux architecture that Rust's standard library supports, except MIPS.
const SIGXFSZ: i32 = 25;

/// The modules of the service, connected to each other.
struct Components {
    templates: Arc<TemplateStore>,
    verifier: Arc<Verifier>,
    tracer: Tracer,
    sts: Arc<TencentSts>,
    audit: Audit,
    cache: CredentialCache,
    replicas: Option<Arc<Replicas>>,
    snapshot: Option<Snapshot>,
    canary: Option<Arc<Canary>>,
    requests: http::Metrics,
    recent: RecentRefusals,
    log: Log,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// Checks that the canary can run with these templates.
///
/// # Errors
/// Why not.
pub fn check_canary(
    canary: &config::Canary,
    templates: &TemplateSet,
    issuer: &str,
) -> Result<(), StartError> {
    canary::check(templates, canary.template(), issuer)
        .map_err(|unfit| StartError::Canary { place: canary.place().to_owned(), unfit: Box::new(unfit) })
}

impl App {
    /// Builds the service and takes its ports. It serves once it runs, until `shutdown` is cancelled.
    ///
    /// # Errors
    /// Why it cannot start.
    pub fn build(
        config: Config,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        log: Log,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let templates = open_templates(&config, &*clock)?;
        let ConfigParts {
            server,
            admin,
            issuers,
            sts,
            cache,
            limits,
            network,
            redis,
            audit,
            tracing,
            snapshot,
            canary,
            ..
        } = config.into_parts();
        let issuer = issuers.first().name.canonical().to_owned();
        let runtime = Handle::current();
        for warning in issuers.iter().flat_map(Issuer::warnings) {
            tracing::warn!(warning, "an issuer is accepted with less than usual");
        }
        let verifier =
            Verifier::new(issuers.into_vec(), cache.token_bytes(), &network, Arc::clone(&clock), &runtime)?;
        let verifier = Arc::new(verifier);
        let tracer =
            Tracer::start(tracing.as_ref(), &network, Arc::clone(&clock), Arc::clone(&entropy), &runtime)?;
        let calls_per_second = sts.calls_per_second();
        let sts = TencentSts::new(sts, &network, Arc::clone(&clock), Arc::clone(&entropy))?;
        let sts = sts.traced(tracer.clone());
        let replicas = redis.map(|redis| Replicas::new(redis, calls_per_second, &network, &clock, &entropy));
        let replicas = replicas.transpose()?.map(Arc::new);
        let sts = Arc::new(match &replicas {
            Some(replicas) => sts.sharing(replicas.quota()),
            None => sts,
        });
        let audit = Audit::start(audit, Arc::clone(&clock))?;
        let cache = CredentialCache::new(
            cache,
            &limits,
            Arc::clone(&sts) as Arc<dyn Sts>,
            audit.clone(),
            Arc::clone(&clock),
            Arc::clone(&entropy),
            runtime,
        );
        if let Some(replicas) = &replicas {
            cache.share(Arc::clone(replicas));
        }
        let snapshot = snapshot.map(|config| Snapshot::new(config, cache.clone()));
        if let Some(snapshot) = &snapshot {
            snapshot.read(sts.binding());
        }
        let requests = http::Metrics::default();
        requests.show_templates(templates.current().names());
        let mut components = Components {
            templates,
            verifier,
            tracer,
            sts,
            audit,
            cache,
            replicas,
            snapshot,
            canary: None,
            requests,
            recent: RecentRefusals::default(),
            log,
            clock,
            entropy,
        };
        components.canary = canary.map(|canary| components.canary(canary, &network, issuer)).transpose()?;
        components.listen(&server, admin, shutdown)
    }
}

/// Loads the templates and checks that the canary can run with them.
fn open_templates(config: &Config, clock: &dyn Clock) -> Result<Arc<TemplateStore>, StartError> {
    let constraints = config.template_settings().serving_constraints();
    for file in folder::skipped(config.templates().dir()) {
        tracing::warn!(file = %file.display(), "a file is no template: its name does not end in .toml");
    }
    let templates = TemplateStore::open(config.templates().dir().to_owned(), constraints, clock.now())
        .map_err(StartError::Problems)?;
    if let Some(canary) = config.canary() {
        check_canary(canary, &templates.current(), config.issuers().first().name.canonical())?;
    }
    Ok(Arc::new(templates))
}

/// Returns the TLS of a listener that has one.
fn listener_tls(listener: &'static str, tls: Option<&Tls>) -> Result<Option<Arc<ListenerTls>>, Diagnostic> {
    Ok(tls.map(|tls| ListenerTls::new(listener, tls)).transpose()?.map(Arc::new))
}

impl Components {
    fn canary(
        &self,
        canary: config::Canary,
        network: &config::Network,
        issuer: String,
    ) -> Result<Arc<Canary>, StartError> {
        let deps = CanaryDeps {
            templates: Arc::clone(&self.templates),
            issuer,
            sts: Arc::clone(&self.sts) as Arc<dyn Sts>,
            audit: self.audit.clone(),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
        };
        Ok(Arc::new(Canary::new(canary, network, deps)?))
    }

    /// Takes the ports and creates the servers, the operators' first.
    fn listen(
        self,
        server: &config::Server,
        admin: config::Admin,
        shutdown: CancellationToken,
    ) -> Result<App, StartError> {
        let max_connections = connections::raise_open_file_limit(server.max_connections()).connections();
        let closing = CancellationToken::new();
        let AdminParts { listen: address, tokens, tls } = admin.into_parts();
        let (operators_address, operators_socket) = listen(Listener::Operators, address)?;
        let (public_address, public_socket) = listen(Listener::Public, server.listen())?;
        let api = self.api(server, shutdown.clone());
        let public_tls = listener_tls("public", server.tls())?;
        let operators_tls = listener_tls("operators", tls.as_ref())?;
        let public =
            http::serve(api, public_socket, server, public_tls.as_deref(), max_connections, closing.clone());
        let mut registry = self.registry();
        registry.register_collector(Box::new(CertificateMetrics {
            listeners: [("public", public_tls.clone()), ("operators", operators_tls.clone())],
        }));
        public.register(&mut registry);
        let admin = Arc::new(self.admin_state(registry, tokens, operators_tls.is_some(), shutdown.clone()));
        let exchangeable = operators_tls.as_deref().map(ListenerTls::server);
        let operators =
            crate::admin::serve(Arc::clone(&admin), operators_socket, exchangeable, closing.clone());
        Ok(App {
            public: (public_address, public),
            operators: (operators_address, operators),
            tls: public_tls.into_iter().chain(operators_tls).collect(),
            admin,
            verifier: self.verifier,
            templates: self.templates,
            sts: self.sts,
            cache: self.cache,
            replicas: self.replicas,
            audit: self.audit,
            tracer: self.tracer,
            snapshot: self.snapshot,
            canary: self.canary,
            clock: self.clock,
            signals: Signals {
                hangup: signal(SignalKind::hangup())?,
                _file_size_limit: signal(SignalKind::from_raw(SIGXFSZ))?,
            },
            stop: Stop { requested: shutdown, drain_delay: server.drain_delay(), closing },
        })
    }

    /// A registry with the metrics of every module.
    fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        self.cache.register(&mut registry);
        self.requests.register(&mut registry);
        self.sts.register(&mut registry);
        self.templates.register(&mut registry);
        self.verifier.register(&mut registry);
        self.audit.register(&mut registry);
        self.tracer.register(&mut registry);
        self.log.register(&mut registry);
        if let Some(canary) = &self.canary {
            canary.register(&mut registry);
        }
        if let Some(replicas) = &self.replicas {
            replicas.register(&mut registry);
        }
        registry
    }

    fn admin_state(
        &self,
        registry: Registry,
        tokens: Option<config::AdminTokens>,
        uses_tls: bool,
        stopping: CancellationToken,
    ) -> AdminState {
        let services = Services {
            cache: self.cache.clone(),
            templates: Arc::clone(&self.templates),
            verifier: Arc::clone(&self.verifier),
            sts: Arc::clone(&self.sts),
            requests: self.requests.clone(),
            recent: self.recent.clone(),
            canary: self.canary.clone(),
            replicas: self.replicas.clone(),
            audit: self.audit.clone(),
            stopping,
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
        };
        AdminState::new(registry, services, tokens, uses_tls)
    }

    fn api(&self, server: &config::Server, shutdown: CancellationToken) -> Api {
        Api {
            verifier: Arc::clone(&self.verifier),
            templates: Arc::clone(&self.templates),
            cache: self.cache.clone(),
            audit: self.audit.clone(),
            tracer: self.tracer.clone(),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            metrics: self.requests.clone(),
            recent: self.recent.clone(),
            cors: CorsPolicy::new(server.cors_origins(), server.cors_headers()),
            trusted_proxies: server.trusted_proxies().to_vec(),
            shutdown,
        }
    }
}
