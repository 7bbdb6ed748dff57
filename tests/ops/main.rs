//! Prometheus and systemd as the judges of `deploy/`. `make test` fetches Prometheus.
#![expect(clippy::unwrap_used, reason = "a failed helper should stop the test")]
#![expect(clippy::panic, reason = "a failed helper should stop the test")]
#![expect(clippy::indexing_slicing, reason = "a missing part should stop the test")]

use cosbroker_test_support as support;

mod prometheus;
mod systemd;
