//! The service as its users meet it: the real binary, over real sockets.
#![expect(clippy::unwrap_used, reason = "a failed helper should stop the test")]
#![expect(clippy::panic, reason = "a failed helper should stop the test")]
#![expect(clippy::indexing_slicing, reason = "a missing part should stop the test")]
#![expect(clippy::string_slice, reason = "a missing part should stop the test")]
#![expect(clippy::disallowed_methods, reason = "a test of the real binary measures real time")]

use cosbroker_test_support as support;

mod account;
mod adversarial;
mod advise;
mod api;
mod audit;
mod browsers;
mod canary;
mod cli;
mod cloud_clock;
mod cloud_faults;
mod commands;
mod connections;
mod cos;
mod demo;
mod deploy;
mod docs;
mod faults;
mod files;
mod herd;
mod issuer;
mod key_sets;
mod keys;
mod lifecycle;
mod lint;
mod logins;
mod mistakes;
mod modules;
mod monitoring;
mod networks;
mod operators_tls;
mod output;
mod overload;
mod page;
mod page_views;
mod plan;
mod policy;
mod recipes;
mod reference;
mod reload;
mod rotation;
mod sandbox;
mod schema;
mod secrets;
mod systemd_notify;
mod tracing;
mod web;
