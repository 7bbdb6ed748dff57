use std::sync::{
    Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use futures::future::BoxFuture;
use proptest::prelude::*;

use super::*;
use crate::sts::{Allowance, TemporaryCredential};
use runtime::{clock::TestClock, entropy::FixedEntropy};
use templates::{IssuerTrust, Scope, ServingConstraints, TemplateSet};

const NOW: i64 = 1_900_000_000;
/// An ask that came from nowhere in particular.
pub(super) static ORIGIN: std::sync::LazyLock<RequestContext> =
    std::sync::LazyLock::new(RequestContext::default);

/// An STS that counts its calls, and takes a while or fails as it is told.
#[derive(Debug)]
pub(super) struct CountingSts {
    calls: AtomicUsize,
    takes: Duration,
    life: Duration,
    failing: Mutex<Option<StsError>>,
    pub(super) source_credentials_version: AtomicU64,
    pub(super) clock: Arc<TestClock>,
}

impl Sts for CountingSts {
    fn issue(
        &self,
        _: Arc<Grant>,
        _: Urgency,
        _: Option<crate::telemetry::TraceContext>,
    ) -> BoxFuture<'_, Result<TemporaryCredential, StsError>> {
        Box::pin(async move {
            let call = self.calls.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(self.takes).await;
            match self.failing.lock().unwrap().clone() {
                Some(error) => Err(error),
                None => Ok(TemporaryCredential {
                    secret_id: format!("AKID{call}"),
                    secret_key: "k".into(),
                    token: "t".repeat(1000).into(),
                    expires: self.clock.now() + self.life,
                    request_id: format!("r{call}"),
                }),
            }
        })
    }

    fn is_circuit_open(&self) -> bool {
        false
    }

    fn allowance(&self) -> Allowance {
        Allowance { longest_life: Duration::from_hours(12), calls_per_second: 600 }
    }

    fn source_credentials_version(&self) -> u64 {
        self.source_credentials_version.load(Ordering::Relaxed)
    }
}

pub(super) struct Harness {
    pub(super) broker: CredentialCache,
    pub(super) sts: Arc<CountingSts>,
    templates: TemplateSet,
}

pub(super) const LIFE: Duration = Duration::from_mins(30);
pub(super) const CALL: Duration = Duration::from_millis(100);
pub(super) const RULES: config::Cache =
    config::Cache { max_bytes: 64 << 20, min_remaining: None, refresh_at: 0.3, advice_bytes: Some(1 << 20) };

pub(super) fn limits(per_user: diagnostics::Rate) -> config::Limits {
    config::Limits { per_user, scopes_per_user: 2.try_into().unwrap(), revoked: None }
}

fn load(dir: &std::path::Path) -> TemplateSet {
    let terms = ServingConstraints {
        issuer_trust: IssuerTrust { several: false, trusted_claims: vec!["team".to_owned()] },
        longest: Duration::from_hours(2),
        min_remaining: None,
        default: Some("upload".to_owned()),
    };
    crate::reload::load(dir, &terms, Timestamp::UNIX_EPOCH).unwrap()
}

impl Harness {
    pub(super) fn new(life: Duration, max_bytes: u64) -> Self {
        Self::with(life, config::Cache { max_bytes, ..RULES }, CALL)
    }

    /// With an STS that answers at once.
    pub(super) fn quick() -> Self {
        Self::with(LIFE, RULES, Duration::ZERO)
    }

    pub(super) fn with(life: Duration, rules: config::Cache, takes: Duration) -> Self {
        let clock = TestClock::at(NOW);
        let sts = Arc::new(CountingSts {
            calls: AtomicUsize::new(0),
            takes,
            life,
            failing: Mutex::new(None),
            source_credentials_version: AtomicU64::new(0),
            clock: Arc::clone(&clock),
        });
        let limits = limits(diagnostics::Rate::Off);
        let broker = CredentialCache::new(
            rules,
            &limits,
            Arc::clone(&sts) as Arc<dyn Sts>,
            Audit::off(),
            clock,
            Arc::new(FixedEntropy(0x80)),
            Handle::current(),
        );
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let templates = load(&dir);
        Self { broker, sts, templates }
    }

