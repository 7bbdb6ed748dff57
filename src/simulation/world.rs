//! What happens in one run: users who ask for keys, and all that goes wrong meanwhile.

use std::{
    num::NonZeroU32,
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{runtime::Handle, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    invariants::{Invariants, ObservedSts, Request},
    machine::{SeededEntropy, SimulatedClock},
};
use crate::{
    audit::Audit,
    config,
    credential_cache::CredentialCache,
    request::RequestContext,
    sts::{
        Sts, TencentSts,
        simulated::{Faults, SimulatedSts},
    },
};
use runtime::{clock::Clock, entropy::Entropy};
use templates::{Grant, IssuerTrust, ServingConstraints, identity::Identity};
use tencent_sts::SourceCredentials;

pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
const USERS: usize = 20;
const STEPS: usize = 50;
/// The share of worlds that end with a healthy STS.
const SHARE_WITH_HEALTHY_END: f64 = 0.02;
/// Long enough to open the circuit.
const OUTAGE_SECONDS: u32 = 5;
/// Longer than it takes an open circuit to close.
const HEALTHY_END_SECONDS: u32 = 40;
const ISSUER: &str = "i";

/// Each user's grants of the templates before and after a reload.
static GRANTS: LazyLock<Vec<[Arc<Grant>; 2]>> =
    LazyLock::new(|| grants("upload", USERS).zip(grants("downloads", USERS)).map(<[_; 2]>::from).collect());

/// The grants of a shipped template for so many users.
pub(super) fn grants(template: &'static str, users: usize) -> impl Iterator<Item = Arc<Grant>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    grants_of(&dir, template, users)
}

/// The grants of a template in this folder for so many users.
pub(super) fn grants_of(
    dir: &Path,
    template: &'static str,
    users: usize,
) -> impl Iterator<Item = Arc<Grant>> + use<> {
    let constraints = ServingConstraints {
        issuer_trust: IssuerTrust { trusted_claims: vec![vec!["team".to_owned()]], ..IssuerTrust::default() },
        longest: Duration::from_hours(2),
        min_remaining: None,
        default: None,
    };
    let set = crate::reload::load(dir, &constraints, jiff::Timestamp::UNIX_EPOCH).unwrap();
    (0..users).map(move |user| {
        set.grant(Some(template), &Identity::for_tests(ISSUER, &format!("user{user}"), &[])).unwrap()
    })
}

/// One run: the broker, its users, and the STS.
pub(super) struct World {
    random: StdRng,
    clock: Arc<SimulatedClock>,
    entropy: Arc<dyn Entropy>,
    calls_per_second: NonZeroU32,
    cloud: SimulatedSts,
    broker: Broker,
    invariants: Arc<Invariants>,
    requests: JoinSet<()>,
    /// Which of the two sets of templates serves.
    generation: usize,
}

struct Broker {
    cache: CredentialCache,
    sts: Arc<TencentSts>,
    ended: CancellationToken,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let clock = Arc::new(SimulatedClock::start());
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(random.random()));
        let cloud = SimulatedSts::new(random.random(), Arc::clone(&clock) as Arc<dyn Clock>);
        let calls_per_second = NonZeroU32::new([5, 20, 100][random.random_range(0..3)]).unwrap();
        let invariants =
            Arc::new(Invariants::new(cloud.clone(), Arc::clone(&clock) as Arc<dyn Clock>, calls_per_second));
        let broker = Broker::start(&cloud, calls_per_second, &clock, &entropy, &invariants);
        Self {
            random,
            clock,
            entropy,
            calls_per_second,
            cloud,
            broker,
            invariants,
            requests: JoinSet::new(),
            generation: 0,
        }
    }

    /// Runs the steps, one after the other. In some worlds STS is healthy in the end.
    pub(super) async fn run(&mut self) {
        for _ in 0..STEPS {
            self.step().await;
            if self.is_violated() {
                return;
            }
        }
        if self.random.random_bool(SHARE_WITH_HEALTHY_END) {
            self.healthy_end().await;
        }
    }

    /// All calls fail for a while, and then none does, with a call in every second: the open circuit must close.
    async fn healthy_end(&mut self) {
        for second in 0..OUTAGE_SECONDS + HEALTHY_END_SECONDS {
            match second {
                0 => self.change_faults(Faults { failing: 1.0, ..Faults::NONE }),
                OUTAGE_SECONDS => self.change_faults(Faults::NONE),
                _ => {}
            }
            self.rotate_source_credentials();
            self.everybody_requests();
            sleep(Duration::from_secs(1)).await;
            if self.is_violated() {
                return;
            }
        }
    }

    fn is_violated(&self) -> bool {
        self.invariants.check_calls();
        self.invariants.check_circuit(self.broker.sts.is_circuit_open());
        self.invariants.is_violated()
    }

    /// Waits for the last answers.
    pub(super) async fn finish(mut self) -> Result<u64, String> {
        while let Some(ended) = self.requests.join_next().await {
            // A restart cancels the requests of the old process.
            ended.or_else(|error| if error.is_cancelled() { Ok(()) } else { Err(error.to_string()) })?;
        }
        self.broker.cache.wait_idle().await;
        self.invariants.check_calls();
        self.invariants.result()
    }

    async fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..45 => self.some_request(),
            45..55 => self.everybody_requests(),
            55..60 => self.one_user_requests_often(),
            60..70 => {
                let faults = self.some_faults();
                self.change_faults(faults);
            }
            70..74 => self.change_faults(Faults::NONE),
            74..77 => {
                let seconds = self.random.random_range(-120..600);
                self.clock.jump(seconds);
                self.invariants.clock_jumped();
            }
            77..81 => self.revoke_or_restore(),
            81..84 => {
                self.generation = 1 - self.generation;
                self.invariants.forced_renewal();
            }
            84..87 => self.rotate_source_credentials(),
            87..89 => self.restart(),
            _ => {}
        }
        let pause = match self.random.random_range(0..10) {
            0..4 => Duration::from_millis(self.random.random_range(0..20)),
            4..8 => Duration::from_millis(self.random.random_range(20..3000)),
            _ => Duration::from_secs(self.random.random_range(3..400)),
        };
        sleep(pause).await;
    }

    fn some_faults(&mut self) -> Faults {
        let mut share = || [0.0, 0.0, 0.1, 0.5][self.random.random_range(0..4)];
        let mut faults = Faults {
            failing: share(),
            throttled: share() / 2.0,
            unanswered: share() / 4.0,
            rejecting_credentials: 0.0,
            max_latency: Duration::from_millis(50),
        };
        match self.random.random_range(0..10) {
            0..3 => faults = Faults { failing: 1.0, ..Faults::NONE },
            3 => faults = Faults { unanswered: 1.0, ..Faults::NONE },
            4 => faults = Faults { throttled: 1.0, ..Faults::NONE },
            5 => faults = Faults { rejecting_credentials: 1.0, ..Faults::NONE },
            6 => faults.max_latency = Duration::from_millis(1500),
            _ => {}
        }
        faults
    }

    fn change_faults(&self, faults: Faults) {
        let before = self.cloud.faults();
        self.cloud.set_faults(faults);
        self.invariants.faults_changed(before);
    }

    fn some_request(&mut self) {
        let user = self.random.random_range(0..USERS);
        let requested_ttl =
            self.random.random_bool(0.1).then(|| Duration::from_secs(self.random.random_range(60..1700)));
        self.request(user, requested_ttl);
    }

    fn everybody_requests(&mut self) {
        for user in 0..USERS {
            self.request(user, None);
        }
    }

    fn one_user_requests_often(&mut self) {
        let user = self.random.random_range(0..USERS);
        for _ in 0..20 {
            self.request(user, None);
        }
    }

    fn request(&mut self, user: usize, requested_ttl: Option<Duration>) {
        let grant = Arc::clone(&GRANTS[user][self.generation]);
        let request = self.invariants.begin(grant, requested_ttl);
        let patience = match self.random.random_range(0..10) {
            0 => Duration::from_millis(self.random.random_range(0..500)),
            _ => Duration::from_hours(1),
        };
        let (cache, invariants) = (self.broker.cache.clone(), Arc::clone(&self.invariants));
        self.requests.spawn(async move {
            if let Some(answer) = answer(&cache, &request, patience).await {
                invariants.check_answer(&request, answer);
            }
        });
    }

    fn revoke_or_restore(&mut self) {
        let user = format!("user{}", self.random.random_range(0..USERS));
        if self.random.random() {
            self.broker.cache.revoke(ISSUER, &user, None).unwrap();
            self.invariants.revoked(user);
        } else {
            self.broker.cache.restore(ISSUER, &user, None);
            self.invariants.restored(&user);
        }
    }

    fn rotate_source_credentials(&mut self) {
        let secret_id = format!("AKID{}", self.random.random::<u32>());
        self.broker.sts.rotate_source_credentials(SourceCredentials {
            secret_id: secret_id.into(),
            secret_key: "key".into(),
            token: None,
        });
        self.invariants.forced_renewal();
    }

    /// Another process, with an empty cache. Who is revoked is in a file, and so stays revoked.
    fn restart(&mut self) {
        self.requests.abort_all();
        self.broker.ended.cancel();
        self.invariants.restarted();
        self.broker =
            Broker::start(&self.cloud, self.calls_per_second, &self.clock, &self.entropy, &self.invariants);
        for user in self.invariants.revoked_users() {
            self.broker.cache.revoke(ISSUER, &user, None).unwrap();
        }
    }
}

