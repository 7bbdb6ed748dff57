//! COS as its clients speak to it, as far as this house does: the request signature.

pub mod sign;
