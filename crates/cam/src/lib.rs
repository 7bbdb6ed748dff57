#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod compare;
pub mod evaluate;
pub mod pattern;
mod policy;
mod resource;

pub use self::policy::*;
