//! cosbroker: a logged-in user gets a temporary Tencent Cloud COS key that reaches their own folder and
//! nothing else.

pub mod admin;
pub mod app;
pub mod audit;
pub mod broker;
pub mod canary;
pub mod cli;
pub mod clock;
pub mod config;
pub mod cos;
pub mod entropy;
pub mod figures;
pub mod fingerprint;
pub mod http;
pub mod identity;
mod json;
pub mod policy;
pub mod sandbox;
pub mod source;
pub mod sts;
pub mod trace;
pub mod units;
