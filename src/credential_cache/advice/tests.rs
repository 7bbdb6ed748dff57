use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::{
    replay::{Settings, replay},
    ring::Ring,
    trial::{number, share},
    *,
};
use crate::credential_cache::{
    Outcome,
    tests::{Harness, LIFE, ORIGIN, RULES, pass},
};

const MINUTE: Duration = Duration::from_mins(1);
const KEY: u64 = 8 << 10;

fn ask(key: u64, at: Duration) -> Ask {
    Ask { key, at, life: LIFE, wanted: Duration::ZERO, bytes: KEY, outcome: Outcome::Hit }
}

fn all(requests: &[Ask], settings: &Settings) -> Tally {
    replay(requests.iter().copied(), 1, Duration::ZERO, settings)
}

fn as_they_are(cache: config::Cache) -> Settings {
    Settings { lifetime: None, cache }
}

/// Users who ask, seconds between their asks, and minutes of life that they want.
fn asks_of_a_few() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    let gap = prop_oneof![Just(0), 1_u64..120, 60_u64..1500];
    let wanted = prop_oneof![4 => Just(0), 1 => 1_u64..35];
    proptest::collection::vec((0_u64..6, gap, wanted), 1..150)
}

/// The same as asks of a ring.
fn recorded(few: &[(u64, u64, u64)]) -> Vec<Ask> {
    let mut at = Duration::ZERO;
    let requests = few.iter().map(|(user, gap, wanted)| {
        at += Duration::from_secs(*gap);
        Ask { wanted: MINUTE * u32::try_from(*wanted).unwrap(), bytes: KEY << (user % 3), ..ask(*user, at) }
    });
    requests.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_replay_under_the_settings_in_force_gives_what_the_broker_counted(
        few in asks_of_a_few(),
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
            for (user, gap, wanted) in few {
                pass(Duration::from_secs(gap)).await;
                let wanted = (wanted > 0).then(|| Duration::from_mins(wanted));
                match harness.broker.credential_for(&harness.grant(&format!("u{user}")), wanted, &ORIGIN).await {
                    Ok(served) => hits += u64::from(served.outcome != Outcome::Fetched),
                    Err(_) => refused += 1,
                }
            }
            pass(Duration::from_secs(1)).await;
            let recording = harness.broker.0.recorder.recording().unwrap();
            let replayed = replay(recording.requests(), 1, Duration::ZERO, &as_they_are(rules));
            assert_eq!(
                (replayed.hits, replayed.calls, replayed.refused),
                (hits, harness.calls() as u64, refused)
            );
            assert_eq!(replayed.requests, recording.requests().count() as u64);
        });
    }

    /// Without refreshes a key is fetched when it must be and no sooner, so what lives longer, may be handed out
    /// longer or stays longer is never worse. With them, one that comes early can be worth more than one that
    /// comes late.
    #[test]
    fn a_longer_life_a_smaller_min_remaining_and_a_larger_cache_never_give_fewer_hits(
        few in asks_of_a_few(),
        keys_of_room in 1_u64..20,
    ) {
        let requests = recorded(&few);
        let rules = config::Cache { refresh_at: 0.0, ..RULES };
        let rising = |tallies: Vec<Tally>| {
            let hits: Vec<u64> = tallies.iter().map(|tally| tally.hits).collect();
            prop_assert!(hits.is_sorted(), "{hits:?}");
            Ok(())
        };
        let lives = [15, 30, 60, 120].map(|life| Some(MINUTE * life));
        rising(lives.map(|lifetime| all(&requests, &Settings { lifetime, cache: rules })).to_vec())?;
        let leasts = [20, 10, 5, 1].map(|least| Some(MINUTE * least));
        rising(leasts.map(|min_remaining| all(&requests, &as_they_are(config::Cache { min_remaining, ..rules }))).to_vec())?;
        let sizes = [1, 2, 4].map(|factor| factor * keys_of_room * KEY);
        let tallies = sizes.map(|max_bytes| all(&requests, &as_they_are(config::Cache { max_bytes, ..rules })));
        for (tally, size) in tallies.iter().zip(sizes) {
            prop_assert!(tally.peak_bytes <= size);
        }
        rising(tallies.to_vec())?;
    }

    #[test]
    fn the_ring_stays_within_its_bytes_and_keeps_all_asks_of_the_keys_it_keeps(
        kib in 1_u64..64,
        users in 1_u64..5000,
        gap_ms in 0_u64..60_000,
    ) {
        let mut ring = Ring::new(kib << 10);
        let mut random = Random(users);
        let requests: Vec<Ask> = (0..6000)
            .map(|n| ask(spread(random.next() % users), Duration::from_millis(n * gap_ms / 25 * 25)))
            .collect();
        for one in &requests {
            ring.note(*one);
            assert!(ring.bytes() as u64 <= kib << 10);
        }
        let recording = ring.recording(requests.last().unwrap().at);
        let kept: Vec<Ask> = recording.requests().collect();
        let keeps = u64::MAX / recording.one_in;
        let sampled: Vec<Ask> = requests.into_iter().filter(|one| one.key <= keeps).collect();
        prop_assert!(sampled.ends_with(&kept) && !kept.is_empty());
    }
}

