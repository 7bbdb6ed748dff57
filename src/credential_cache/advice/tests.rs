use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::{
    comparison::{number, share},
    recorder::{RecordedRequest, Ring},
    replay::{Settings, replay},
    *,
};
use crate::credential_cache::{
    CacheOutcome,
    tests::{CONTEXT, Harness, LIFE, RULES, pass},
};

const MINUTE: Duration = Duration::from_mins(1);
const KEY: u64 = 8 << 10;

fn request(key: u64, at: Duration) -> RecordedRequest {
    RecordedRequest {
        key,
        at,
        lifetime: LIFE,
        requested_ttl: Duration::ZERO,
        bytes: KEY,
        outcome: Some(CacheOutcome::Hit),
    }
}

fn all(requests: &[RecordedRequest], settings: &Settings) -> Tally {
    replay(requests.iter().copied(), 1, Duration::ZERO, settings)
}

fn settings_of(cache: config::Cache) -> Settings {
    Settings::from(cache)
}

/// A user, seconds since the request before, and minutes of TTL that the request asks for.
fn requests_of_a_few() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    let gap = prop_oneof![Just(0), 1_u64..120, 60_u64..1500];
    let requested_ttl = prop_oneof![4 => Just(0), 1 => 1_u64..35];
    proptest::collection::vec((0_u64..6, gap, requested_ttl), 1..150)
}

/// The same as recorded requests.
fn recorded(few: &[(u64, u64, u64)]) -> Vec<RecordedRequest> {
    let mut at = Duration::ZERO;
    let requests = few.iter().map(|(user, gap, minutes)| {
        at += Duration::from_secs(*gap);
        RecordedRequest {
            requested_ttl: MINUTE * u32::try_from(*minutes).unwrap(),
            bytes: KEY << (user % 3),
            ..request(*user, at)
        }
    });
    requests.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_replay_under_the_settings_in_force_gives_what_the_cache_counted(
        few in requests_of_a_few(),
        min_remaining in proptest::option::of(1_u64..20),
        refresh_at in prop_oneof![Just(0.0), Just(0.3), Just(0.8)],
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let min_remaining = min_remaining.map(Duration::from_mins);
            let rules = config::Cache { min_remaining, refresh_at, ..RULES };
            let harness = Harness::with(LIFE, rules, Duration::ZERO);
            let (mut hits, mut refused) = (0, 0);
            for (user, gap, minutes) in few {
                pass(Duration::from_secs(gap)).await;
                let requested_ttl = (minutes > 0).then(|| Duration::from_mins(minutes));
                match harness.cache.credential_for(&harness.grant(&format!("u{user}")), requested_ttl, &CONTEXT).await {
                    Ok(served) => hits += u64::from(served.how != CacheOutcome::Fetched),
                    Err(_) => refused += 1,
                }
            }
            pass(Duration::from_secs(1)).await;
            let recording = harness.cache.0.recorder.recording().unwrap();
            let replayed = replay(recording.requests(), 1, Duration::ZERO, &settings_of(rules));
            assert_eq!(
                (replayed.hits, replayed.calls, replayed.refused),
                (hits, harness.calls() as u64, refused)
            );
            assert_eq!(replayed.requests, recording.requests().count() as u64);
        });
    }

    /// Without refreshes a credential is fetched when it must be and no sooner, so a longer lifetime, a smaller
    /// minimum or a larger cache is never worse. With refreshes, an early one can be worth more than a late one.
    #[test]
    fn a_longer_lifetime_a_smaller_min_remaining_and_a_larger_cache_never_give_fewer_hits(
        few in requests_of_a_few(),
        entries in 1_u64..20,
    ) {
        let requests = recorded(&few);
        let rules = config::Cache { refresh_at: 0.0, ..RULES };
        let rising = |tallies: Vec<Tally>| {
            let hits: Vec<u64> = tallies.iter().map(|tally| tally.hits).collect();
            prop_assert!(hits.is_sorted(), "{hits:?}");
            Ok(())
        };
        let lifetimes = [15, 30, 60, 120].map(|minutes| Some(MINUTE * minutes));
        rising(lifetimes.map(|lifetime| all(&requests, &Settings { lifetime, ..Settings::from(rules) })).to_vec())?;
        let leasts = [20, 10, 5, 1].map(|least| Some(MINUTE * least));
        rising(leasts.map(|min_remaining| all(&requests, &settings_of(config::Cache { min_remaining, ..rules }))).to_vec())?;
        let sizes = [1, 2, 4].map(|factor| factor * entries * KEY);
        let tallies = sizes.map(|max_bytes| all(&requests, &settings_of(config::Cache { max_bytes, ..rules })));
        for (tally, size) in tallies.iter().zip(sizes) {
            prop_assert!(tally.peak_bytes <= size);
        }
        rising(tallies.to_vec())?;
    }

    #[test]
    fn the_ring_stays_within_its_bytes_and_keeps_all_requests_of_the_keys_it_keeps(
        kib in 1_u64..64,
        users in 1_u64..5000,
        gap_ms in 0_u64..60_000,
    ) {
        let mut ring = Ring::new(kib << 10);
        let mut random = Random(users);
        let requests: Vec<RecordedRequest> = (0..6000)
            .map(|n| request(spread(random.next() % users), Duration::from_millis(n * gap_ms / 25 * 25)))
            .collect();
        for one in &requests {
            ring.record(*one);
            assert!(ring.bytes() as u64 <= kib << 10);
        }
        let recording = ring.recording(requests.last().unwrap().at);
        let kept: Vec<RecordedRequest> = recording.requests().collect();
        let keeps = u64::MAX / recording.one_in;
        let sampled: Vec<RecordedRequest> = requests.into_iter().filter(|one| one.key <= keeps).collect();
        prop_assert!(sampled.ends_with(&kept) && !kept.is_empty());
    }
}

