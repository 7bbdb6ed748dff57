//! Checks isolation on the real bucket: two synthetic users get real credentials, and COS itself must allow each
//! their own folder and deny the other's.
//!
//! The [`Canary`] sends a short list of probes every few minutes. An [`IsolationCheck`] sends a long list once,
//! for an operator. Both use templates, STS and COS, but neither the credential cache nor its metrics.

mod attack_cases;
mod bucket_probe;
mod client;
mod isolation_check;
mod metrics;
mod outcome;
mod probe;
mod processing_cases;
mod request;
mod routine_probes;
mod synthetic_users;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

pub use self::{
    bucket_probe::{BucketState, probe_bucket},
    client::NoClient,
    isolation_check::{CannotCheck, IsolationCheck, IsolationReport, ReportRow},
    outcome::RunOutcome,
    probe::Verdict,
    synthetic_users::Unfit,
};
use self::{
    client::Client,
    metrics::{Metrics, MetricsCollector},
    probe::Probe,
    routine_probes::Step,
    synthetic_users::{Credentials, SyntheticUsers},
};
use crate::{
    audit::{Audit, Event},
    config,
    reload::TemplateStore,
    sts::{Sts, TemporaryCredential},
};
use runtime::{clock::Clock, entropy::Entropy};
use templates::{Grant, TemplateSet};

/// How often the canary checks whether a run is due.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The first run starts within this part of the interval, so that replicas do not run at the same time.
const STARTUP_JITTER_DIVISOR: u32 = 60;

/// Returns whether isolation can be checked with a template: its synthetic users get grants and may write.
///
/// # Errors
/// Why isolation cannot be checked.
pub fn check(templates: &TemplateSet, template: &str, issuer: &str) -> Result<(), Unfit> {
    routine_probes::probes(&SyntheticUsers::new(templates, template, issuer)?).map(drop)
}

/// What a canary works with.
#[derive(Debug)]
pub struct CanaryDeps {
    /// The templates in use.
    pub templates: Arc<TemplateStore>,
    /// The issuer of the synthetic users.
    pub issuer: String,
    /// Issues the credentials.
    pub sts: Arc<dyn Sts>,
    /// Records each issued credential.
    pub audit: Audit,
    /// Decides when runs are due.
    pub clock: Arc<dyn Clock>,
    /// Spreads the runs of replicas.
    pub entropy: Arc<dyn Entropy>,
}

/// Checks isolation every few minutes.
#[derive(Debug)]
pub struct Canary {
    interval: Duration,
    template: String,
    deps: CanaryDeps,
    client: Client,
    metrics: Metrics,
    history: Mutex<History>,
}

#[derive(Debug, Default)]
struct History {
    last: Option<Run>,
    /// The last run whose outcome says whether users are isolated.
    last_conclusive: Option<Run>,
}

/// The state of the canary, for operators.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// The template whose grants are checked.
    pub template: String,
    /// The interval between two runs.
    pub every_seconds: u64,
    /// The last run, if there was one.
    pub last: Option<Run>,
    /// Whether users are isolated, according to the last conclusive run.
    pub isolated: Option<bool>,
    /// How isolation is broken, if it is.
    pub breach: Option<String>,
}

/// A run of the canary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// The time at which the run ended.
    pub at: Timestamp,
    /// The worst outcome of its probes.
    pub outcome: RunOutcome,
    /// Why the run did not pass.
    pub why: Option<String>,
    /// The duration of the slowest request in milliseconds.
    pub slowest_millis: Option<u64>,
}

/// What the probes of a run found.
#[derive(Debug)]
struct Findings {
    outcome: RunOutcome,
    why: Option<String>,
    slowest: Option<Duration>,
}

impl Canary {
    /// Returns a canary that has not run yet.
    ///
    /// # Errors
    /// When no HTTP client can be built.
    pub fn new(
        config: config::Canary,
        network: &config::Network,
        deps: CanaryDeps,
    ) -> Result<Self, NoClient> {
        let config = config.into_parts();
        Ok(Self {
            interval: config.interval,
            template: config.template,
            deps,
            client: Client::new(config.endpoint, network)?,
            metrics: Metrics::new(),
            history: Mutex::default(),
        })
    }

    /// Returns the current state.
    pub fn snapshot(&self) -> Snapshot {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let conclusive = history.last_conclusive.as_ref();
        Snapshot {
            template: self.template.clone(),
            every_seconds: self.interval.as_secs(),
            last: history.last.clone(),
            isolated: conclusive.and_then(|run| run.outcome.is_isolated()),
            breach: conclusive
                .filter(|run| run.outcome == RunOutcome::Breached)
                .and_then(|run| run.why.clone()),
        }
    }

