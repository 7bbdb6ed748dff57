//! An STS in virtual time, for the simulation: it answers calls as its faults say, and writes down every call.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    TemporaryCredential, TencentSts, call::CallSts, failure::Failure,
    source_credentials::SourceCredentialsProvider, tencent::Limits,
};
use crate::telemetry::TraceContext;
use runtime::{clock::Clock, entropy::Entropy};
use templates::{Grant, fingerprint::Fingerprint};
use tencent_sts::{ErrorClass, SourceCredentials};

/// What goes wrong with calls, as shares of all of them, and how long answers take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Faults {
    pub(crate) failing: f64,
    pub(crate) throttled: f64,
    pub(crate) unanswered: f64,
    pub(crate) rejecting_credentials: f64,
    pub(crate) max_latency: Duration,
}

impl Faults {
    pub(crate) const NONE: Self = Self {
        failing: 0.0,
        throttled: 0.0,
        unanswered: 0.0,
        rejecting_credentials: 0.0,
        max_latency: Duration::from_millis(50),
    };

    pub(crate) fn is_healthy(self) -> bool {
        self.failing + self.throttled + self.unanswered + self.rejecting_credentials == 0.0
            && self.max_latency <= Duration::from_millis(200)
    }

    /// Whether no call succeeds.
    pub(crate) fn is_dead(self) -> bool {
        self.failing >= 1.0
    }
}

/// A key that the simulated STS issued.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) grant: Fingerprint,
    pub(crate) subject: String,
    pub(crate) expires_at: Timestamp,
}

/// The simulated STS.
#[derive(Debug, Clone)]
pub(crate) struct SimulatedSts {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct State {
    random: StdRng,
    faults: Faults,
    calls: Vec<Duration>,
    issued: HashMap<String, Issued>,
    /// When a call last ended without a key.
    last_failure: Duration,
}

impl SimulatedSts {
    pub(crate) fn new(seed: u64, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            random: StdRng::seed_from_u64(seed),
            faults: Faults::NONE,
            calls: Vec::new(),
            issued: HashMap::new(),
            last_failure: Duration::ZERO,
        };
        Self { state: Arc::new(Mutex::new(state)), clock }
    }

    /// A client of it, with all that the product puts around calls.
    pub(crate) fn client(
        &self,
        calls_per_second: NonZeroU32,
        timeout: Duration,
        entropy: Arc<dyn Entropy>,
    ) -> TencentSts {
        let credentials =
            SourceCredentials { secret_id: "AKID".into(), secret_key: "key".into(), token: None };
        let credentials = SourceCredentialsProvider::for_tests(credentials, Arc::clone(&self.clock));
        let settings = Fingerprint::of(&["simulated"]);
        let limits = Limits { settings, max_ttl: Duration::from_hours(12), calls_per_second, timeout };
        TencentSts::with_caller(Box::new(self.clone()), credentials, limits, Arc::clone(&self.clock), entropy)
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        let mut state = self.state();
        if !state.faults.is_healthy() {
            state.last_failure = self.clock.monotonic();
        }
        state.faults = faults;
    }

    pub(crate) fn faults(&self) -> Faults {
        self.state().faults
    }

    /// How many calls were made.
    pub(crate) fn call_count(&self) -> usize {
        self.state().calls.len()
    }

    /// When each call was made, without the first so many.
    pub(crate) fn calls_from(&self, first: usize) -> Vec<Duration> {
        self.state().calls[first..].to_vec()
    }

    /// What a key was issued for.
    pub(crate) fn issued(&self, secret_id: &str) -> Option<Issued> {
        self.state().issued.get(secret_id).cloned()
    }

    /// For how long every call has been answered quickly.
    pub(crate) fn healthy_for(&self) -> Duration {
        let state = self.state();
        if state.faults.is_healthy() {
            self.clock.monotonic().saturating_sub(state.last_failure)
        } else {
            Duration::ZERO
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Decides on one call when it arrives: how long it takes, and how it ends.
    fn receive(&self) -> (Duration, Option<Failure>) {
        let mut state = self.state();
        let now = self.clock.monotonic();
        state.calls.push(now);
        let Faults { failing, throttled, unanswered, rejecting_credentials, max_latency } = state.faults;
        let latency = max_latency.mul_f64(state.random.random());
        let drawn: f64 = state.random.random();
        let mut up_to = failing;
        if drawn < up_to {
            return (latency, Some(failure(ErrorClass::Transient)));
        }
        up_to += throttled;
        if drawn < up_to {
            return (latency, Some(failure(ErrorClass::Throttled)));
        }
        up_to += unanswered;
        if drawn < up_to {
            return (Duration::from_hours(1), Some(failure(ErrorClass::Transient)));
        }
        up_to += rejecting_credentials;
        if drawn < up_to {
            return (latency, Some(failure(ErrorClass::SourceCredentialsRejected)));
        }
        (latency, None)
    }

    async fn answer(&self, grant: &Grant) -> Result<TemporaryCredential, Failure> {
        let (latency, failure) = self.receive();
        tokio::time::sleep(latency).await;
        let mut state = self.state();
        if let Some(failure) = failure {
            state.last_failure = self.clock.monotonic();
            return Err(failure);
        }
        let secret_id = format!("AKID{}", state.issued.len());
        let expires_at = self.clock.now() + SignedDuration::try_from(grant.duration()).unwrap();
        let issued = Issued {
            grant: grant.fingerprint(),
            subject: grant.principal().subject().to_owned(),
            expires_at,
        };
        state.issued.insert(secret_id.clone(), issued);
        Ok(TemporaryCredential {
            secret_id,
            secret_key: "key".into(),
            token: "token".into(),
            expires_at,
            request_id: String::new(),
        })
    }
}

impl CallSts for SimulatedSts {
    fn call<'a>(
        &'a self,
        grant: &'a Grant,
        _: &'a SourceCredentials,
        _: Option<TraceContext>,
        _: Timestamp,
    ) -> BoxFuture<'a, Result<TemporaryCredential, Failure>> {
        Box::pin(self.answer(grant))
    }

    fn action(&self) -> &'static str {
        "GetFederationToken"
    }

    fn host(&self) -> &'static str {
        "sts.test"
    }
}

fn failure(class: ErrorClass) -> Failure {
    Failure { class, code: "other", detail: "a simulated fault".to_owned(), request_id: None }
}
