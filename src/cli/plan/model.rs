//! The model behind `cosbroker plan`: from users and settings to calls, memory and coverage of an outage.
//!
//! Pure arithmetic over plain values; knows no configuration and prints nothing. Users send requests independently of
//! each other and at random (Poisson), which is what lets each formula be one line. `simulation` holds it against a
//! simulation, user by user.

#[cfg(test)]
mod simulation;

use serde::Serialize;

/// Default of `cache.refresh_at`: the share of a key's lifetime that is left when a request refreshes it ahead.
const REFRESH_SHARE: f64 = 0.3;
/// Default of `cache.min_remaining`, in seconds; a third of the lifetime if that is shorter.
const MIN_REMAINING_SECONDS: f64 = 300.0;
/// Part of `sts.calls_per_second` that the broker uses while users come steadily: `make outages`.
const USABLE_QUOTA: f64 = 0.96;
/// Standard deviations by which the busiest second of a day is above the mean: one second in 86,400 is.
const BUSIEST_SECOND_DEVIATIONS: f64 = 4.23;
/// Hits a second that one process served on two cores, which the clients used as well: docs/understand/reliability.md.
const REQUESTS_PER_REPLICA: f64 = 48_700.0;
/// Users of whom one may be without a key before an outage counts as felt: `credential_cache::coverage`.
const TOLERATED_ONE_IN: f64 = 10.0;
/// The longest lifetime of a key in seconds, by `GetFederationToken` (docs 1312/48195).
pub(super) const MAX_LIFETIME_SECONDS: f64 = 36.0 * 3600.0;

/// Memory of a key with the shipped `upload` template and the sandbox's tokens: `make bench`, held by `tests/replicas`.
const KEY_BYTES: f64 = 4.75 * 1024.0;
/// `cache.max_bytes` for each byte of keys: 11 of 16 parts are theirs.
const CACHE_BYTES_PER_KEY_BYTE: f64 = 16.0 / 11.0;
/// Memory of the process for each byte of `cache.max_bytes`: a fifth is the allocator's (`make soak`).
const PROCESS_BYTES_PER_CACHE_BYTE: f64 = 6.0 / 5.0;
/// Memory of the process beside the cache, by `cosbroker check` with the default limits.
const PROCESS_BYTES: f64 = 622.0 * 1024.0 * 1024.0;

/// A key as it is sent to Redis: the sandbox's token, ids, expiry and the seal. `tests/replicas` holds this and the next two.
const REDIS_VALUE_BYTES: f64 = 3050.0;
/// Memory of Redis 7.0 for such a value, with its name, expiry and tables.
const REDIS_ENTRY_BYTES: f64 = 3300.0;
/// The rest of a round trip: the script, names, arguments and the answer's head.
const REDIS_COMMAND_BYTES: f64 = 2050.0;
/// Round trips of a replica that no request causes: two polls for revocations, and at most ten batches of the quota.
const REDIS_ROUND_TRIPS_PER_REPLICA: f64 = 12.0;

/// What is to be served, and with what.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Demand {
    /// Users who are active at the same time.
    pub(super) users: f64,
    /// Requests of one user in a second.
    pub(super) requests_per_second: f64,
    pub(super) lifetime_seconds: f64,
    pub(super) replicas: f64,
    /// Calls to STS that the account may make in a second.
    pub(super) quota: f64,
}

/// Where a replica looks for a key before it calls STS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// In its own memory only.
    None,
    /// In its own memory, then in Redis.
    Redis,
}

/// What serving the demand takes.
#[derive(Debug, Serialize)]
pub(super) struct Forecast {
    /// Whether the quota suffices in the busiest second.
    pub(super) quota_suffices: bool,
    /// Whether the replicas can serve the requests.
    pub(super) replicas_suffice: bool,
    pub(super) sts_calls_per_second: f64,
    /// In the busiest second of a day.
    pub(super) sts_calls_in_busiest_second: f64,
    /// Of the whole quota, on average.
    pub(super) quota_share: f64,
    /// Of the requests, those that wait for no STS call of their own.
    pub(super) hit_rate: f64,
    pub(super) requests_per_second_per_replica: f64,
    /// At most.
    pub(super) keys_per_replica: f64,
    /// `cache.max_bytes` that holds them.
    pub(super) cache_bytes: f64,
    /// Memory of the process with it.
    pub(super) process_bytes: f64,
    /// Of the requests, those for which a cached key exists when STS fails.
    pub(super) served_in_outage: f64,
    /// For how long nine in ten users with a key keep it when STS fails.
    pub(super) outage_covered_seconds: f64,
    /// Time until all users have a key again after all caches were lost.
    pub(super) cold_start_seconds: f64,
    pub(super) redis: Option<RedisUse>,
    /// The shortest lifetime with which the quota suffices, at least the demand's; `None` if STS gives no such key.
    pub(super) lifetime_that_fits_seconds: Option<f64>,
    /// The least quota that suffices.
    pub(super) quota_that_fits: f64,
    /// The least replicas that serve the requests.
    pub(super) replicas_that_fit: f64,
}

