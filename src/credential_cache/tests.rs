use std::sync::{
    Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use proptest::prelude::*;

use super::{freshness::FreshnessRequirement, *};
use crate::sts::{Allowance, IssueRequest, Priority, TemporaryCredential};
use runtime::{clock::TestClock, entropy::FixedEntropy};
use templates::{IssuerTrust, Scope, ServingConstraints, TemplateSet};

const NOW: i64 = 1_900_000_000;
/// Context of a request without client or trace.
pub(super) static CONTEXT: std::sync::LazyLock<RequestContext> =
    std::sync::LazyLock::new(|| RequestContext::for_tests(0));

/// An STS that counts its calls, takes a fixed time, and can be made to fail.
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
    fn issue(&self, request: IssueRequest) -> BoxFuture<'_, Result<TemporaryCredential, StsError>> {
        Box::pin(async move {
            let call = self.calls.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(self.takes).await;
            match self.failing.lock().unwrap().clone() {
                Some(error) => {
                    request.delayed.cancel();
                    Err(error)
                }
                None => Ok(TemporaryCredential {
                    secret_id: format!("AKID{call}"),
                    secret_key: "k".into(),
                    token: "t".repeat(1000).into(),
                    expires_at: self.clock.now() + self.life,
                    request_id: format!("r{call}"),
                }),
            }
        })
    }

    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    fn is_circuit_open(&self) -> bool {
        false
    }

    fn allowance(&self) -> Allowance {
        Allowance { max_ttl: Duration::from_hours(12), calls_per_second: 600 }
    }

    fn source_credentials_version(&self) -> u64 {
        self.source_credentials_version.load(Ordering::Relaxed)
    }

    fn binding(&self) -> Fingerprint {
        Fingerprint::of(&["sts"])
    }
}

pub(super) struct Harness {
    pub(super) cache: CredentialCache,
    pub(super) sts: Arc<CountingSts>,
    templates: TemplateSet,
}

pub(super) const LIFE: Duration = Duration::from_mins(30);
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
pub(super) const CALL: Duration = Duration::from_millis(100);
pub(super) const RULES: config::Cache =
    config::Cache { max_bytes: 64 << 20, min_remaining: None, refresh_at: 0.3, advice_bytes: Some(1 << 20) };

pub(super) fn limits(per_user: diagnostics::Rate) -> config::Limits {
    config::Limits { per_user, scopes_per_user: 2.try_into().unwrap(), revoked: None }
}

fn load(dir: &std::path::Path) -> TemplateSet {
    let terms = ServingConstraints {
        issuer_trust: IssuerTrust { trusted_claims: vec![vec!["team".to_owned()]], ..IssuerTrust::default() },
        longest: Duration::from_hours(2),
        min_remaining: None,
        default: Some("upload".to_owned()),
    };
    crate::reload::load(dir, &terms, Timestamp::UNIX_EPOCH).unwrap()
}

