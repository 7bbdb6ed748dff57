#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod hmac;

pub mod cos;
pub mod sts_v1;
pub mod tc3;
