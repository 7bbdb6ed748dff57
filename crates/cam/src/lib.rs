//! Tencent Cloud's CAM policy language.

pub mod compare;
pub mod evaluate;
pub mod pattern;
mod policy;

pub use self::policy::*;