#[test]
fn who_was_not_heard_of_the_longest_makes_room_and_what_has_ended_takes_none() {
    let settings = as_they_are(config::Cache { max_bytes: 2 * KEY, ..RULES });
    let [a, b, c] = [1, 2, 3].map(|key| move |minutes| ask(key, MINUTE * minutes));
    let told = all(&[a(0), b(1), a(2), c(3), a(4), b(5)], &settings);
    assert_eq!((told.hits, told.calls, told.peak_bytes), (2, 4, 2 * KEY), "b made room for c, a did not");
    let told = all(&[a(0), b(31), c(62)], &as_they_are(RULES));
    assert_eq!((told.calls, told.peak_bytes), (3, KEY), "one lives at a time");
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

/// Half a million asks in eight hours, the user of rank n asking as often as 1/n.
fn zipf(users: u64, requests: u32) -> Vec<Ask> {
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
        ask(spread(user as u64 + 1), Duration::from_hours(8) / requests * n)
    };
    (0..requests).map(one).collect()
}

#[test]
fn a_ring_that_kept_one_key_in_so_many_tells_what_all_of_them_would() {
    let requests = zipf(20_000, 500_000);
    let (mut whole, mut part) = (Ring::new(16 << 20), Ring::new(1 << 20));
    for one in &requests {
        whole.note(*one);
        part.note(*one);
    }
    let now = Duration::from_hours(8);
    let (whole, part) = (whole.recording(now), part.recording(now));
    assert_eq!((whole.one_in, part.one_in), (1, 8));
    assert!(part.span() >= Duration::from_hours(4), "{:?}", part.span());
    let from = Duration::from_hours(6);
    let within = |a: u64, b: u64, share: f64| (number(a) / number(b) - 1.0).abs() < share;
    for (life, max_bytes) in [(15, 1 << 30), (30, 1 << 30), (60, 1 << 30), (60, 20 << 20)] {
        let cache = config::Cache { max_bytes, ..RULES };
        let settings = Settings { lifetime: Some(MINUTE * life), cache };
        let told = |recording: &Recording| replay(recording.requests(), recording.one_in, from, &settings);
        let (all, some) = (told(&whole), told(&part));
        assert!(
            (share(all.hits, all.requests) - share(some.hits, some.requests)).abs() < 0.05,
            "{all:?} {some:?}"
        );
        assert!(within(some.calls * part.one_in, all.calls, 0.1), "{all:?} {some:?}");
        assert!(within(some.peak_bytes * part.one_in, all.peak_bytes, 0.1), "{all:?} {some:?}");
    }
}

#[test]
fn where_one_user_makes_most_asks_the_oldest_go_and_no_key_is_left_out() {
    let mut ring = Ring::new(64 << 10);
    for second in 0..20_000 {
        let user = if second % 10 == 0 { second } else { 3 };
        ring.note(ask(spread(user), Duration::from_millis(second * 25)));
    }
    let recording = ring.recording(Duration::from_secs(500));
    assert_eq!(recording.one_in, 1);
    assert!(recording.requests().count() > 2000);
}

