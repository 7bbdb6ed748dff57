//! The service as its users meet it: the real binary, over real sockets.
#![expect(clippy::unwrap_used, reason = "a failed helper should stop the test")]
#![expect(clippy::expect_used, reason = "a failed helper should stop the test")]

mod adversarial;
mod api;
mod cli;
mod faults;
mod herd;
mod lifecycle;
mod oracle;
mod sandbox;
mod secrets;
mod support;
mod walls;
