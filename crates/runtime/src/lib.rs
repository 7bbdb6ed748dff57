#![doc = include_str!("../README.md")]

pub mod clock;
pub mod entropy;
pub mod rate_limit;