/// Users who each ask every ten minutes for so many hours.
fn every_ten_minutes(users: u64, hours: u64) -> Recording {
    let mut ring = Ring::new(4 << 20);
    for turn in 0..hours * 6 {
        for user in 0..users {
            ring.note(ask(spread(user + 1), MINUTE * 10 * u32::try_from(turn).unwrap()));
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
fn a_longer_life_is_advised_with_what_it_saves_and_what_it_costs() {
    let recording = every_ten_minutes(50, 8);
    let told = advice_on(&recording, RULES, &WhatIf::default()).unwrap();
    // Of 30 minutes, one key serves the asks of 30: 8 in four hours. Of an hour, it is replaced at the ask after
    // 50, in its last third: 5 in four hours.
    assert_eq!(
        told.advice,
        "Keys of 1h would save 38 % of the calls to STS; a key would then live up to 1h after a revocation, not 30m."
    );
    let by_life: BTreeMap<String, f64> = told
        .alternatives
        .iter()
        .filter_map(|one| Some((one.settings.lifetime?.to_string(), one.calls_change?)))
        .collect();
    assert_eq!(by_life.keys().collect::<Vec<_>>(), ["15m", "1h", "2h", "4h"], "12h needs a day of asks");
    assert!(by_life["15m"] > 0.0 && by_life["2h"] < by_life["1h"], "{by_life:?}");
    assert_eq!(
        told.recorded,
        Recorded {
            requests: 50 * 48,
            of_one_key_in: 1,
            span: HumanDuration(Duration::from_hours(8)),
            measured: HumanDuration(Duration::from_hours(4)),
        }
    );
    assert_eq!(told.present.figures.calls, 50 * 8);
    assert!((told.present.figures.calls_per_hour - 100.0).abs() < 1e-9);
    assert!((told.present.figures.busiest_calls_per_second - 50.0 / 60.0).abs() < 1e-9);
    assert_eq!(told.present.peak_bytes, 50 * KEY);
    assert!(told.alternatives.iter().all(|one| one.settings.max_bytes.is_none()), "the size does not matter");
}

#[test]
fn where_keys_make_room_a_larger_cache_is_advised_before_a_longer_life() {
    let recording = every_ten_minutes(50, 8);
    let small = config::Cache { max_bytes: 32 * KEY, ..RULES };
    let told = advice_on(&recording, small, &WhatIf::default()).unwrap();
    assert_eq!(told.advice, "A cache of 512KiB would save 67 % of the calls to STS.");
}

#[test]
fn where_nothing_saves_much_that_is_said() {
    // Once a day each: no key lives that long.
    let mut ring = Ring::new(4 << 20);
    for user in 0..2000_u32 {
        ring.note(ask(spread(u64::from(user) + 1), MINUTE * user));
    }
    let told = advice_on(&ring.recording(MINUTE * 2000), RULES, &WhatIf::default()).unwrap();
    assert!(told.advice.starts_with("No other setting tried here"), "{}", told.advice);
    assert!(told.present.figures.hit_rate.abs() < 1e-9);
}

#[test]
fn what_is_asked_about_is_answered_and_the_asks_it_would_refuse_are_told() {
    let mut ring = Ring::new(4 << 20);
    for turn in 0..48_u32 {
        for user in 0..10 {
            ring.note(Ask { wanted: MINUTE * 16, ..ask(spread(user), MINUTE * 10 * turn) });
        }
    }
    let recording = ring.recording(Duration::from_hours(8));
    let asked = WhatIf { min_remaining: Some(HumanDuration(MINUTE)), ..lifetime(15) };
    let told = advice_on(&recording, RULES, &asked).unwrap();
    assert_eq!(told.asked.unwrap().settings, asked);
    assert_eq!(
        told.advice,
        "Keys of 15m with min_remaining of 1m would save 100 % of the calls to STS; a key would then live up to \
         15m after a revocation, not 30m; 240 asks would be refused, as they want more life than that; a key \
         would have 1m or more left when handed out."
    );
}

#[test]
fn what_cannot_be_judged_says_what_is_missing() {
    let recording = every_ten_minutes(50, 8);
    let said = |recording: &Recording, what_if| match advice_on(recording, RULES, &what_if) {
        Ok(advice) => advice.advice,
        Err(missing) => missing.to_string(),
    };
    let short = WhatIf { min_remaining: Some(HumanDuration(MINUTE * 30)), ..WhatIf::default() };
    for (what_if, expected) in [
        (lifetime(300), "keys of 5h can be judged from asks of 10h, and those recorded reach back 8h; "),
        (lifetime(60 * 13), "STS gives keys of 12h at most, not of 13h; "),
        (short, "keys of 30m never have min_remaining, 30m, left to hand out; "),
    ] {
        let said = said(&recording, what_if);
        assert!(said.starts_with(expected), "{said}");
    }
    for (recording, expected) in [
        (Ring::new(1 << 16).recording(MINUTE), "0 asks could be measured"),
        (every_ten_minutes(5, 8), "120 asks could be measured"),
        (every_ten_minutes(50, 0), "0 asks could be measured"),
    ] {
        let said = said(&recording, WhatIf::default());
        assert!(said.starts_with(expected), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_recorded_or_told_names_anybody() {
    let harness = Harness::quick();
    for _ in 0..13 {
        for user in 0..100 {
            harness.ask(&format!("alice{user}")).await.unwrap();
        }
        pass(MINUTE * 10).await;
    }
    let grant = harness.grant("alice7");
    let told = serde_json::to_string(&harness.broker.advice(&WhatIf::default()).unwrap()).unwrap();
    assert!(!told.contains("alice") && !told.contains(&grant.id().to_string()), "{told}");
    let held = format!("{:?}", harness.broker.0.recorder);
    assert!(!held.contains("alice") && !held.contains(&grant.id().to_string()));
    let other = Harness::quick();
    other.ask("alice7").await.unwrap();
    let key = |harness: &Harness| {
        let recording = harness.broker.0.recorder.recording().unwrap();
        recording.requests().map(|ask| ask.key).collect::<Vec<_>>()
    };
    assert!(!key(&harness).contains(&key(&other)[0]), "another process knows her by another number");
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_stands_beside_its_replay() {
    let harness = Harness::quick();
    for turn in 0..24 {
        if turn == 6 {
            // The memory has filled, and counting begins.
            assert_eq!(harness.calls(), 200);
        }
        for user in 0..100 {
            harness.ask(&format!("u{user}")).await.unwrap();
        }
        pass(MINUTE * 10).await;
    }
    let told = harness.broker.advice(&lifetime(60)).unwrap();
    assert_eq!(told.counted, told.present.figures);
    assert_eq!(told.counted.requests, 1200, "from 2h to 4h, as keys of 2h are among those tried");
    let off = Harness::with(LIFE, config::Cache { advice_bytes: None, ..RULES }, Duration::ZERO);
    off.ask("alice").await.unwrap();
    assert_eq!(off.broker.advice(&WhatIf::default()), Err(NoAdvice::Off));
}