#[test]
fn the_least_recently_used_is_evicted_and_expired_credentials_take_no_memory() {
    let settings = Settings { key_bytes: 2 * KEY, ..settings_of(RULES) };
    let [a, b, c] = [1, 2, 3].map(|key| move |minutes| request(key, MINUTE * minutes));
    let advice = all(&[a(0), b(1), a(2), c(3), a(4), b(5)], &settings);
    assert_eq!(
        (advice.hits, advice.calls, advice.peak_bytes),
        (2, 4, 2 * KEY),
        "b was evicted for c, a was not"
    );
    let advice = all(&[a(0), b(31), c(62)], &settings_of(RULES));
    assert_eq!((advice.calls, advice.peak_bytes), (3, KEY), "one is active at a time");
}

/// `SplitMix64`, for the same numbers each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        spread(self.0)
    }

    fn unit(&mut self) -> f64 {
        number(self.next() >> 11) / number(1 << 53)
    }
}

fn spread(number: u64) -> u64 {
    let a = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}

/// Half a million requests in eight hours; the user of rank n sends a share in proportion to 1/n.
fn zipf(users: u64, requests: u32) -> Vec<RecordedRequest> {
    let mut sums = Vec::new();
    let mut sum = 0.0;
    for rank in 1..=users {
        sum += 1.0 / number(rank);
        sums.push(sum);
    }
    let mut random = Random(7);
    let one = |n: u32| {
        let place = random.unit() * sum;
        let user = sums.partition_point(|sum| *sum < place);
        request(spread(user as u64 + 1), Duration::from_hours(8) / requests * n)
    };
    (0..requests).map(one).collect()
}

#[test]
fn a_sampled_recording_gives_the_figures_of_the_whole() {
    let requests = zipf(20_000, 500_000);
    let (mut whole, mut part) = (Ring::new(16 << 20), Ring::new(1 << 20));
    for one in &requests {
        whole.record(*one);
        part.record(*one);
    }
    let now = Duration::from_hours(8);
    let (whole, part) = (whole.recording(now), part.recording(now));
    assert_eq!((whole.one_in, part.one_in), (1, 8));
    assert!(part.span() >= Duration::from_hours(4), "{:?}", part.span());
    let from = Duration::from_hours(6);
    let within = |a: u64, b: u64, share: f64| (number(a) / number(b) - 1.0).abs() < share;
    for (minutes, max_bytes) in [(15, 1 << 30), (30, 1 << 30), (60, 1 << 30), (60, 20 << 20)] {
        let cache = config::Cache { max_bytes, ..RULES };
        let settings = Settings { lifetime: Some(MINUTE * minutes), ..Settings::from(cache) };
        let tally_of =
            |recording: &Recording| replay(recording.requests(), recording.one_in, from, &settings);
        let (all, some) = (tally_of(&whole), tally_of(&part));
        assert!(
            (share(all.hits, all.requests) - share(some.hits, some.requests)).abs() < 0.05,
            "{all:?} {some:?}"
        );
        assert!(within(some.calls * part.one_in, all.calls, 0.1), "{all:?} {some:?}");
        assert!(within(some.peak_bytes * part.one_in, all.peak_bytes, 0.1), "{all:?} {some:?}");
    }
}

