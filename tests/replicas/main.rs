//! Replicas beside a real Redis: what they share, and that they need nothing of it to serve. `make test` installs Redis.
#![expect(clippy::unwrap_used, reason = "a failed helper should stop the test")]
#![expect(clippy::panic, reason = "a failed helper should stop the test")]
#![expect(clippy::string_slice, reason = "a missing part should stop the test")]
#![expect(clippy::indexing_slicing, reason = "a missing part should stop the test")]
#![expect(clippy::disallowed_methods, reason = "a test of the real binary measures real time")]

use cosbroker_test_support as support;

mod access;
mod check;
mod fleet;
mod flight;
mod large;
mod limits;
#[path = "../outages/measured_sts.rs"]
mod measured_sts;
mod metrics;
mod outages;
mod page;
mod plan;
mod quota;
mod redis_server;
mod revocations;
mod secrecy;
mod slow_relay;
mod templates;
