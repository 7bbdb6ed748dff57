#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod clock;
pub mod entropy;
pub mod file_work;
pub mod rate_limit;
