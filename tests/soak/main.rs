//! Long runs: memory under many users, and `make soak`.
#![expect(clippy::unwrap_used, reason = "a failed helper should stop the test")]
#![expect(clippy::disallowed_methods, reason = "a run is as long as the environment says, in real time")]

use cosbroker_test_support as support;

mod client;
mod memory;
mod run;
