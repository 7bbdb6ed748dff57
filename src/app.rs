//! The service: a checked configuration becomes two listeners and the tasks behind them.

mod build;
mod error;
mod listen;
mod memory;
mod run;
mod snapshot;
mod source_credentials;
mod stop;

use std::{net::SocketAddr, sync::Arc};

use tokio::signal::unix::Signal;

#[cfg(feature = "sandbox")]
pub(crate) use self::error::listen_help;
use self::stop::Stop;
pub use self::{
    build::check_canary,
    error::{Listener, StartError},
    memory::MemoryNeed,
};
use crate::{
    admin::AdminState, audit::Audit, canary::Canary, connections::Server, credential_cache::CredentialCache,
    http::ListenerTls, identity::Verifier, reload::TemplateStore, replicas::Replicas, sts::TencentSts,
    telemetry::Tracer,
};
use runtime::clock::Clock;

/// A service that is ready to run: its ports are taken, and no request is served yet.
pub struct App {
    public: (SocketAddr, Server),
    operators: (SocketAddr, Server),
    /// Of the listeners that use TLS.
    tls: Vec<Arc<ListenerTls>>,
    admin: Arc<AdminState>,
    verifier: Arc<Verifier>,
    templates: Arc<TemplateStore>,
    sts: Arc<TencentSts>,
    cache: CredentialCache,
    /// None if nothing is shared with other replicas.
    replicas: Option<Arc<Replicas>>,
    audit: Audit,
    tracer: Tracer,
    snapshot: Option<snapshot::Snapshot>,
    canary: Option<Arc<Canary>>,
    clock: Arc<dyn Clock>,
    signals: Signals,
    stop: Stop,
}

/// Signals that would end the process if nothing received them.
struct Signals {
    /// SIGHUP, received before the service is reported as ready: it reloads the templates.
    hangup: Signal,
    /// SIGXFSZ, which is only received, so that a write beyond a file size limit (setrlimit(2), `RLIMIT_FSIZE`)
    /// fails like a write to a full disk.
    _file_size_limit: Signal,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("public", &self.public.0)
            .field("operators", &self.operators.0)
            .finish_non_exhaustive()
    }
}

impl App {
    /// The address of the public listener.
    pub fn public_address(&self) -> SocketAddr {
        self.public.0
    }

    /// The address of the operators' listener.
    pub fn operators_address(&self) -> SocketAddr {
        self.operators.0
    }

    /// Returns a function that lists the names of the templates in use.
    pub fn template_names(&self) -> impl Fn() -> Vec<String> + Send + Sync + use<> {
        let templates = Arc::clone(&self.templates);
        move || templates.current().names().map(str::to_owned).collect()
    }
}