    /// Asks for a key that may only put objects under a prefix of one's own.
    pub(super) async fn ask_for(
        &self,
        subject: &str,
        prefix: &str,
        wanted: Option<Duration>,
    ) -> Result<Outcome, CredentialError> {
        let scope = Scope {
            action: "name/cos:PutObject".to_owned(),
            bucket: "examplebucket-1250000000".to_owned(),
            region: "ap-guangzhou".to_owned(),
            prefix: format!("users/{subject}/{prefix}"),
        };
        let identity = Identity::for_tests("i", subject, &[]);
        let grant = self.templates.narrowed(None, &identity, &[scope]).unwrap();
        self.broker.credential_for(&grant, wanted, &ORIGIN).await.map(|served| served.outcome)
    }

    pub(super) fn grant(&self, subject: &str) -> Arc<Grant> {
        self.templates.grant(None, &Identity::for_tests("i", subject, &[])).unwrap()
    }

    pub(super) async fn ask(&self, subject: &str) -> Result<Served, CredentialError> {
        self.broker.credential_for(&self.grant(subject), None, &ORIGIN).await
    }

    pub(super) async fn outcome(&self, subject: &str) -> Outcome {
        self.ask(subject).await.unwrap().outcome
    }

    pub(super) fn calls(&self) -> usize {
        self.sts.calls.load(Ordering::Relaxed)
    }

    pub(super) fn fail(&self, error: Option<StsError>) {
        *self.sts.failing.lock().unwrap() = error;
    }

