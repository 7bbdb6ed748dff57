//! Long runs: memory under many users, and `make soak`.
#![expect(clippy::unwrap_used, reason = "a failed helper should stop the test")]
#![expect(clippy::print_stdout, reason = "a long run says what it measured")]

use cosbroker_test_support as support;

mod client;
mod memory;
mod run;
