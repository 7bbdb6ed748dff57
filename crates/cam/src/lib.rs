#![doc = include_str!("../README.md")]

pub mod compare;
pub mod evaluate;
pub mod pattern;
mod policy;

pub use self::policy::*;
