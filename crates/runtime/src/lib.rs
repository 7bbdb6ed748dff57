//! Time and randomness, passed in so that tests can control them.

pub mod clock;
pub mod entropy;
