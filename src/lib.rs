//! cosbroker: a logged-in user gets a temporary Tencent Cloud COS key that reaches their own folder and
//! nothing else.

pub mod admin;
pub mod app;
pub mod audit;
pub mod canary;
pub mod cli;
pub mod config;
pub mod credential_cache;
pub mod http;
pub mod identity;
pub mod metrics;
pub mod reload;
pub mod request;
pub mod sts;
pub mod telemetry;
