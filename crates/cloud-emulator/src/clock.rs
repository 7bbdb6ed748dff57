//! A clock that can be put forward, so that a developer sees what happens in 25 minutes without waiting.
//!
//! It is the clock of the whole sandbox: of the broker, the token issuer and the cloud. Only real waiting
//! (time-outs, pauses between retries, latency on demand) stays real.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::{HttpResponse, web};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::taking;
use diagnostics::{HumanDuration, SignedHumanDuration};
use runtime::clock::Clock;

/// How far it goes: ten years, so that what is added to a time stays a time.
const FARTHEST: Duration = Duration::from_hours(87_600);

/// Another clock, and how far this one is ahead of it.
#[derive(Debug)]
pub struct MovableClock {
    inner: Arc<dyn Clock>,
    /// In nanoseconds.
    ahead: AtomicU64,
}

/// Why a clock is not moved.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
enum Unmoved {
    /// Keys, quotas and pauses count on time that only passes.
    #[error(
        "the clock is {0} ahead and never goes back; give {0} or more, or start the sandbox anew for the real time"
    )]
    Back(HumanDuration),
    #[error("the clock goes ten years ahead at most; give \"87600h\" or less")]
    TooFar,
}

impl MovableClock {
    /// A clock that agrees with another.
    pub fn new(inner: Arc<dyn Clock>) -> Self {
        Self { inner, ahead: AtomicU64::new(0) }
    }

    fn ahead(&self) -> Duration {
        Duration::from_nanos(self.ahead.load(Ordering::SeqCst))
    }

    fn put(&self, ahead: Duration) -> Result<(), Unmoved> {
        let nanos = u64::try_from(ahead.as_nanos()).map_err(|_| Unmoved::TooFar)?;
        if ahead > FARTHEST {
            return Err(Unmoved::TooFar);
        }
        let before = self.ahead.fetch_max(nanos, Ordering::SeqCst);
        if before > nanos { Err(Unmoved::Back(HumanDuration(Duration::from_nanos(before)))) } else { Ok(()) }
    }
}

impl Clock for MovableClock {
    fn now(&self) -> Timestamp {
        let now = self.inner.now();
        now.checked_add(self.ahead()).unwrap_or(now)
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic() + self.ahead()
    }
}

/// `GET` and `PUT /clock`
pub(super) fn control(services: &mut web::ServiceConfig) {
    services.service(taking("GET, PUT", "/clock").route(web::get().to(shown)).route(web::put().to(moved)));
}

#[derive(Serialize)]
struct Reading {
    now: Timestamp,
    ahead: HumanDuration,
}

async fn shown(clock: web::Data<MovableClock>) -> HttpResponse {
    let now = clock.now();
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    HttpResponse::Ok().json(Reading { now: second, ahead: HumanDuration(clock.ahead()) })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    ahead: SignedHumanDuration,
}

async fn moved(clock: web::Data<MovableClock>, body: web::Bytes) -> HttpResponse {
    let wanted = match serde_json::from_slice::<Wanted>(&body) {
        Ok(wanted) => wanted.ahead,
        Err(error) => {
            return HttpResponse::BadRequest()
                .body(format!("the clock is not moved: {error}; send {{\"ahead\": \"25m\"}}\n"));
        }
    };
    // Behind is before where it stands, wherever that is.
    let put = Duration::try_from(wanted.0)
        .map_err(|_| Unmoved::Back(HumanDuration(clock.ahead())))
        .and_then(|ahead| clock.put(ahead));
    match put {
        Ok(()) => {
            tracing::info!(ahead = %wanted, "the sandbox's clock is moved");
            shown(clock).await
        }
        Err(unmoved @ Unmoved::Back(_)) => HttpResponse::Conflict().body(format!("{unmoved}\n")),
        Err(unmoved @ Unmoved::TooFar) => HttpResponse::BadRequest().body(format!("{unmoved}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::clock::TestClock;

    const MINUTE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn both_times_go_ahead_and_on() {
        let clock = MovableClock::new(TestClock::at(1_900_000_000));
        clock.put(25 * MINUTE).unwrap();
        assert_eq!((clock.now().as_second(), clock.monotonic()), (1_900_001_500, 25 * MINUTE));
        tokio::time::advance(MINUTE).await;
        assert_eq!((clock.now().as_second(), clock.monotonic()), (1_900_001_560, 26 * MINUTE));
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_goes_back_nor_out_of_range() {
        let clock = MovableClock::new(TestClock::at(1_900_000_000));
        clock.put(25 * MINUTE).unwrap();
        assert_eq!(clock.put(25 * MINUTE), Ok(()));
        assert_eq!(clock.put(24 * MINUTE), Err(Unmoved::Back(HumanDuration(25 * MINUTE))));
        assert_eq!(clock.put(Duration::MAX), Err(Unmoved::TooFar));
        assert_eq!(clock.put(FARTHEST + MINUTE), Err(Unmoved::TooFar));
        assert_eq!(clock.ahead(), 25 * MINUTE, "what is refused changes nothing");
    }
}
