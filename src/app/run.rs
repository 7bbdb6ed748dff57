//! Runs the service until it is told to stop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustix::system::uname;
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{App, StartError, source_credentials};
use crate::{
    admin::{self, AdminState},
    audit::Event,
    credential_cache::CredentialCache,
    identity::Verifier,
    reload,
    replicas::Replicas,
    sts::Sts,
    systemd,
};

/// The interval at which what is no longer used is removed from memory.
const REMOVAL_INTERVAL: Duration = Duration::from_mins(1);

impl App {
    /// Serves until shutdown. Then running requests and calls to STS finish, and the last audit lines and spans are
    /// written.
    ///
    /// # Errors
    /// When a listener fails.
    pub async fn run(mut self) -> Result<(), StartError> {
        let (cache, audit, tracer) = (self.cache.clone(), self.audit.clone(), self.tracer.clone());
        let (snapshot, sts) = (self.snapshot.take(), Arc::clone(&self.sts));
        audit.record(Event::start(&self.templates.current()));
        let served = self.serve().await;
        // No call starts any more, and each ends by itself within `sts.timeout`.
        cache.wait_idle().await;
        if let Some(snapshot) = snapshot {
            snapshot.write(sts.binding()).await;
        }
        let audited = tokio::task::spawn_blocking(move || audit.close());
        if let (Err(error), ()) = tokio::join!(audited, tracer.close()) {
            tracing::error!(%error, "the audit log could not be closed");
        }
        served
    }

    async fn serve(self) -> Result<(), StartError> {
        let background = Background::default();
        let admin = Arc::clone(&self.admin);
        let (replicas, name) = (self.replicas, replica_name(self.public.0));
        if let Some(replicas) = &replicas {
            let sharing =
                share(Arc::clone(replicas), name.clone(), Arc::clone(&self.admin), self.cache.clone());
            background.spawn(sharing);
            // Before the first request: a user whom an operator revoked at another replica gets nothing here.
            replicas.wait_until_started().await;
        }
        // The history begins before the first request, which its first sample must not contain, and after the first look
        // at Redis, so that what is not known before raises no alarm.
        self.admin.record_sample();
        // In the background: a hanging issuer must not keep the process from stopping.
        let verifier = Arc::clone(&self.verifier);
        background.spawn(async move { verifier.warm_up().await });
        background.spawn(reload::watch(self.templates, self.audit, self.clock, self.signals.hangup));
        background.spawn(source_credentials::watch(self.sts));
        for tls in self.tls {
            background.spawn(tls.watch());
        }
        background.spawn(sample_history(self.admin));
        let cache = self.cache.clone();
        background.spawn(async move { cache.share_request_counts().await });
        background.spawn(remove_unused(self.cache, self.verifier));
        background.spawn(systemd::ping_watchdog());
        if let Some(canary) = self.canary {
            background.spawn(canary.watch());
        }
        let (public, operators) = (self.public.1, self.operators.1);
        let closing = self.stop.closing.clone();
        background.spawn(self.stop.run());
        systemd::notify_ready();
        let (public, operators) =
            tokio::join!(close_on_error(public.run(), &closing), close_on_error(operators.run(), &closing));
        let served = public.and(operators);
        background.stop().await;
        if let Some(replicas) = replicas {
            replicas.leave(admin.replica_state(name)).await;
        }
        served?;
        Ok(())
    }
}

/// Runs a listener. If it fails, the other one need not wait for a signal to stop.
async fn close_on_error(
    listener: impl Future<Output = io::Result<()>>,
    closing: &CancellationToken,
) -> io::Result<()> {
    listener.await.inspect_err(|_| closing.cancel())
}

/// Tasks that end with the service.
#[derive(Default)]
struct Background {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Background {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move { stop.run_until_cancelled(task).await });
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Shares credentials, the quota, revocations and its state with the other replicas.
async fn share(replicas: Arc<Replicas>, name: String, admin: Arc<AdminState>, cache: CredentialCache) {
    replicas.run(|| admin.replica_state(name.clone()), move |change| cache.apply(&change)).await;
}

/// Returns what operators know a replica by: its machine, and the port, because a machine may have several.
fn replica_name(public: SocketAddr) -> String {
    format!("{}:{}", uname().nodename().to_string_lossy(), public.port())
}

/// Removes the keys, tokens and rate limits of users who may never come again.
async fn remove_unused(cache: CredentialCache, verifier: Arc<Verifier>) {
    loop {
        sleep(REMOVAL_INTERVAL).await;
        let (cache, verifier) = (cache.clone(), Arc::clone(&verifier));
        let removal = move || {
            verifier.remove_expired();
            cache.remove_unused();
        };
        if let Err(error) = tokio::task::spawn_blocking(removal).await {
            tracing::error!(%error, "what is no longer used could not be removed from memory");
        }
    }
}

/// Samples the figures of the last hour.
async fn sample_history(admin: Arc<AdminState>) {
    loop {
        sleep(admin::SAMPLE_INTERVAL).await;
        admin.record_sample();
    }
}
