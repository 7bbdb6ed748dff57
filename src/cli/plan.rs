//! `cosbroker plan`: what a number of users takes, before there are any.

mod model;

use std::{num::NonZeroU32, time::Duration};

use clap::Args;
use serde::Serialize;

use self::model::{Demand, Forecast, MAX_LIFETIME_SECONDS, RedisUse, Sharing};
use super::{
    admin_client::pretty,
    console::{Console, Format},
    print,
    table::table,
};
use diagnostics::{Count, HumanDuration, Rate, Size};

/// Compute what a number of users takes: STS calls, quota, hit rate, memory, Redis, and the outage of STS that is covered.
///
/// Needs no configuration and no network. Compares replicas that each keep their own keys with replicas that share them
/// through `[redis]`, and says what must change where the quota does not suffice.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker plan --users 10M --lifetime 30m --requests-per-user 20/h --replicas 6\n  cosbroker plan --users 50K --lifetime 1h --requests-per-user 6/h --format json"
)]
pub(super) struct Options {
    /// Users who are active at the same time, such as `250000`, `500K` or `10M`.
    #[arg(long, value_name = "COUNT")]
    users: Count,
    /// The lifetime of a key: the `duration` of the template.
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    lifetime: HumanDuration,
    /// How often one active user requests a key, such as `20/h` (s, m, h).
    #[arg(long, value_name = "RATE", value_parser = requests_per_second)]
    requests_per_user: f64,
    /// Replicas of the broker, which get the requests of a user at random.
    #[arg(long, value_name = "COUNT", default_value = "1")]
    replicas: NonZeroU32,
    /// Calls to STS that the account may make in a second.
    #[arg(long, value_name = "CALLS", default_value = "600")]
    quota: NonZeroU32,
    /// The output format.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

/// A plan that cannot be computed.
#[derive(Debug, thiserror::Error)]
enum PlanError {
    #[error("{0}")]
    Quantity(#[from] diagnostics::InvalidQuantity),
    #[error("STS gives no key for longer than 36h; write at most `36h`")]
    TooLong,
    #[error("users who send no requests need no keys; write a rate like `20/h`")]
    NoRequests,
}

fn lifetime(text: &str) -> Result<HumanDuration, PlanError> {
    let lifetime: HumanDuration = text.parse()?;
    if lifetime.0.as_secs_f64() > MAX_LIFETIME_SECONDS { Err(PlanError::TooLong) } else { Ok(lifetime) }
}

fn requests_per_second(text: &str) -> Result<f64, PlanError> {
    match text.parse()? {
        Rate::Off => Err(PlanError::NoRequests),
        Rate::Per { count, period } => Ok(f64::from(count.get()) / period.as_secs_f64()),
    }
}

/// The plan as JSON.
#[derive(Serialize)]
struct Plan {
    summary: String,
    demand: Demand,
    /// Each replica keeps its own keys.
    alone: Forecast,
    /// The replicas share keys and quota.
    redis: Forecast,
}

impl Options {
    pub(super) fn run(self, console: Console) -> anyhow::Result<()> {
        let demand = Demand {
            users: f64::from(self.users.0.get()),
            requests_per_second: self.requests_per_user,
            lifetime_seconds: self.lifetime.0.as_secs_f64(),
            replicas: f64::from(self.replicas.get()),
            quota: f64::from(self.quota.get()),
        };
        let [alone, redis] = [Sharing::None, Sharing::Redis].map(|sharing| demand.forecast(sharing));
        let plan = Plan { summary: summary(&alone, &redis), demand, alone, redis };
        if self.format == Format::Json {
            return Ok(print(&pretty(&serde_json::to_value(&plan)?)?)?);
        }
        print(&plan.summary)?;
        print("")?;
        print(&rows(&plan))?;
        console.note(
            "a model of users who are all active and come at random, with the defaults of [cache]; docs/operate/sizing.md says where it differs",
        );
        Ok(())
    }
}

/// Whether the plan fits, and else the least that must change.
fn summary(alone: &Forecast, redis: &Forecast) -> String {
    if alone.fits() {
        return "This fits, and needs no [redis].".to_owned();
    }
    if redis.fits() {
        let calls = number(alone.sts_calls_per_second);
        return format!("This fits with [redis] only: without, the replicas make {calls} calls a second.");
    }
    let quota = (!redis.quota_suffices).then(|| quota_changes(redis));
    let replicas = (!redis.replicas_suffice).then(|| format!("{} replicas", number(redis.replicas_that_fit)));
    let changes: Vec<String> = quota.into_iter().chain(replicas).collect();
    format!("This does not fit. With [redis] it takes {}.", changes.join(", and "))
}

/// What makes the quota suffice.
fn quota_changes(forecast: &Forecast) -> String {
    let quota = format!("a quota of {} calls a second", number(forecast.quota_that_fits));
    match forecast.lifetime_that_fits_seconds {
        Some(lifetime) => format!("keys of {}, or {quota}", duration(lifetime)),
        None => quota,
    }
}

fn rows(plan: &Plan) -> String {
    let columns = [&plan.alone, &plan.redis];
    let row = |name: &str, cell: fn(&Forecast) -> String| {
        let [alone, redis] = columns.map(cell);
        [name.to_owned(), alone, redis]
    };
    let rows = [
        row("STS calls a second", |one| number(one.sts_calls_per_second)),
        row("in the busiest second of a day", |one| number(one.sts_calls_in_busiest_second)),
        row("share of the quota", |one| percent(one.quota_share)),
        row("hit rate", |one| percent(one.hit_rate)),
        row("requests a second, each replica", |one| number(one.requests_per_second_per_replica)),
        row("keys in each replica, at most", |one| number(one.keys_per_replica)),
        row("cache.max_bytes for them", |one| bytes(one.cache_bytes)),
        row("memory of each replica", |one| bytes(one.process_bytes)),
        row("requests with a key when STS fails", |one| percent(one.served_in_outage)),
        row("9 in 10 of their users keep it for", |one| duration(one.outage_covered_seconds)),
        row("all keys lost: until all have one", |one| duration(one.cold_start_seconds)),
        row("Redis: keys", |one| in_redis(one, |redis| number(redis.keys))),
        row("Redis: memory", |one| in_redis(one, |redis| bytes(redis.bytes))),
        row("Redis: round trips a second", |one| in_redis(one, |redis| number(redis.round_trips_per_second))),
        row("Redis: traffic a second", |one| in_redis(one, |redis| bytes(redis.bytes_per_second))),
        row("fits", |one| if one.fits() { "yes" } else { "no" }.to_owned()),
        row("lifetime that fits", |one| one.lifetime_that_fits_seconds.map_or("none".to_owned(), duration)),
        row("quota that fits", |one| number(one.quota_that_fits)),
        row("replicas for the requests", |one| number(one.replicas_that_fit)),
    ];
    table(["", "EACH REPLICA ALONE", "WITH [redis]"], &rows)
}

fn in_redis(forecast: &Forecast, cell: fn(&RedisUse) -> String) -> String {
    forecast.redis.as_ref().map_or("-".to_owned(), cell)
}

/// Formats a figure, like `0.25`, `3.4` or `12,345`.
fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 || value.fract() == 0.0 => grouped(&format!("{value:.0}")),
        value if value < 1.0 => format!("{value:.2}"),
        value => format!("{value:.1}"),
    }
}