pub(super) fn shipped_templates() -> TemplateSet {
    load(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies"))
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
        let cache = CredentialCache::new(
            rules,
            &limits,
            Arc::clone(&sts) as Arc<dyn Sts>,
            Audit::off(),
            clock,
            Arc::new(FixedEntropy(0x80)),
            Handle::current(),
        );
        Self { cache, sts, templates: shipped_templates() }
    }

    /// Requests a credential that may only put objects under a prefix of the user's folder.
    pub(super) async fn request_scope(
        &self,
        subject: &str,
        prefix: &str,
        requested_ttl: Option<Duration>,
    ) -> Result<CacheOutcome, CredentialError> {
        let scope = Scope {
            action: "name/cos:PutObject".to_owned(),
            bucket: "examplebucket-1250000000".to_owned(),
            region: "ap-guangzhou".to_owned(),
            prefix: format!("users/{subject}/{prefix}"),
        };
        let identity = Identity::for_tests("i", subject, &[]);
        let grant = self.templates.narrowed(None, &identity, &[scope]).unwrap();
        self.cache.credential_for(&grant, requested_ttl, &CONTEXT).await.map(|served| served.how)
    }

    pub(super) fn grant(&self, subject: &str) -> Arc<Grant> {
        self.templates.grant(None, &Identity::for_tests("i", subject, &[])).unwrap()
    }

    pub(super) async fn request(&self, subject: &str) -> Result<ServedCredential, CredentialError> {
        self.cache.credential_for(&self.grant(subject), None, &CONTEXT).await
    }

    pub(super) async fn outcome(&self, subject: &str) -> CacheOutcome {
        self.request(subject).await.unwrap().how
    }

    pub(super) fn calls(&self) -> usize {
        self.sts.calls.load(Ordering::Relaxed)
    }

    pub(super) fn fail(&self, error: Option<StsError>) {
        *self.sts.failing.lock().unwrap() = error;
    }

    pub(super) fn written(&self) -> String {
        let mut registry = Registry::default();
        self.cache.register(&mut registry);
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
    StsError::Unavailable { detail: "down".to_owned(), retry_after: Duration::from_secs(1) }
}

fn refused() -> StsError {
    StsError::SourceCredentialsRejected { detail: "AuthFailure".to_owned() }
}

pub(super) async fn pass(duration: Duration) {
    tokio::time::sleep(duration).await;
}

#[tokio::test(start_paused = true)]
async fn the_second_request_is_a_hit_and_another_user_gets_another_credential() {
    let harness = harness();
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Fetched);
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Hit);
    let (alice, bob) = (harness.request("alice").await.unwrap(), harness.request("bob").await.unwrap());
    assert_ne!(alice.credential.credential().secret_id, bob.credential.credential().secret_id);
    assert_eq!(bob.credential.grant().home(), "users/bob/");
    assert_eq!(harness.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_concurrent_requests_make_one_call() {
    let harness = harness();
    let grant = harness.grant("alice");
    let requests = (0..10_000).map(|_| harness.cache.credential_for(&grant, None, &CONTEXT));
    let outcomes = futures::future::join_all(requests).await;
    let fetched = outcomes.iter().filter(|o| o.as_ref().unwrap().how == CacheOutcome::Fetched).count();
    assert_eq!((fetched, harness.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn clients_that_disconnect_neither_cancel_nor_repeat_the_call() {
    let harness = harness();
    let grant = harness.grant("alice");
    let disconnecting = (0..1500)
        .map(|_| tokio::time::timeout(CALL / 10, harness.cache.credential_for(&grant, None, &CONTEXT)));
    let given_up = futures::future::join_all(disconnecting).await;
    assert!(given_up.iter().all(Result::is_err));
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Coalesced);
    assert_eq!(harness.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_credential_below_the_minimum_ttl_is_replaced() {
    let harness = harness();
    harness.request("alice").await.unwrap();
    pass(LIFE.checked_sub(Duration::from_secs(299)).unwrap()).await;
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Fetched);
    assert_eq!(harness.figure("reason=\"expired\""), 1);
}

#[tokio::test(start_paused = true)]
async fn an_expired_credential_leaves_memory_and_is_a_miss_by_expiry() {
    let harness = harness();
    harness.request("alice").await.unwrap();
    pass(LIFE / 2).await;
    harness.request("bob").await.unwrap();
    harness.cache.remove_unused();
    assert_eq!(harness.cache.snapshot().entries, 2);
    pass(LIFE / 2).await;
    harness.cache.remove_unused();
    assert_eq!(harness.cache.snapshot().entries, 1);
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Fetched);
    assert_eq!(harness.figure("reason=\"expired\""), 1);
}

#[tokio::test(start_paused = true)]
async fn while_sts_fails_a_credential_is_served_until_it_expires() {
    let harness = harness();
    harness.request("alice").await.unwrap();
    harness.fail(Some(unavailable()));
    pass(LIFE.checked_sub(Duration::from_secs(62)).unwrap()).await;
    for _ in 0..6 {
        let served = harness.request("alice").await.unwrap();
        assert_eq!(served.how, CacheOutcome::Stale);
        pass(Duration::from_secs(10)).await;
    }
    pass(Duration::from_secs(2)).await;
    assert!(harness.request("alice").await.is_err(), "an expired credential is never served");
    harness.fail(None);
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Fetched);
}

#[tokio::test(start_paused = true)]
async fn a_failure_reaches_all_requests_that_wait_and_is_not_cached() {
    let harness = harness();
    harness.fail(Some(unavailable()));
    let grant = harness.grant("alice");
    let outcomes =
        futures::future::join_all((0..100).map(|_| harness.cache.credential_for(&grant, None, &CONTEXT)))
            .await;
    assert!(outcomes.iter().all(Result::is_err));
    assert_eq!(harness.calls(), 1);
    harness.fail(None);
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Fetched);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_a_retry_cannot_fix_is_cached_for_a_second() {
    let harness = harness();
    harness.fail(Some(refused()));
    for _ in 0..50 {
        assert!(harness.request("alice").await.is_err());
    }
    assert_eq!(harness.calls(), 1);
    harness.fail(None);
    pass(Duration::from_secs(1)).await;
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Fetched);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_longer_ttl_gets_it_or_learns_the_maximum() {
    let harness = harness();
    harness.request("alice").await.unwrap();
    pass(Duration::from_mins(1)).await;
    let grant = harness.grant("alice");
    let requesting = |minutes: u64| {
        harness.cache.credential_for(&grant, Some(Duration::from_secs(minutes * 60)), &CONTEXT)
    };
    assert_eq!(requesting(20).await.unwrap().how, CacheOutcome::Hit);
    let newer = requesting(29).await;
    assert_eq!(newer.unwrap().how, CacheOutcome::Hit, "29 minutes are left of 30");
    pass(Duration::from_mins(1)).await;
    assert_eq!(requesting(29).await.unwrap().how, CacheOutcome::Fetched);
    assert_eq!(harness.figure("reason=\"min_remaining\""), 1);
    let too_long = requesting(30).await.unwrap_err();
    let (requested, max) = (Duration::from_mins(30), Duration::from_mins(29));
    assert_eq!(too_long, CredentialError::TtlTooLong { requested, max });
}

#[tokio::test(start_paused = true)]
async fn always_requesting_the_longest_ttl_costs_at_most_one_call_a_minute() {
    let harness = harness();
    let grant = harness.grant("alice");
    for _ in 0..600 {
        harness.cache.credential_for(&grant, Some(Duration::from_mins(29)), &CONTEXT).await.unwrap();
        pass(Duration::from_secs(1)).await;
    }
    assert!(harness.calls() <= 10, "{} calls in ten minutes", harness.calls());
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_nears_its_end_while_the_request_waits_for_sts_is_not_served() {
    let harness = harness();
    harness.request("alice").await.unwrap();
    harness.fail(Some(unavailable()));
    pass(LIFE.checked_sub(Duration::from_secs(1) + CALL / 2).unwrap()).await;
    assert!(matches!(
        harness.request("alice").await,
        Err(CredentialError::Sts(StsError::Unavailable { .. }))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_can_wait_for_the_fetches_in_flight() {
    let harness = harness();
    let grant = harness.grant("alice");
    assert!(
        tokio::time::timeout(CALL / 10, harness.cache.credential_for(&grant, None, &CONTEXT)).await.is_err()
    );
    assert_eq!(harness.cache.active_credentials(&KeyFilter::default()).active, 0);
    harness.cache.wait_idle().await;
    assert_eq!(harness.cache.active_credentials(&KeyFilter::default()).active, 1);
    harness.cache.wait_idle().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn the_cache_never_exceeds_its_bound(users in 1usize..300, kib in 16u64..512) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let harness = Harness::new(LIFE, kib << 10);
            for user in 0..users {
                harness.request(&format!("u{user}")).await.unwrap();
            }
            let Snapshot { entries, bytes, inflight_fetches, .. } = harness.cache.snapshot();
            assert!(bytes <= kib << 10, "{bytes} bytes of {kib} KiB");
            assert_eq!(inflight_fetches, 0);
            assert_eq!(harness.figure("evictions") + entries, users as u64);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_cached_since_the_lookup_is_served() {
    let harness = harness();
    harness.request("alice").await.unwrap();
    let required = FreshnessRequirement::new(Duration::from_mins(5), None, LIFE, 0).unwrap();
    let (grant, priority) = (harness.grant("alice"), Priority::NoActiveKey);
    let served = harness.cache.fetch(&grant, priority, required, &CONTEXT).await.unwrap();
    assert_eq!((served.how, harness.calls()), (CacheOutcome::Coalesced, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_cannot_lower_the_minimum_ttl() {
    let harness = harness();
    harness.request("alice").await.unwrap();
    pass(Duration::from_mins(26)).await;
    let served = harness
        .cache
        .credential_for(&harness.grant("alice"), Some(Duration::from_secs(1)), &CONTEXT)
        .await
        .unwrap();
    assert_eq!(served.how, CacheOutcome::Fetched);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_joined_a_refresh_that_found_sts_busy_makes_its_own_call() {
    let harness = harness();
    harness.request("alice").await.unwrap();
    pass(LIFE.mul_f64(0.75)).await;
    harness.fail(Some(StsError::QuotaExhausted { retry_after: Duration::from_secs(1) }));
    assert_eq!(harness.outcome("alice").await, CacheOutcome::Refreshed);
    let grant = harness.grant("alice");
    let (served, ()) = futures::join!(
        harness.cache.credential_for(&grant, Some(Duration::from_mins(20)), &CONTEXT),
        async {
            pass(CALL + CALL / 2).await;
            harness.fail(None);
        }
    );
    assert_eq!(served.unwrap().how, CacheOutcome::Fetched);
}

#[tokio::test(start_paused = true)]
async fn a_final_failure_is_cached_for_a_whole_second() {
    let harness = harness();
    harness.fail(Some(refused()));
    assert!(harness.request("alice").await.is_err());
    pass(Duration::from_millis(999)).await;
    assert!(harness.request("alice").await.is_err());
    assert_eq!(harness.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_refresh_point_varies_by_a_tenth_and_is_never_after_the_expiry() {
    let harness = harness();
    let credential = harness.request("alice").await.unwrap().credential;
    for (byte, share) in [(0, 0.27), (0xff, 0.33)] {
        let cache = CredentialCache::new(
            RULES,
            &limits(diagnostics::Rate::Off),
            Arc::clone(&harness.sts) as Arc<dyn Sts>,
            Audit::off(),
            Arc::clone(&harness.sts.clock) as Arc<dyn Clock>,
            Arc::new(FixedEntropy(byte)),
            Handle::current(),
        );
        let credential =
            cache.credential_for(&harness.grant("alice"), None, &CONTEXT).await.unwrap().credential;
        let now = harness.sts.clock.now();
        let ahead =
            runtime::clock::time_until(credential.credential().expires_at, credential.refresh_at(now))
                .as_secs_f64()
                / LIFE.as_secs_f64();
        assert!((ahead - share).abs() < 0.001, "{ahead}");
    }
    let expires_at = credential.credential().expires_at;
    let late = expires_at.checked_sub(Duration::from_secs(2)).unwrap();
    assert_eq!(credential.refresh_at(late), expires_at);
}

#[tokio::test(start_paused = true)]
async fn the_rate_limit_is_per_user_whatever_the_token() {
    let harness = harness();
    let cache = CredentialCache::new(
        RULES,
        &limits("3/minute".parse().unwrap()),
        Arc::clone(&harness.sts) as Arc<dyn Sts>,
        Audit::off(),
        Arc::clone(&harness.sts.clock) as Arc<dyn Clock>,
        Arc::new(FixedEntropy(0)),
        Handle::current(),
    );
    let admitted = (0..10)
        .filter(|n| cache.admit(&Identity::for_tests("i", "alice", &[("jti", (*n).into())])).is_ok())
        .count();
    assert_eq!(admitted, 3);
}

#[tokio::test(start_paused = true)]
async fn a_changed_policy_is_a_miss_of_its_own() {
    let harness = harness();
    harness.request("alice").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let text = include_str!("../../policies/upload.toml").replace("10485760", "10485761");
    std::fs::write(dir.path().join("upload.toml"), text).unwrap();
    let changed = load(dir.path());
    let grant = changed.grant(None, &Identity::for_tests("i", "alice", &[])).unwrap();
    assert_eq!(
        harness.cache.credential_for(&grant, None, &CONTEXT).await.unwrap().how,
        CacheOutcome::Fetched
    );
    assert_eq!(harness.figure("reason=\"policy_changed\""), 1);
}
