//! One flight per key, however many ask. The flight is a task of its own: askers who give up neither cancel
//! nor repeat it, and a failure reaches all who wait.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{runtime::Handle, sync::watch};

use super::key::Key;
use crate::sts::{StsError, Urgency};
use templates::fingerprint::Fingerprint;

/// How a flight ended.
pub(super) type Outcome = Result<Arc<Key>, StsError>;

/// The flights under way.
#[derive(Debug)]
pub(super) struct Flights {
    under_way: Arc<Mutex<HashMap<Fingerprint, Flight>>>,
    runtime: Handle,
}

#[derive(Debug, Clone)]
struct Flight {
    urgency: Urgency,
    wait_idle: watch::Receiver<Option<Outcome>>,
}

/// A place on a flight.
#[derive(Debug)]
pub(super) struct Seat {
    flight: Flight,
    /// Whether somebody else had started it.
    pub(super) joined: bool,
}

impl Flights {
    pub(super) fn new(runtime: Handle) -> Self {
        Self { under_way: Arc::default(), runtime }
    }

    /// Joins the flight under way, or starts one. `wait_idle` is asked once more, with nobody able to start
    /// one meanwhile: a flight may have ended since the asker looked.
    pub(super) fn board<F>(
        &self,
        name: Fingerprint,
        urgency: Urgency,
        wait_idle: impl FnOnce() -> Option<Arc<Key>>,
        fly: impl FnOnce() -> F,
    ) -> Result<Seat, Arc<Key>>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut under_way = lock(&self.under_way);
        if let Some(flight) = under_way.get(&name) {
            return Ok(Seat { flight: flight.clone(), joined: true });
        }
        if let Some(key) = wait_idle() {
            return Err(key);
        }
        let (announce, receiver) = watch::channel(None);
        let flight = Flight { urgency, wait_idle: receiver };
        under_way.insert(name, flight.clone());
        let landing = Landing { name, under_way: Arc::clone(&self.under_way) };
        let flown = fly();
        self.runtime.spawn(async move {
            let outcome = flown.await;
            // Off the board first: who asks from now on finds the key in the store, or starts anew.
            drop(landing);
            announce.send_replace(Some(outcome));
        });
        Ok(Seat { flight, joined: false })
    }

    /// Waits until none is under way.
    pub(super) async fn wait_idle(&self) {
        loop {
            let Some(flight) = lock(&self.under_way).values().next().cloned() else { return };
            // One that crashed is off the board, too.
            let _ = Seat { flight, joined: true }.outcome().await;
        }
    }

    /// Flights under way.
    pub(super) fn count(&self) -> usize {
        lock(&self.under_way).len()
    }
}

impl Seat {
    /// Whether nobody waited for this flight when it started.
    pub(super) fn is_background(&self) -> bool {
        self.flight.urgency == Urgency::Background
    }

    /// Waits for the flight to end.
    pub(super) async fn outcome(mut self) -> Outcome {
        let wait_idle = self.flight.wait_idle.wait_for(Option::is_some).await;
        let lost = || StsError::Unavailable { detail: "the call was lost inside the broker".to_owned() };
        wait_idle.ok().and_then(|outcome| outcome.clone()).unwrap_or_else(|| Err(lost()))
    }
}

/// Takes a flight off the board, even one that crashed.
struct Landing {
    name: Fingerprint,
    under_way: Arc<Mutex<HashMap<Fingerprint, Flight>>>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        lock(&self.under_way).remove(&self.name);
    }
}

/// Nothing panics while holding it, and the map is whole between two calls.
fn lock(map: &Mutex<HashMap<Fingerprint, Flight>>) -> MutexGuard<'_, HashMap<Fingerprint, Flight>> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flight_that_crashes_leaves_the_board_and_its_askers_are_told() {
        let flights = Flights::new(Handle::current());
        let name = Fingerprint::of(&["alice"]);
        let crash = || async {
            if true {
                panic!("a fault of ours")
            } else {
                Err(StsError::Unavailable { detail: String::new() })
            }
        };
        let seat = flights.board(name, Urgency::UserWaits, || None, crash).unwrap();
        assert!(matches!(seat.outcome().await, Err(StsError::Unavailable { .. })));
        assert_eq!(flights.count(), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_hears_of_a_landing_finds_the_board_empty() {
        let flights = Flights::new(Handle::current());
        let name = Fingerprint::of(&["alice"]);
        for _ in 0..20_000 {
            let fly = || async { Err(StsError::Unavailable { detail: String::new() }) };
            let seat = flights.board(name, Urgency::UserWaits, || None, fly).unwrap();
            assert!(!seat.joined);
            assert!(seat.outcome().await.is_err());
        }
    }
}