    pub(super) fn written(&self) -> String {
        let mut registry = Registry::default();
        self.broker.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    pub(super) fn figure(&self, name: &str) -> u64 {
        let text = self.written();
        let values = text.lines().filter(|line| !line.starts_with('#') && line.contains(name));
        values.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }
}

pub(super) fn harness() -> Harness {
    Harness::new(LIFE, 64 << 20)
}

pub(super) fn unavailable() -> StsError {
    StsError::Unavailable { detail: "down".to_owned() }
}

fn refused() -> StsError {
    StsError::SourceCredentialsRejected { detail: "AuthFailure".to_owned() }
}

pub(super) async fn pass(duration: Duration) {
    tokio::time::sleep(duration).await;
}

#[tokio::test(start_paused = true)]
async fn the_second_ask_is_answered_from_memory_and_another_user_gets_another_key() {
    let harness = harness();
    assert_eq!(harness.outcome("alice").await, Outcome::Fetched);
    assert_eq!(harness.outcome("alice").await, Outcome::Hit);
    let (alice, bob) = (harness.ask("alice").await.unwrap(), harness.ask("bob").await.unwrap());
    assert_ne!(alice.key.credential().secret_id, bob.key.credential().secret_id);
    assert_eq!(bob.key.grant().home(), "users/bob/");
    assert_eq!(harness.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_askers_at_once_make_one_call() {
    let harness = harness();
    let grant = harness.grant("alice");
    let requests = (0..10_000).map(|_| harness.broker.credential_for(&grant, None, &ORIGIN));
    let outcomes = futures::future::join_all(requests).await;
    let fetched = outcomes.iter().filter(|o| o.as_ref().unwrap().outcome == Outcome::Fetched).count();
    assert_eq!((fetched, harness.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn askers_who_give_up_neither_cancel_nor_repeat_the_call() {
    let harness = harness();
    let grant = harness.grant("alice");
    let impatient = (0..1500)
        .map(|_| tokio::time::timeout(CALL / 10, harness.broker.credential_for(&grant, None, &ORIGIN)));
    let given_up = futures::future::join_all(impatient).await;
    assert!(given_up.iter().all(Result::is_err));
    assert_eq!(harness.outcome("alice").await, Outcome::Coalesced);
    assert_eq!(harness.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_too_old_to_hand_out_is_replaced() {
    let harness = harness();
    harness.ask("alice").await.unwrap();
    pass(LIFE.checked_sub(Duration::from_secs(299)).unwrap()).await;
    assert_eq!(harness.outcome("alice").await, Outcome::Fetched);
    assert_eq!(harness.figure("reason=\"expired\""), 1);
}

#[tokio::test(start_paused = true)]
async fn while_sts_fails_a_key_with_a_minute_left_is_served_and_none_with_less() {
    let harness = harness();
    harness.ask("alice").await.unwrap();
    harness.fail(Some(unavailable()));
    pass(LIFE.checked_sub(Duration::from_secs(62)).unwrap()).await;
    let served = harness.ask("alice").await.unwrap();
    assert_eq!(served.outcome, Outcome::Stale);
    pass(Duration::from_secs(3)).await;
    assert!(matches!(harness.ask("alice").await, Err(CredentialError::Sts(StsError::Unavailable { .. }))));
    pass(Duration::from_mins(1)).await;
    assert!(harness.ask("alice").await.is_err(), "an expired key is never served");
    harness.fail(None);
    assert_eq!(harness.outcome("alice").await, Outcome::Fetched);
}

#[tokio::test(start_paused = true)]
async fn a_failure_reaches_all_who_wait_and_nothing_of_it_is_cached() {
    let harness = harness();
    harness.fail(Some(unavailable()));
    let grant = harness.grant("alice");
    let outcomes =
        futures::future::join_all((0..100).map(|_| harness.broker.credential_for(&grant, None, &ORIGIN)))
            .await;
    assert!(outcomes.iter().all(Result::is_err));
    assert_eq!(harness.calls(), 1);
    harness.fail(None);
    assert_eq!(harness.outcome("alice").await, Outcome::Fetched);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_succeed_on_retry_is_remembered_for_a_second() {
    let harness = harness();
    harness.fail(Some(refused()));
    for _ in 0..50 {
        assert!(harness.ask("alice").await.is_err());
    }
    assert_eq!(harness.calls(), 1);
    harness.fail(None);
    pass(Duration::from_secs(1)).await;
    assert_eq!(harness.outcome("alice").await, Outcome::Fetched);
}

#[tokio::test(start_paused = true)]
async fn whoever_wants_more_life_gets_it_or_is_told_what_there_is() {
    let harness = harness();
    harness.ask("alice").await.unwrap();
    pass(Duration::from_mins(1)).await;
    let grant = harness.grant("alice");
    let wanting = |minutes: u64| {
        harness.broker.credential_for(&grant, Some(Duration::from_secs(minutes * 60)), &ORIGIN)
    };
    assert_eq!(wanting(20).await.unwrap().outcome, Outcome::Hit);
    let newer = wanting(29).await;
    assert_eq!(newer.unwrap().outcome, Outcome::Hit, "29 minutes are left of 30");
    pass(Duration::from_mins(1)).await;
    assert_eq!(wanting(29).await.unwrap().outcome, Outcome::Fetched);
    assert_eq!(harness.figure("reason=\"min_remaining\""), 1);
    let too_much = wanting(30).await.unwrap_err();
    let (wanted, possible) = (Duration::from_mins(30), Duration::from_mins(29));
    assert_eq!(too_much, CredentialError::TooMuchLife { wanted, possible });
}

#[tokio::test(start_paused = true)]
async fn whoever_always_wants_the_most_life_costs_a_call_a_minute_and_no_more() {
    let harness = harness();
    let grant = harness.grant("alice");
    for _ in 0..600 {
        harness.broker.credential_for(&grant, Some(Duration::from_mins(29)), &ORIGIN).await.unwrap();
        pass(Duration::from_secs(1)).await;
    }
    assert!(harness.calls() <= 10, "{} calls in ten minutes", harness.calls());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_came_too_near_its_end_while_sts_was_waited_for_is_not_served() {
    let harness = harness();
    harness.ask("alice").await.unwrap();
    harness.fail(Some(unavailable()));
    pass(LIFE.checked_sub(Duration::from_mins(1) + CALL / 2).unwrap()).await;
    assert!(matches!(harness.ask("alice").await, Err(CredentialError::Sts(StsError::Unavailable { .. }))));
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_the_broker_can_wait_for_the_keys_that_are_under_way() {
    let harness = harness();
    let grant = harness.grant("alice");
    assert!(
        tokio::time::timeout(CALL / 10, harness.broker.credential_for(&grant, None, &ORIGIN)).await.is_err()
    );
    assert_eq!(harness.broker.active_credentials(&KeyFilter::default()).active, 0);
    harness.broker.wait_idle().await;
    assert_eq!(harness.broker.active_credentials(&KeyFilter::default()).active, 1);
    harness.broker.wait_idle().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn the_cache_never_weighs_more_than_its_bound(users in 1usize..300, kib in 16u64..512) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let harness = Harness::new(LIFE, kib << 10);
            for user in 0..users {
                harness.ask(&format!("u{user}")).await.unwrap();
            }
            let Snapshot { entries: keys, bytes, flights, .. } = harness.broker.snapshot();
            assert!(bytes <= kib << 10, "{bytes} bytes of {kib} KiB");
            assert_eq!(flights, 0);
            assert_eq!(harness.figure("evictions") + keys, users as u64);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_landed_meanwhile_is_taken() {
    let harness = harness();
    harness.ask("alice").await.unwrap();
    let wanted =
        FreshnessRequirement { least: Duration::from_mins(5), more: None, source_credentials_version: 0 };
    let served = harness.broker.fetch(&harness.grant("alice"), wanted, &ORIGIN).await.unwrap();
    assert_eq!((served.outcome, harness.calls()), (Outcome::Coalesced, 1));
}

#[tokio::test(start_paused = true)]
async fn nobody_can_ask_for_less_life_than_the_house_gives() {
    let harness = harness();
    harness.ask("alice").await.unwrap();
    pass(Duration::from_mins(26)).await;
    let served = harness
        .broker
        .credential_for(&harness.grant("alice"), Some(Duration::from_secs(1)), &ORIGIN)
        .await
        .unwrap();
    assert_eq!(served.outcome, Outcome::Fetched);
}

#[tokio::test(start_paused = true)]
async fn a_user_who_joined_a_refresh_that_found_sts_busy_gets_a_call_of_their_own() {
    let harness = harness();
    harness.ask("alice").await.unwrap();
    pass(LIFE.mul_f64(0.75)).await;
    harness.fail(Some(StsError::Busy { retry_after: Duration::from_secs(1) }));
    assert_eq!(harness.outcome("alice").await, Outcome::Refreshed);
    let grant = harness.grant("alice");
    let (served, ()) = futures::join!(
        harness.broker.credential_for(&grant, Some(Duration::from_mins(20)), &ORIGIN),
        async {
            pass(CALL + CALL / 2).await;
            harness.fail(None);
        }
    );
    assert_eq!(served.unwrap().outcome, Outcome::Fetched);
}

#[tokio::test(start_paused = true)]
async fn a_final_failure_is_remembered_a_whole_second() {
    let harness = harness();
    harness.fail(Some(refused()));
    assert!(harness.ask("alice").await.is_err());
    pass(Duration::from_millis(999)).await;
    assert!(harness.ask("alice").await.is_err());
    assert_eq!(harness.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_refresh_point_is_a_tenth_to_either_side_and_never_behind_the_end() {
    let harness = harness();
    let key = harness.ask("alice").await.unwrap().key;
    for (byte, share) in [(0, 0.27), (0xff, 0.33)] {
        let broker = CredentialCache::new(
            RULES,
            &limits(diagnostics::Rate::Off),
            Arc::clone(&harness.sts) as Arc<dyn Sts>,
            Audit::off(),
            Arc::clone(&harness.sts.clock) as Arc<dyn Clock>,
            Arc::new(FixedEntropy(byte)),
            Handle::current(),
        );
        let key = broker.credential_for(&harness.grant("alice"), None, &ORIGIN).await.unwrap().key;
        let now = harness.sts.clock.now();
        let ahead = runtime::clock::until(key.credential().expires, key.refresh_at(now)).as_secs_f64()
            / LIFE.as_secs_f64();
        assert!((ahead - share).abs() < 0.001, "{ahead}");
    }
    let expires = key.credential().expires;
    let late = expires.checked_sub(Duration::from_secs(2)).unwrap();
    assert_eq!(key.refresh_at(late), expires);
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_the_persons_whatever_token_they_bring() {
    let harness = harness();
    let broker = CredentialCache::new(
        RULES,
        &limits("3/minute".parse().unwrap()),
        Arc::clone(&harness.sts) as Arc<dyn Sts>,
        Audit::off(),
        Arc::clone(&harness.sts.clock) as Arc<dyn Clock>,
        Arc::new(FixedEntropy(0)),
        Handle::current(),
    );
    let admitted = (0..10)
        .filter(|n| broker.admit(&Identity::for_tests("i", "alice", &[("jti", (*n).into())])).is_ok())
        .count();
    assert_eq!(admitted, 3);
}

#[tokio::test(start_paused = true)]
async fn a_changed_template_is_told_from_a_first_ask() {
    let harness = harness();
    harness.ask("alice").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let text = include_str!("../../policies/upload.toml").replace("10485760", "10485761");
    std::fs::write(dir.path().join("upload.toml"), text).unwrap();
    let changed = load(dir.path());
    let grant = changed.grant(None, &Identity::for_tests("i", "alice", &[])).unwrap();
    assert_eq!(harness.broker.credential_for(&grant, None, &ORIGIN).await.unwrap().outcome, Outcome::Fetched);
    assert_eq!(harness.figure("reason=\"policy_changed\""), 1);
}