/// Separates thousands: `12,345`.
fn grouped(digits: &str) -> String {
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn bytes(bytes: f64) -> String {
    Size(bytes.round() as u64).rounded()
}

/// Formats seconds: to the minute from an hour on, which is as exact as a plan is.
fn duration(seconds: f64) -> String {
    let seconds = if seconds < 3600.0 { seconds.ceil() } else { (seconds / 60.0).ceil() * 60.0 };
    Duration::try_from_secs_f64(seconds)
        .map_or("never".to_owned(), |duration| HumanDuration(duration).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecasts(users: f64, lifetime_seconds: f64, replicas: f64) -> [Forecast; 2] {
        let requests_per_second = 20.0 / 3600.0;
        let demand = Demand { users, requests_per_second, lifetime_seconds, replicas, quota: 600.0 };
        [Sharing::None, Sharing::Redis].map(|sharing| demand.forecast(sharing))
    }

    #[test]
    fn the_summary_names_the_least_that_must_change() {
        for (users, lifetime, replicas, said) in [
            (100_000.0, 1800.0, 1.0, "needs no [redis]"),
            (500_000.0, 1800.0, 6.0, "fits with [redis] only: without, the replicas make 1,282 calls"),
            (10e6, 1800.0, 6.0, "With [redis] it takes keys of 8h 12m, or a quota of 7,604 calls a second."),
            (10e6, 36_000.0, 1.0, "With [redis] it takes 2 replicas."),
            (1e9, 1800.0, 6.0, "it takes a quota of 727,"),
        ] {
            let [alone, redis] = forecasts(users, lifetime, replicas);
            let summary = summary(&alone, &redis);
            assert!(summary.contains(said), "{summary}");
        }
    }

    #[test]
    fn what_is_said_to_fit_fits() {
        let [_, redis] = forecasts(10e6, 1800.0, 6.0);
        let lifetime = redis.lifetime_that_fits_seconds.unwrap();
        assert!(forecasts(10e6, lifetime, 6.0)[1].fits());
        assert!(!forecasts(10e6, lifetime - 2.0, 6.0)[1].fits());
    }

    #[test]
    fn figures_are_not_more_exact_than_they_are() {
        for (value, shown) in
            [(0.25, "0.25"), (3.44, "3.4"), (6.0, "6"), (999.6, "1,000"), (1e7, "10,000,000")]
        {
            assert_eq!(number(value), shown);
        }
        for (seconds, shown) in [(0.4, "1s"), (659.2, "11m"), (3601.0, "1h 1m")] {
            assert_eq!(duration(seconds), shown);
        }
    }

    #[test]
    fn a_bad_option_says_what_to_write() {
        for (parsed, said) in [
            (lifetime("48h").map(|_| ()), "at most `36h`"),
            (lifetime("soon").map(|_| ()), "\"30m\""),
            (requests_per_second("off").map(|_| ()), "like `20/h`"),
            (requests_per_second("20").map(|_| ()), "60/minute"),
        ] {
            let message = parsed.unwrap_err().to_string();
            assert!(message.contains(said), "{message}");
        }
    }
}
