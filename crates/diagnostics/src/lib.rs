//! Problems in files, human units, and text that is safe in a terminal.

mod human;
mod source;

pub use self::{human::*, source::*};
