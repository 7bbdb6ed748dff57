//! What must hold in every run, and the state that it is checked against.

use std::{
    collections::{BTreeSet, HashMap},
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::world::TIMEOUT;
use crate::{
    credential_cache::{CredentialError, ServedCredential},
    sts::{
        Allowance, IssueRequest, Priority, Sts, StsError, TemporaryCredential, TencentSts,
        simulated::{Faults, SimulatedSts},
    },
};
use runtime::clock::{Clock, time_until};
use templates::{Grant, fingerprint::Fingerprint};

const SECOND: Duration = Duration::from_secs(1);
/// How late tokio's timers may fire, for each of those that one request waits for.
const TIMER_TOLERANCE: Duration = Duration::from_millis(20);
/// After this time without a fault, the quota is at its full rate and everybody is served.
const RECOVERY_TIME: Duration = Duration::from_secs(25);
const REFRESH_RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// A hit in its refresh margin has another key after this time.
const REFRESH_TIME: Duration = Duration::from_secs(5);

/// The state that the invariants are checked against.
#[derive(Debug)]
pub(super) struct Invariants {
    cloud: SimulatedSts,
    clock: Arc<dyn Clock>,
    calls_per_second: NonZeroU32,
    waiting: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    violation: Option<String>,
    answered: u64,
    /// When each request was begun.
    begun: Vec<Duration>,
    revoked: BTreeSet<String>,
    /// Keys that the broker has, by their grant.
    known: HashMap<Fingerprint, Known>,
    fetches: HashMap<Fingerprint, Fetches>,
    clock_jumps: usize,
    /// When a user was last told to come back.
    last_refused_at: Duration,
    /// When a fetch last brought no key, for whatever reason.
    last_fetch_failed_at: Duration,
    restarted_at: Vec<Duration>,
    calls_checked: usize,
    /// How many calls had been made when all began to fail, and when that was.
    dead_since: Option<(usize, Duration)>,
}

/// A key that was served.
#[derive(Debug, Clone)]
struct Known {
    secret_id: String,
    expires_at: Timestamp,
    /// When a hit first found it due for a refresh, on the monotonic clock.
    refresh_seen_at: Option<Duration>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Fetches {
    running: usize,
    /// When the last one ended with a key.
    succeeded_at: Option<Duration>,
}

/// A request that is not answered yet.
#[derive(Debug)]
pub(super) struct Request {
    grant: Arc<Grant>,
    requested_ttl: Option<Duration>,
    began: Duration,
    clock_jumps: usize,
    restarts: usize,
    known: Option<Known>,
    /// Whether STS has been healthy for long, few others wait, and nobody was told to come back about now.
    is_quiet: bool,
}

impl Request {
    pub(super) fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }

    pub(super) fn requested_ttl(&self) -> Option<Duration> {
        self.requested_ttl
    }
}

impl Invariants {
    pub(super) fn new(cloud: SimulatedSts, clock: Arc<dyn Clock>, calls_per_second: NonZeroU32) -> Self {
        Self { cloud, clock, calls_per_second, waiting: AtomicUsize::new(0), state: Mutex::default() }
    }

    /// Notes what is known when a request begins.
    pub(super) fn begin(&self, grant: Arc<Grant>, requested_ttl: Option<Duration>) -> Request {
        let mut state = self.state();
        let (began, now) = (self.clock.monotonic(), self.clock.now());
        state.begun.push(began);
        let usable = |known: &&Known| time_until(known.expires_at, now) > TIMEOUT + SECOND * 2;
        Request {
            requested_ttl,
            began,
            clock_jumps: state.clock_jumps,
            restarts: state.restarted_at.len(),
            known: state.known.get(&grant.fingerprint()).filter(usable).cloned(),
            is_quiet: self.cloud.healthy_for() > RECOVERY_TIME
                && self.has_room(&state)
                && began.saturating_sub(state.last_refused_at) > RECOVERY_TIME,
            grant,
        }
    }

    /// Whether fewer calls wait, and fewer requests were begun lately, than the quota admits at once.
    fn has_room(&self, state: &State) -> bool {
        let at = self.clock.monotonic();
        let lately = state.begun.iter().rev().take_while(|began| at.saturating_sub(**began) < SECOND * 2);
        let busy = lately.count().max(self.waiting.load(Ordering::Relaxed));
        busy * 4 < self.calls_per_second.get() as usize
    }

    /// Checks the answer to a request.
    pub(super) fn check_answer(&self, request: &Request, answer: Result<ServedCredential, CredentialError>) {
        let mut state = self.state();
        state.answered += 1;
        if request.restarts != state.restarted_at.len() {
            return;
        }
        let took = self.clock.monotonic().saturating_sub(request.began);
        if took > TIMEOUT + TIMER_TOLERANCE {
            state.violated(format!("a request took {took:?}"));
        }
        match answer {
            Ok(served) => self.check_served(&mut state, request, &served),
            Err(error) => self.check_refused(&mut state, request, &error),
        }
    }

    fn check_served(&self, state: &mut State, request: &Request, served: &ServedCredential) {
        let key = served.credential.credential();
        let Some(issued) = self.cloud.issued(&key.secret_id) else {
            return state.violated(format!("{} was never issued", key.secret_id));
        };
        let subject = request.grant.principal().subject();
        if issued.subject != subject || issued.grant != request.grant.fingerprint() {
            state.violated(format!("{subject} got a key of {}, or of another grant", issued.subject));
        }
        let now = self.clock.now();
        if key.expires_at != issued.expires_at || key.expires_at <= now {
            state.violated(format!("{subject} got a key that expired at {} at {now}", key.expires_at));
        }
        if state.revoked.contains(subject) {
            state.violated(format!("{subject} is revoked and got a key"));
        }
        self.check_refresh(state, request, served);
    }

    /// A key that hits found due for a refresh is replaced soon, as long as STS is healthy.
    fn check_refresh(&self, state: &mut State, request: &Request, served: &ServedCredential) {
        let key = served.credential.credential();
        let (at, now) = (self.clock.monotonic(), self.clock.now());
        let before = state.known.get(&request.grant.fingerprint()).cloned();
        let same = before.as_ref().filter(|known| known.secret_id == key.secret_id);
        let is_due = served.how.is_hit()
            && served.credential.ttl(now) < served.credential.grant().duration().mul_f64(0.26);
        let refresh_seen_at = same.and_then(|known| known.refresh_seen_at).or(is_due.then_some(at));
        if let Some(seen_at) = refresh_seen_at {
            let waited = at.saturating_sub(seen_at);
            let fetches = state.fetches.get(&request.grant.fingerprint()).copied().unwrap_or_default();
            let is_late = is_due && fetches.running == 0 && waited > REFRESH_TIME;
            if is_late && at.saturating_sub(state.last_fetch_failed_at) > waited + REFRESH_RETRY_INTERVAL {
                state.violated(format!("a key was due for a refresh for {waited:?} and is not replaced"));
            }
        }
        let known = Known { secret_id: key.secret_id.clone(), expires_at: key.expires_at, refresh_seen_at };
        let is_newer = before.is_none_or(|before| before.expires_at <= known.expires_at);
        if is_newer {
            state.known.insert(request.grant.fingerprint(), known);
        }
    }

    fn check_refused(&self, state: &mut State, request: &Request, error: &CredentialError) {
        let subject = request.grant.principal().subject();
        if let CredentialError::Sts(error) = error {
            let told = self.clock.monotonic() + error.retry_after();
            state.last_refused_at = state.last_refused_at.max(told);
        }
        match error {
            CredentialError::Revoked if !state.revoked.contains(subject) => {
                state.violated(format!("{subject} is not revoked and was refused"));
            }
            CredentialError::Revoked | CredentialError::TtlTooLong { .. } => {}
            _ if request.clock_jumps != state.clock_jumps => {}
            _ if request.known.is_some() => {
                state.violated(format!("{subject} has an active key and was refused: {error}"));
            }
            _ if request.is_quiet && self.has_room(state) && self.cloud.healthy_for() > RECOVERY_TIME => {
                state.violated(format!(
                    "STS is healthy for {:?} and {subject} was refused: {error}",
                    self.cloud.healthy_for(),
                ));
            }
            _ => {}
        }
    }

    /// Checks the calls that STS received.
    pub(super) fn check_calls(&self) {
        let mut state = self.state();
        let limit = self.calls_per_second.get() as usize;
        let from = state.calls_checked.saturating_sub(limit);
        let calls = self.cloud.calls_from(from);
        for window in calls.windows(limit + 1) {
            let (first, last) = (window[0], window[limit]);
            let restarts = state.restarted_at.iter().filter(|at| (first..=last).contains(*at)).count();
            if last.saturating_sub(first) <= SECOND && restarts == 0 {
                state.violated(format!("{} calls within a second at {last:?}", limit + 1));
            }
        }
        state.calls_checked = from + calls.len();
        self.check_dead_calls(&mut state, from + calls.len());
    }

    /// The circuit is not open when all calls have succeeded for long.
    pub(super) fn check_circuit(&self, is_open: bool) {
        if is_open && self.cloud.healthy_for() > RECOVERY_TIME {
            self.state().violated(format!(
                "the circuit is open, and STS is healthy for {:?}",
                self.cloud.healthy_for()
            ));
        }
    }

    /// While no call succeeds, STS sees about 20 calls, those that are under way then, and a trickle.
    fn check_dead_calls(&self, state: &mut State, calls: usize) {
        let Some((before, since)) = state.dead_since.filter(|_| self.cloud.faults().is_dead()) else {
            return;
        };
        let elapsed = self.clock.monotonic().saturating_sub(since).as_secs_f64();
        let under_way = f64::from(self.calls_per_second.get()) * 0.1;
        let restarts = state.restarted_at.iter().filter(|at| **at >= since).count();
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let (made, starts) = ((calls - before) as f64, (restarts + 1) as f64);
        let most = starts * (45.0 + under_way) + 2.0 * elapsed;
        if made > most {
            state.violated(format!("{made} calls to a dead STS in {elapsed} s, at most {most} expected"));
        }
    }

    /// Notes that calls go wrong in another way than before. Late answers of slow calls keep a circuit closed, so
    /// calls are only counted if there are none.
    pub(super) fn faults_changed(&self, before: Faults) {
        let is_counted = self.cloud.faults().is_dead() && before.max_latency == Faults::NONE.max_latency;
        self.state().dead_since = is_counted.then(|| (self.cloud.call_count(), self.clock.monotonic()));
    }

    pub(super) fn clock_jumped(&self) {
        let mut state = self.state();
        state.clock_jumps += 1;
        state.forget_refreshes();
    }

    /// What serves now is to be replaced: keys are fetched more often than they expire.
    pub(super) fn forced_renewal(&self) {
        self.state().forget_refreshes();
    }

    pub(super) fn restarted(&self) {
        let mut state = self.state();
        state.known.clear();
        state.fetches.clear();
        state.restarted_at.push(self.clock.monotonic());
        self.waiting.store(0, Ordering::Relaxed);
    }

    pub(super) fn revoked(&self, subject: String) {
        let mut state = self.state();
        state.forget_refreshes();
        state.revoked.insert(subject);
    }

    pub(super) fn restored(&self, subject: &str) {
        let mut state = self.state();
        state.forget_refreshes();
        state.revoked.remove(subject);
    }

    pub(super) fn revoked_users(&self) -> Vec<String> {
        self.state().revoked.iter().cloned().collect()
    }

    pub(super) fn is_violated(&self) -> bool {
        self.state().violation.is_some()
    }

    /// The number of answers, or the first violation.
    pub(super) fn result(&self) -> Result<u64, String> {
        let mut state = self.state();
        match state.violation.take() {
            Some(violation) => Err(violation),
            None => Ok(state.answered),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A fetch begins: one at a time for each grant, and after a success none until the key nears its end.
    fn fetch_began(&self, request: &IssueRequest) {
        let mut state = self.state();
        let grant = &request.grant;
        let at = self.clock.monotonic();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let fetches = state.fetches.entry(grant.fingerprint()).or_default();
        fetches.running += 1;
        let Fetches { running, succeeded_at } = *fetches;
        if running > 1 {
            state.violated(format!("{running} fetches at once for {}", grant.principal().subject()));
        }
        if let Some(succeeded_at) = succeeded_at
            && request.priority == Priority::Refresh
            && at.saturating_sub(succeeded_at) < grant.duration().mul_f64(0.6)
        {
            state.violated(format!("a key was refreshed after {:?}", at.saturating_sub(succeeded_at)));
        }
    }

    fn fetch_ended(&self, grant: &Grant, succeeded: bool) {
        let mut state = self.state();
        let at = self.clock.monotonic();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        if let Some(fetches) = state.fetches.get_mut(&grant.fingerprint()) {
            fetches.running = fetches.running.saturating_sub(1);
            if succeeded {
                fetches.succeeded_at = Some(at);
            }
        }
        if !succeeded {
            state.last_fetch_failed_at = at;
        }
    }
}

impl State {
    fn violated(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    fn forget_refreshes(&mut self) {
        for known in self.known.values_mut() {
            known.refresh_seen_at = None;
        }
        for fetches in self.fetches.values_mut() {
            fetches.succeeded_at = None;
        }
    }
}

/// The product's client of STS, and the invariants that watch it.
#[derive(Debug)]
pub(super) struct ObservedSts {
    sts: Arc<TencentSts>,
    invariants: Arc<Invariants>,
    /// Cancelled when the process ends.
    ended: CancellationToken,
}

impl ObservedSts {
    pub(super) fn new(sts: Arc<TencentSts>, invariants: Arc<Invariants>, ended: CancellationToken) -> Self {
        Self { sts, invariants, ended }
    }

    async fn issue_observed(&self, request: IssueRequest) -> Result<TemporaryCredential, StsError> {
        let grant = Arc::clone(&request.grant);
        self.invariants.fetch_began(&request);
        let issued = self.sts.issue(request).await;
        if !self.ended.is_cancelled() {
            self.invariants.fetch_ended(&grant, issued.is_ok());
        }
        issued
    }
}

impl Sts for ObservedSts {
    fn issue(&self, request: IssueRequest) -> BoxFuture<'_, Result<TemporaryCredential, StsError>> {
        Box::pin(async move {
            match self.ended.run_until_cancelled(self.issue_observed(request)).await {
                Some(issued) => issued,
                // What an ended process does is of no effect.
                None => std::future::pending().await,
            }
        })
    }

    fn timeout(&self) -> Duration {
        self.sts.timeout()
    }

    fn is_circuit_open(&self) -> bool {
        self.sts.is_circuit_open()
    }

    fn allowance(&self) -> Allowance {
        self.sts.allowance()
    }

    fn source_credentials_version(&self) -> u64 {
        self.sts.source_credentials_version()
    }

    fn binding(&self) -> Fingerprint {
        self.sts.binding()
    }
}
