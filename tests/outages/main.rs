//! What users notice while STS is slow, overloaded, failing or gone: load on the real binary over real sockets, measured
//! at the users' side and at STS's. `make outages` runs it and prints the figures of `docs/understand/reliability.md`.
#![expect(clippy::unwrap_used, reason = "a failed helper should stop the test")]
#![expect(clippy::indexing_slicing, reason = "a missing part should stop the test")]
#![expect(clippy::disallowed_methods, reason = "a test of the real binary measures real time")]

use cosbroker_test_support as support;

mod fault_kinds;
mod measured_sts;
mod overload;
mod random_errors;
mod recovery;
mod report;
mod stale_keys;
mod user;
