//! cosbroker: a logged-in user gets a temporary Tencent Cloud COS key that reaches their own folder and
//! nothing else.

pub mod broker;
pub mod clock;
pub mod config;
pub mod entropy;
pub mod fingerprint;
pub mod identity;
mod json;
pub mod policy;
pub mod source;
pub mod sts;
pub mod units;
