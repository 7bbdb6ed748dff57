//! Prometheus, systemd, Helm, Kubernetes' schemas and umoci as the judges of `deploy/`, and spin as that of the protocol
//! between replicas. `make test` fetches them.
#![expect(clippy::unwrap_used, reason = "a failed helper should stop the test")]
#![expect(clippy::panic, reason = "a failed helper should stop the test")]
#![expect(clippy::indexing_slicing, reason = "a missing part should stop the test")]
#![expect(clippy::disallowed_methods, reason = "a test of real programs waits in real time")]

use cosbroker_test_support as support;

mod helm;
mod model;
mod package;
mod prometheus;
mod systemd;