/// What Redis has to hold and to carry.
#[derive(Debug, Serialize)]
pub(super) struct RedisUse {
    pub(super) keys: f64,
    pub(super) bytes: f64,
    pub(super) round_trips_per_second: f64,
    pub(super) bytes_per_second: f64,
}

impl Forecast {
    /// Whether nothing must change.
    pub(super) fn fits(&self) -> bool {
        self.quota_suffices && self.replicas_suffice
    }
}

impl Demand {
    /// Computes what serving it takes.
    pub(super) fn forecast(&self, sharing: Sharing) -> Forecast {
        let cycle = self.cycle(sharing);
        let calls = self.calls(sharing);
        let requests_per_replica = self.users * self.requests_per_second / self.replicas;
        let keys_per_replica = self.users * self.share_of_users_at_a_replica();
        let cache_bytes = keys_per_replica * KEY_BYTES * CACHE_BYTES_PER_KEY_BYTE;
        Forecast {
            quota_suffices: self.quota_suffices(sharing),
            replicas_suffice: requests_per_replica <= REQUESTS_PER_REPLICA,
            sts_calls_per_second: calls,
            sts_calls_in_busiest_second: busiest_second(calls),
            quota_share: calls / self.quota,
            hit_rate: cycle.hit_rate(),
            requests_per_second_per_replica: requests_per_replica,
            keys_per_replica,
            cache_bytes,
            process_bytes: PROCESS_BYTES + cache_bytes * PROCESS_BYTES_PER_CACHE_BYTE,
            served_in_outage: cycle.share_with_key(),
            outage_covered_seconds: cycle.outage_covered(),
            cold_start_seconds: self.chains(sharing) * cycle.share_with_key() / (self.quota * USABLE_QUOTA),
            redis: (sharing == Sharing::Redis).then(|| self.redis_use(cycle)),
            lifetime_that_fits_seconds: self.lifetime_that_fits(sharing),
            quota_that_fits: (busiest_second(calls) / USABLE_QUOTA).ceil(),
            replicas_that_fit: (self.users * self.requests_per_second / REQUESTS_PER_REPLICA).ceil(),
        }
    }

    /// Successions of keys that are renewed independently: each user's, or each user's at each replica.
    fn chains(&self, sharing: Sharing) -> f64 {
        match sharing {
            Sharing::None => self.users * self.replicas,
            Sharing::Redis => self.users,
        }
    }

    /// The renewal of one of them. Without sharing, a replica sees its part of the user's requests only.
    fn cycle(&self, sharing: Sharing) -> Cycle {
        let requests_per_second = match sharing {
            Sharing::None => self.requests_per_second / self.replicas,
            Sharing::Redis => self.requests_per_second,
        };
        Cycle::new(self.lifetime_seconds, requests_per_second)
    }

    fn calls(&self, sharing: Sharing) -> f64 {
        self.chains(sharing) / self.cycle(sharing).seconds()
    }

    fn quota_suffices(&self, sharing: Sharing) -> bool {
        busiest_second(self.calls(sharing)) <= self.quota * USABLE_QUOTA
    }

    /// A replica holds the keys of users who sent it a request in the last lifetime, at most.
    fn share_of_users_at_a_replica(&self) -> f64 {
        1.0 - (-self.requests_per_second / self.replicas * self.lifetime_seconds).exp()
    }

