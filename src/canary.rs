//! Tries isolation out where it counts: two made-up users get real keys, and each must reach their own folder
//! and be refused in the other's by COS itself.
//!
//! The canary ([`Canary`]) does so every few minutes with a short list; [`Examination`] goes through a long one
//! for an operator. Knows templates, STS and COS; nothing of the users' cache and figures, which it leaves
//! alone.

mod client;
mod daily;
mod examination;
mod metrics;
mod pair;
mod request;
mod trial;
mod tricks;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use self::{
    client::Client,
    metrics::{Metrics, MetricsCollector},
    pair::Pair,
};
pub use self::{
    client::NoClient,
    examination::{CannotExamine, Examination, Examined, Row},
    metrics::Outcome,
    pair::Unfit,
    trial::Verdict,
};
use crate::{
    audit::{Audit, Event, RequestContext},
    config,
    reload::TemplateStore,
    sts::Sts,
};
use runtime::{clock::Clock, entropy::Entropy};
use templates::TemplateSet;

/// How exactly the time of a run is kept.
const LOOK: Duration = Duration::from_secs(1);

/// Whether a template can be tried out: made-up users of this issuer get grants, and may write with them.
///
/// # Errors
/// Why not.
pub fn check(templates: &TemplateSet, template: &str, issuer: &str) -> Result<(), Unfit> {
    daily::trials(&Pair::new(templates, template, issuer)?).map(drop)
}

/// What the canary is given.
#[derive(Debug)]
pub struct CanaryDeps {
    /// Whose grants.
    pub templates: Arc<TemplateStore>,
    /// The issuer that the made-up users are said to be of.
    pub issuer: String,
    /// Makes the keys.
    pub sts: Arc<dyn Sts>,
    /// Each key has its line.
    pub audit: Audit,
    /// When runs are due.
    pub clock: Arc<dyn Clock>,
    /// Replicas shall not run in step.
    pub entropy: Arc<dyn Entropy>,
}

/// Runs every few minutes.
#[derive(Debug)]
pub struct Canary {
    every: Duration,
    template: String,
    deps: CanaryDeps,
    client: Client,
    metrics: Metrics,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    last: Option<Run>,
    /// The last that could tell.
    telling: Option<Run>,
}

/// How things stand.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// The template whose keys it takes.
    pub template: String,
    /// Seconds from one run to the next.
    pub every_seconds: u64,
    /// The last run, if there was one.
    pub last: Option<Run>,
    /// What the last run that could tell says.
    pub isolated: Option<bool>,
    /// By what users are not kept apart, if they are not.
    pub breach: Option<String>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// When it ended.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it did not pass, if it did not.
    pub why: Option<String>,
    /// How long the slowest request took, in milliseconds.
    pub slowest_millis: Option<u64>,
}

