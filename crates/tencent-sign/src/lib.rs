//! Tencent Cloud request signatures.

pub mod cos;
pub mod tc3;