    /// Each key is stored once. It is looked up by the replica that renews it, and once by each other that has a request
    /// of this user until the next renewal: that replica's copy of the key before is due for renewal as well.
    fn redis_use(&self, cycle: Cycle) -> RedisUse {
        let keys_per_second = self.users / cycle.seconds();
        let requests_at_a_replica = self.requests_per_second / self.replicas * cycle.renewed_from;
        let copies = (self.replicas - 1.0) * (1.0 - (-requests_at_a_replica).exp());
        let idle = self.replicas * REDIS_ROUND_TRIPS_PER_REPLICA;
        let round_trips_per_second = keys_per_second * (2.0 + copies) + idle;
        let values_per_second = keys_per_second * (1.0 + copies);
        let keys = self.users * cycle.share_with_key();
        RedisUse {
            keys,
            bytes: keys * REDIS_ENTRY_BYTES,
            round_trips_per_second,
            bytes_per_second: values_per_second * REDIS_VALUE_BYTES
                + round_trips_per_second * REDIS_COMMAND_BYTES,
        }
    }

    /// Calls fall as the lifetime grows, so the shortest that fits is found by halving, to the second.
    fn lifetime_that_fits(&self, sharing: Sharing) -> Option<f64> {
        let with = |lifetime_seconds: f64| Self { lifetime_seconds, ..*self };
        if self.quota_suffices(sharing) {
            return Some(self.lifetime_seconds);
        }
        if !with(MAX_LIFETIME_SECONDS).quota_suffices(sharing) {
            return None;
        }
        let (mut too_short, mut fits) = (self.lifetime_seconds, MAX_LIFETIME_SECONDS);
        while fits - too_short > 1.0 {
            let middle = f64::midpoint(too_short, fits);
            if with(middle).quota_suffices(sharing) {
                fits = middle;
            } else {
                too_short = middle;
            }
        }
        Some(fits.ceil())
    }
}

/// Renewals of many users fall into seconds independently (Poisson), so their number in a second varies by its square
/// root. The last term is for the distribution's skewness, by Cornish and Fisher.
fn busiest_second(calls: f64) -> f64 {
    let deviations = BUSIEST_SECOND_DEVIATIONS;
    calls + deviations * calls.sqrt() + (deviations.powi(2) - 1.0) / 6.0
}

/// The renewal of one key, again and again, by requests at random times.
#[derive(Debug, Clone, Copy)]
struct Cycle {
    lifetime: f64,
    /// Age from which the next request renews the key.
    renewed_from: f64,
    /// Age from which that request waits for the call. Before, it is served the old key.
    served_until: f64,
    requests_per_second: f64,
}

impl Cycle {
    fn new(lifetime: f64, requests_per_second: f64) -> Self {
        let served_until = lifetime - MIN_REMAINING_SECONDS.min(lifetime / 3.0);
        let renewed_from = served_until.min(lifetime * (1.0 - REFRESH_SHARE));
        Self { lifetime, renewed_from, served_until, requests_per_second }
    }

    /// Mean time from one key to the next. Requests have no memory: from any moment, the next is a mean gap away.
    fn seconds(self) -> f64 {
        self.renewed_from + 1.0 / self.requests_per_second
    }

    /// One request in a cycle renews the key; it waits if there was none since the refresh was due.
    fn hit_rate(self) -> f64 {
        let requests = 1.0 + self.requests_per_second * self.renewed_from;
        let none_ahead = (-self.requests_per_second * (self.served_until - self.renewed_from)).exp();
        1.0 - none_ahead / requests
    }

    /// Share of the time in which a key is active, and so of the requests that find one when STS fails. It ends with
    /// the first request in the rest of its lifetime, or with its lifetime.
    fn share_with_key(self) -> f64 {
        self.seconds_younger_than(self.lifetime) / self.seconds()
    }

    /// How long nine in ten users with a key keep it: the keys' ages are as in [`Self::seconds_younger_than`], and the
    /// time of the oldest tenth is not counted.
    fn outage_covered(self) -> f64 {
        let kept = self.seconds_younger_than(self.lifetime) * (1.0 - 1.0 / TOLERATED_ONE_IN);
        let after_renewal_is_due = kept - self.renewed_from;
        let age = if after_renewal_is_due <= 0.0 {
            kept
        } else {
            self.renewed_from
                - (-self.requests_per_second * after_renewal_is_due).ln_1p() / self.requests_per_second
        };
        self.lifetime - age
    }

    /// Mean time in a cycle in which the key is younger than this: every key reaches the age at which it is due, and
    /// each later age if no request has come by then.
    fn seconds_younger_than(self, age: f64) -> f64 {
        let late = (age - self.renewed_from).max(0.0);
        age.min(self.renewed_from) - (-self.requests_per_second * late).exp_m1() / self.requests_per_second
    }
}
