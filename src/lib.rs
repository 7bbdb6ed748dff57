//! cosbroker: a logged-in user gets a temporary Tencent Cloud COS key that reaches their own folder and
//! nothing else.

pub mod clock;
pub mod config;
pub mod fingerprint;
pub mod identity;
mod json;
pub mod policy;
pub mod source;
pub mod units;