    /// Adds the metrics of this module to a registry.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        self.metrics.register(registry);
        registry.register_collector(Box::new(MetricsCollector(Arc::clone(self))));
    }

    /// Runs soon after the start and then about once in every interval, until the future is dropped.
    pub async fn watch(self: Arc<Self>) {
        let CanaryDeps { clock, entropy, .. } = &self.deps;
        let mut due = clock.monotonic() + entropy.jitter(self.interval / STARTUP_JITTER_DIVISOR);
        let mut polls = interval(POLL_INTERVAL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            polls.tick().await;
            let now = clock.monotonic();
            if now >= due {
                due = now + self.interval.mul_f64(0.9 + 0.2 * entropy.unit());
                self.run().await;
            }
        }
    }

    async fn run(&self) {
        let findings = self.run_probes().await;
        self.metrics.count_run(findings.outcome);
        self.record_run(Run {
            at: self.deps.clock.now(),
            outcome: findings.outcome,
            why: findings.why.clone(),
            slowest_millis: findings.slowest.map(millis),
        });
        log(&self.template, &findings);
    }

    fn record_run(&self, run: Run) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        if run.outcome.is_isolated().is_some() {
            history.last_conclusive = Some(run.clone());
        }
        history.last = Some(run);
    }

    async fn run_probes(&self) -> Findings {
        let (users, probes) = match self.users_and_probes() {
            Ok(users_and_probes) => users_and_probes,
            Err(unfit) => return Findings::no_credentials(&unfit),
        };
        let credentials = users.credentials(&*self.deps.sts, |grant, key| self.audit_issue(grant, key)).await;
        let credentials = match credentials {
            Ok(credentials) => credentials,
            Err(error) => return Findings::no_credentials(&error),
        };
        let mut findings = Findings { outcome: RunOutcome::Passed, why: None, slowest: None };
        for (step, probe) in probes {
            self.send_probe(step, &probe, &users, &credentials, &mut findings).await;
        }
        self.clean_up(&users, &credentials).await;
        findings
    }

    fn users_and_probes(&self) -> Result<(SyntheticUsers, Vec<(Step, Probe)>), Unfit> {
        let CanaryDeps { templates, issuer, .. } = &self.deps;
        let users = SyntheticUsers::new(&templates.current(), &self.template, issuer)?;
        let probes = routine_probes::probes(&users)?;
        Ok((users, probes))
    }

    fn audit_issue(&self, grant: &Arc<Grant>, credential: &TemporaryCredential) {
        self.deps.audit.record(Event::issue("canary", None, grant, credential));
    }

    async fn send_probe(
        &self,
        step: Step,
        probe: &Probe,
        users: &SyntheticUsers,
        credentials: &Credentials,
        findings: &mut Findings,
    ) {
        let credential = probe.by.map(|user| credentials.of(user));
        let clock = &*self.deps.clock;
        let (outcome, seen) = match self.client.send(users.bucket(), &probe.request, credential, clock).await
        {
            Err(unanswered) => (RunOutcome::Unreachable, unanswered.to_string()),
            Ok(answer) => {
                self.metrics.observe_request(step, answer.took);
                findings.slowest = findings.slowest.max(Some(answer.took));
                (probe.expected.verdict(&answer).into(), answer.to_string())
            }
        };
        if outcome.severity() > findings.outcome.severity() {
            findings.outcome = outcome;
            findings.why = Some(format!("{} to {}: {seen}", step.name(), probe.request.path));
        }
    }

    /// Deletes the written objects. An object that remains has a fixed name, and the next run overwrites it.
    async fn clean_up(&self, users: &SyntheticUsers, credentials: &Credentials) {
        for (user, request) in routine_probes::clean_up(users) {
            let credential = Some(credentials.of(user));
            let _ = self.client.send(users.bucket(), &request, credential, &*self.deps.clock).await;
        }
    }
}

impl Findings {
    fn no_credentials(why: &dyn std::error::Error) -> Self {
        Self { outcome: RunOutcome::NoCredentials, why: Some(why.to_string()), slowest: None }
    }
}

fn log(template: &str, findings: &Findings) {
    let why = findings.why.as_deref().unwrap_or_default();
    match findings.outcome {
        RunOutcome::Passed => tracing::info!(template, "isolation canary: passed"),
        RunOutcome::Breached => tracing::error!(
            template,
            why,
            "ISOLATION IS BROKEN: one synthetic user reached the objects of another; check the bucket's policy and ACL, run `cosbroker verify-isolation`, and if the bucket is not public, stop this broker"
        ),
        RunOutcome::OwnDenied => tracing::error!(
            template,
            why,
            "isolation canary: COS denies what the template grants; check the rights of the source credentials, the bucket's policy, and that the template names the bucket and its region"
        ),
        RunOutcome::NoCredentials | RunOutcome::Unreachable => {
            tracing::warn!(
                template,
                outcome = findings.outcome.name(),
                why,
                "isolation canary: inconclusive"
            );
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
