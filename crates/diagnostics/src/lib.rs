#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod diagnostic;
mod human;
mod nearest;
mod regular_file;
mod source;
mod text_safety;
mod toml_error;

pub use self::{
    diagnostic::{Diagnostic, FilePlace, Place},
    human::{Count, HumanDuration, InvalidQuantity, Rate, SignedHumanDuration, Size, SizeLimit},
    nearest::nearest,
    regular_file::{ReadFault, read_regular_file, read_secret_file},
    source::Source,
    text_safety::{is_misleading, printable, to_single_line},
};