/// The answer to a request, unless its client leaves before.
async fn answer(
    cache: &CredentialCache,
    request: &Request,
    patience: Duration,
) -> Option<Result<crate::credential_cache::ServedCredential, crate::credential_cache::CredentialError>> {
    let context = RequestContext::for_tests(0);
    let answering = cache.credential_for(request.grant(), request.requested_ttl(), &context);
    tokio::time::timeout(patience, answering).await.ok()
}

impl Broker {
    fn start(
        cloud: &SimulatedSts,
        calls_per_second: NonZeroU32,
        clock: &Arc<SimulatedClock>,
        entropy: &Arc<dyn Entropy>,
        invariants: &Arc<Invariants>,
    ) -> Self {
        let sts = Arc::new(cloud.client(calls_per_second, TIMEOUT, Arc::clone(entropy)));
        let ended = CancellationToken::new();
        let observed = ObservedSts::new(Arc::clone(&sts), Arc::clone(invariants), ended.clone());
        let cache = credential_cache(Arc::new(observed), clock, entropy);
        Self { cache, sts, ended }
    }
}

/// A cache of keys before this STS.
pub(super) fn credential_cache(
    sts: Arc<dyn Sts>,
    clock: &Arc<SimulatedClock>,
    entropy: &Arc<dyn Entropy>,
) -> CredentialCache {
    let rules =
        config::Cache { max_bytes: 64 << 20, min_remaining: None, refresh_at: 0.3, advice_bytes: None };
    let limits =
        config::Limits { per_user: diagnostics::Rate::Off, scopes_per_user: NonZeroU32::MIN, revoked: None };
    CredentialCache::new(
        rules,
        &limits,
        sts,
        Audit::off(),
        Arc::clone(clock) as Arc<dyn Clock>,
        Arc::clone(entropy),
        Handle::current(),
    )
}
