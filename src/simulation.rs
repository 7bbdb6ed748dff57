//! Deterministic simulation: the broker's core in virtual time, under faults drawn from a seed.
//!
//! Queue, retries, breaker, single flight, refresh, cache, revocation and source credentials are the product's own.
//! STS, clock and randomness are simulated, so that an hour passes in milliseconds and a seed always gives the same
//! run. `invariants` says what must hold after every answer. moka's clock is the machine's; it only bounds memory.
//!
//! `make test` runs 10,000 seeds, `make simulate` as many as `SIMULATION_SEEDS` says. A failure prints its seed, and
//! `SIMULATION_SEED` runs that one again.

mod invariants;
mod machine;
mod outages;
mod returning_users;
mod world;

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use self::world::World;

const DEFAULT_SEEDS: u64 = 10_000;

/// Runs one seed. Returns how many requests were answered, or what did not hold.
fn run(seed: u64) -> Result<u64, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed);
        world.run().await;
        world.finish().await
    })
}

#[expect(clippy::disallowed_methods, reason = "the seeds of a test run are no configuration of the product")]
fn number_from_environment(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn whatever_fails_every_invariant_holds() {
    if let Some(seed) = number_from_environment("SIMULATION_SEED") {
        let answered = run(seed).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        println!("seed {seed}: {answered} requests");
        return;
    }
    let seeds = number_from_environment("SIMULATION_SEEDS").unwrap_or(DEFAULT_SEEDS);
    let (next, answered) = (AtomicU64::new(0), AtomicU64::new(0));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let violations: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds {
                            return None;
                        }
                        match run(seed) {
                            Ok(count) => answered.fetch_add(count, Ordering::Relaxed),
                            Err(violation) => {
                                next.store(seeds, Ordering::Relaxed);
                                return Some(format!("seed {seed}: {violation}"));
                            }
                        };
                    }
                })
            })
            .collect();
        workers.into_iter().filter_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(violations.is_empty(), "{}; run it again with SIMULATION_SEED", violations.join("\n"));
    println!("{seeds} seeds, {} requests", answered.into_inner());
}

#[test]
fn a_seed_always_gives_the_same_run() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