impl Canary {
    /// A canary that has not run yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(config: config::Canary, deps: CanaryDeps) -> Result<Self, NoClient> {
        let config = config.into_parts();
        Ok(Self {
            every: config.interval,
            template: config.template,
            deps,
            client: Client::new(config.endpoint)?,
            metrics: Metrics::new(),
            seen: Mutex::default(),
        })
    }

    /// How things stand.
    pub fn snapshot(&self) -> Snapshot {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Snapshot {
            template: self.template.clone(),
            every_seconds: self.every.as_secs(),
            last: seen.last.clone(),
            isolated: seen.telling.as_ref().and_then(|run| run.outcome.isolated()),
            breach: seen
                .telling
                .as_ref()
                .filter(|run| run.outcome == Outcome::Breached)
                .and_then(|run| run.why.clone()),
        }
    }

    /// Adds this room's figures to a registry.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        self.metrics.register(registry);
        registry.register_collector(Box::new(MetricsCollector(Arc::clone(self))));
    }

    /// Runs when it is time, until dropped: soon after the start, and from then on every so often.
    pub async fn watch(self: Arc<Self>) {
        let CanaryDeps { clock, entropy, .. } = &self.deps;
        // Replicas that start together, or after one another, spread out.
        let mut due = clock.monotonic() + entropy.up_to(self.every / 60);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let now = clock.monotonic();
            if now >= due {
                due = now + self.every.mul_f64(0.9 + 0.2 * entropy.unit());
                self.run().await;
            }
        }
    }

    async fn run(&self) {
        let (outcome, why, slowest) = self.tried().await;
        self.metrics.ran(outcome);
        let run =
            Run { at: self.deps.clock.now(), outcome, why: why.clone(), slowest_millis: slowest.map(millis) };
        self.saw(run);
        let (template, told) = (self.template.as_str(), why.as_deref().unwrap_or_default());
        match outcome {
            Outcome::Passed => tracing::info!(template, "isolation canary: passed"),
            Outcome::Breached => tracing::error!(
                template,
                why = told,
                "ISOLATION IS BROKEN: one made-up user reached the objects of another; look at the bucket's policy and ACL, run `cosbroker verify-isolation`, and if the bucket is not open to everybody, stop this broker"
            ),
            Outcome::OwnRefused => tracing::error!(
                template,
                why = told,
                "isolation canary: COS refuses what the template grants; look at the rights of the operator's key, at the bucket's policy, and that the template names the bucket and its region"
            ),
            Outcome::NoKey | Outcome::Unreachable => tracing::warn!(
                template,
                outcome = outcome.name(),
                why = told,
                "isolation canary: could not tell"
            ),
        }
    }

    fn saw(&self, run: Run) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if run.outcome.isolated().is_some() {
            seen.telling = Some(run.clone());
        }
        seen.last = Some(run);
    }

    async fn tried(&self) -> (Outcome, Option<String>, Option<Duration>) {
        let CanaryDeps { templates, issuer, sts, audit, clock, .. } = &self.deps;
        let made_up = Pair::new(&templates.current(), &self.template, issuer)
            .and_then(|pair| daily::trials(&pair).map(|trials| (pair, trials)));
        let (pair, trials) = match made_up {
            Ok(made_up) => made_up,
            Err(unfit) => return (Outcome::NoKey, Some(unfit.to_string()), None),
        };
        let made = |grant: &Arc<_>, key: &_| {
            audit.record(Event::issue("canary", RequestContext::default(), grant, key));
        };
        let keys = match pair.keys(&**sts, made).await {
            Ok(keys) => keys,
            Err(error) => return (Outcome::NoKey, Some(error.to_string()), None),
        };
        let (mut worst, mut slowest) = ((Outcome::Passed, None), None);
        for (step, trial) in trials {
            let key = trial.by.map(|side| keys.of(side));
            let (outcome, seen) = match self.client.send(pair.bucket(), &trial.request, key, &**clock).await {
                Err(unanswered) => (Outcome::Unreachable, unanswered.to_string()),
                Ok(answer) => {
                    self.metrics.answered(step, answer.took);
                    slowest = slowest.max(Some(answer.took));
                    (outcome_of(trial.expected.judge(&answer)), answer.to_string())
                }
            };
            if severity(outcome) > severity(worst.0) {
                let why = format!("{} to {}: {}", step.name(), trial.request.path, seen);
                worst = (outcome, Some(why));
            }
        }
        for (side, request) in daily::clean_up(&pair) {
            // What stays is one object of a fixed name, which the next run writes over.
            let _ = self.client.send(pair.bucket(), &request, Some(keys.of(side)), &**clock).await;
        }
        (worst.0, worst.1, slowest)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn outcome_of(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::Good => Outcome::Passed,
        Verdict::Reached => Outcome::Breached,
        Verdict::Withheld => Outcome::OwnRefused,
        Verdict::Unclear => Outcome::Unreachable,
    }
}

/// Of all that a run shows, the worst is told: one success where there must be none outweighs any failure,
/// and a refusal, which somebody must mend, what may pass by itself.
fn severity(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Passed => 0,
        Outcome::NoKey | Outcome::Unreachable => 1,
        Outcome::OwnRefused => 2,
        Outcome::Breached => 3,
    }
}
