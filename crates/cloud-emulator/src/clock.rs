//! A clock that can be moved forward, so that a developer sees what happens in 25 minutes without waiting.
//!
//! The whole sandbox uses it: the broker, the token issuer and the emulated cloud. Real waiting (timeouts,
//! pauses between retries, injected latency) is not shortened.

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

use crate::routing::resource_allowing;
use diagnostics::{HumanDuration, SignedHumanDuration};
use runtime::clock::Clock;

/// The largest offset: ten years, so that a time plus a duration stays within range.
const MAX_OFFSET: Duration = Duration::from_hours(87_600);

/// A clock that is ahead of another clock by an adjustable offset.
#[derive(Debug)]
pub struct MovableClock {
    inner: Arc<dyn Clock>,
    offset_nanos: AtomicU64,
}

/// Why the clock was not moved.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
enum ClockError {
    /// The offset is smaller than the current one. Caches, quotas and pauses need a clock that never goes back.
    #[error(
        "the clock is {0} ahead and never goes back; give {0} or more, or restart the sandbox for the real time"
    )]
    Backward(HumanDuration),
    #[error("the clock goes ten years ahead at most; give \"87600h\" or less")]
    TooFar,
}

impl MovableClock {
    /// Creates a clock that agrees with `inner`.
    pub fn new(inner: Arc<dyn Clock>) -> Self {
        Self { inner, offset_nanos: AtomicU64::new(0) }
    }

    fn offset(&self) -> Duration {
        Duration::from_nanos(self.offset_nanos.load(Ordering::SeqCst))
    }

    fn set_offset(&self, offset: Duration) -> Result<(), ClockError> {
        let nanos = u64::try_from(offset.as_nanos()).map_err(|_| ClockError::TooFar)?;
        if offset > MAX_OFFSET {
            return Err(ClockError::TooFar);
        }
        let previous = self.offset_nanos.fetch_max(nanos, Ordering::SeqCst);
        if previous > nanos {
            return Err(ClockError::Backward(HumanDuration(Duration::from_nanos(previous))));
        }
        Ok(())
    }
}

impl Clock for MovableClock {
    fn now(&self) -> Timestamp {
        let now = self.inner.now();
        now.checked_add(self.offset()).unwrap_or(now)
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic() + self.offset()
    }
}

/// Adds `GET` and `PUT /clock`.
pub(crate) fn routes(services: &mut web::ServiceConfig) {
    services
        .service(resource_allowing("GET, PUT", "/clock").route(web::get().to(get)).route(web::put().to(put)));
}

#[derive(Serialize)]
struct ClockState {
    now: Timestamp,
    ahead: HumanDuration,
}

async fn get(clock: web::Data<MovableClock>) -> HttpResponse {
    let now = clock.now();
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    HttpResponse::Ok().json(ClockState { now, ahead: HumanDuration(clock.offset()) })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveRequest {
    ahead: SignedHumanDuration,
}

async fn put(clock: web::Data<MovableClock>, body: web::Bytes) -> HttpResponse {
    let ahead = match serde_json::from_slice::<MoveRequest>(&body) {
        Ok(request) => request.ahead,
        Err(error) => {
            return HttpResponse::BadRequest()
                .body(format!("the clock was not moved: {error}; send {{\"ahead\": \"25m\"}}\n"));
        }
    };
    // A negative offset is smaller than any current offset.
    let moved = Duration::try_from(ahead.0)
        .map_err(|_| ClockError::Backward(HumanDuration(clock.offset())))
        .and_then(|offset| clock.set_offset(offset));
    match moved {
        Ok(()) => {
            tracing::info!(%ahead, "the sandbox's clock was moved");
            get(clock).await
        }
        Err(error @ ClockError::Backward(_)) => HttpResponse::Conflict().body(format!("{error}\n")),
        Err(error @ ClockError::TooFar) => HttpResponse::BadRequest().body(format!("{error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::clock::TestClock;

    const MINUTE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn wall_time_and_monotonic_time_are_ahead_and_keep_running() {
        let clock = MovableClock::new(TestClock::at(1_900_000_000));
        clock.set_offset(25 * MINUTE).unwrap();
        assert_eq!((clock.now().as_second(), clock.monotonic()), (1_900_001_500, 25 * MINUTE));
        tokio::time::advance(MINUTE).await;
        assert_eq!((clock.now().as_second(), clock.monotonic()), (1_900_001_560, 26 * MINUTE));
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_never_goes_back_nor_out_of_range() {
        let clock = MovableClock::new(TestClock::at(1_900_000_000));
        clock.set_offset(25 * MINUTE).unwrap();
        assert_eq!(clock.set_offset(25 * MINUTE), Ok(()));
        assert_eq!(clock.set_offset(24 * MINUTE), Err(ClockError::Backward(HumanDuration(25 * MINUTE))));
        assert_eq!(clock.set_offset(Duration::MAX), Err(ClockError::TooFar));
        assert_eq!(clock.set_offset(MAX_OFFSET + MINUTE), Err(ClockError::TooFar));
        assert_eq!(clock.offset(), 25 * MINUTE, "a refused move changes nothing");
    }
}