#[test]
fn where_one_user_sends_most_requests_the_oldest_are_dropped_and_no_key_is_left_out() {
    let mut ring = Ring::new(64 << 10);
    for second in 0..20_000 {
        let user = if second % 10 == 0 { second } else { 3 };
        ring.record(request(spread(user), Duration::from_millis(second * 25)));
    }
    let recording = ring.recording(Duration::from_secs(500));
    assert_eq!(recording.one_in, 1);
    assert!(recording.requests().count() > 2000);
}

/// Each user sends a request every ten minutes for so many hours.
fn requests_every_ten_minutes(users: u64, hours: u64) -> Recording {
    let mut ring = Ring::new(4 << 20);
    for turn in 0..hours * 6 {
        for user in 0..users {
            ring.record(request(spread(user + 1), MINUTE * 10 * u32::try_from(turn).unwrap()));
        }
    }
    ring.recording(Duration::from_hours(hours))
}

const ALLOWED: Allowance = Allowance { max_ttl: Duration::from_hours(12), calls_per_second: 100 };

fn advice_on(recording: &Recording, cache: config::Cache, what_if: &WhatIf) -> Result<Advice, NoAdvice> {
    advise(recording, cache, ALLOWED, what_if)
}

fn lifetime(minutes: u32) -> WhatIf {
    WhatIf { lifetime: Some(HumanDuration(MINUTE * minutes)), ..WhatIf::default() }
}

#[test]
fn a_longer_lifetime_is_advised_with_what_it_saves_and_what_it_costs() {
    let recording = requests_every_ten_minutes(50, 8);
    let advice = advice_on(&recording, RULES, &WhatIf::default()).unwrap();
    // A key of 30 minutes serves the requests of 30 minutes: 8 in four hours. One of an hour is replaced at the
    // request after 50 minutes, in its last third: 5 in four hours.
    assert_eq!(
        advice.advice,
        "Keys of 1h would save 38 % of the calls to STS; a key would then stay active up to 1h after a revocation, not 30m."
    );
    let by_life: BTreeMap<String, f64> = advice
        .alternatives
        .iter()
        .filter_map(|one| Some((one.settings.lifetime?.to_string(), one.calls_change?)))
        .collect();
    assert_eq!(by_life.keys().collect::<Vec<_>>(), ["15m", "1h", "2h", "4h"], "12h needs a day of requests");
    assert!(by_life["15m"] > 0.0 && by_life["2h"] < by_life["1h"], "{by_life:?}");
    assert_eq!(
        advice.recorded,
        Recorded {
            requests: 50 * 48,
            of_one_key_in: 1,
            span: HumanDuration(Duration::from_hours(8)),
            measured: HumanDuration(Duration::from_hours(4)),
        }
    );
    assert_eq!(advice.present.figures.calls, 50 * 8);
    assert!((advice.present.figures.calls_per_hour - 100.0).abs() < 1e-9);
    assert!((advice.present.figures.busiest_calls_per_second - 50.0 / 60.0).abs() < 1e-9);
    assert_eq!(advice.present.peak_bytes, 50 * KEY);
    assert!(
        advice.alternatives.iter().all(|one| one.settings.max_bytes.is_none()),
        "the size does not matter"
    );
}

#[test]
fn where_keys_are_evicted_a_larger_cache_is_advised_before_a_longer_lifetime() {
    let recording = requests_every_ten_minutes(50, 8);
    // Room for 32 keys.
    let small = config::Cache { max_bytes: 52 * KEY, ..RULES };
    let advice = advice_on(&recording, small, &WhatIf::default()).unwrap();
    assert_eq!(advice.advice, "A cache of 832KiB would save 67 % of the calls to STS.");
}

#[test]
fn where_no_setting_saves_much_the_advice_says_so() {
    // Once a day each: longer than any lifetime.
    let mut ring = Ring::new(4 << 20);
    for user in 0..2000_u32 {
        ring.record(request(spread(u64::from(user) + 1), MINUTE * user));
    }
    let advice = advice_on(&ring.recording(MINUTE * 2000), RULES, &WhatIf::default()).unwrap();
    assert!(advice.advice.starts_with("No other setting tried here"), "{}", advice.advice);
    assert!(advice.present.figures.hit_rate.abs() < 1e-9);
}

#[test]
fn the_named_settings_are_judged_with_the_requests_that_they_would_refuse() {
    let mut ring = Ring::new(4 << 20);
    for turn in 0..48_u32 {
        for user in 0..10 {
            ring.record(RecordedRequest {
                requested_ttl: MINUTE * 16,
                ..request(spread(user), MINUTE * 10 * turn)
            });
        }
    }
    let recording = ring.recording(Duration::from_hours(8));
    let asked = WhatIf { min_remaining: Some(HumanDuration(MINUTE)), ..lifetime(15) };
    let advice = advice_on(&recording, RULES, &asked).unwrap();
    assert_eq!(advice.asked.unwrap().settings, asked);
    assert_eq!(
        advice.advice,
        "Keys of 15m with min_remaining of 1m would save 100 % of the calls to STS; a key would then stay active up \
         to 15m after a revocation, not 30m; 240 requests would be refused, because they ask for a longer TTL; a \
         served key would have a TTL of 1m or more."
    );
}

#[test]
fn settings_that_cannot_be_judged_say_what_is_missing() {
    let recording = requests_every_ten_minutes(50, 8);
    let said = |recording: &Recording, what_if| match advice_on(recording, RULES, &what_if) {
        Ok(advice) => advice.advice,
        Err(missing) => missing.to_string(),
    };
    let short = WhatIf { min_remaining: Some(HumanDuration(MINUTE * 30)), ..WhatIf::default() };
    for (what_if, expected) in [
        (lifetime(300), "keys of 5h can be judged from requests of 10h, and those recorded reach back 8h; "),
        (lifetime(60 * 13), "STS issues keys of 12h at most, not of 13h; "),
        (short, "keys of 30m never have a TTL of min_remaining, 30m; "),
    ] {
        let said = said(&recording, what_if);
        assert!(said.starts_with(expected), "{said}");
    }
    for (recording, expected) in [
        (Ring::new(1 << 16).recording(MINUTE), "0 requests can be measured"),
        (requests_every_ten_minutes(5, 8), "120 requests can be measured"),
        (requests_every_ten_minutes(50, 0), "0 requests can be measured"),
    ] {
        let said = said(&recording, WhatIf::default());
        assert!(said.starts_with(expected), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn neither_recording_nor_advice_names_a_user() {
    let harness = Harness::quick();
    for _ in 0..13 {
        for user in 0..100 {
            harness.request(&format!("alice{user}")).await.unwrap();
        }
        pass(MINUTE * 10).await;
    }
    let grant = harness.grant("alice7");
    let advice = serde_json::to_string(&harness.cache.advice(&WhatIf::default()).unwrap()).unwrap();
    assert!(!advice.contains("alice") && !advice.contains(&grant.id().to_string()), "{advice}");
    let held = format!("{:?}", harness.cache.0.recorder);
    assert!(!held.contains("alice") && !held.contains(&grant.id().to_string()));
    let other = Harness::quick();
    other.request("alice7").await.unwrap();
    let key = |harness: &Harness| {
        let recording = harness.cache.0.recorder.recording().unwrap();
        recording.requests().map(|request| request.key).collect::<Vec<_>>()
    };
    assert!(!key(&harness).contains(&key(&other)[0]), "another process has another hash");
}

#[tokio::test(start_paused = true)]
async fn the_advice_shows_counted_figures_beside_their_replay() {
    let harness = Harness::quick();
    for turn in 0..24 {
        if turn == 6 {
            // The cache is full from here on, and counting begins.
            assert_eq!(harness.calls(), 200);
        }
        for user in 0..100 {
            harness.request(&format!("u{user}")).await.unwrap();
        }
        pass(MINUTE * 10).await;
    }
    let advice = harness.cache.advice(&lifetime(60)).unwrap();
    assert_eq!(advice.counted, advice.present.figures);
    assert_eq!(advice.counted.requests, 1200, "from 2h to 4h, as keys of 2h are among those tried");
    let off = Harness::with(LIFE, config::Cache { advice_bytes: None, ..RULES }, Duration::ZERO);
    off.request("alice").await.unwrap();
    assert_eq!(off.cache.advice(&WhatIf::default()), Err(NoAdvice::Off));
}
