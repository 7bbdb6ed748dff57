//! Metric types that the modules share.
//!
//! Counting a request takes a few atomic additions: no lock, no allocation, no lookup of a label's text. Values
//! that can be read at any time are not counted: a module's collector writes them with a [`MetricsWriter`] at
//! each scrape.

mod distribution;
mod histogram;
mod static_family;
mod writer;

pub use self::{
    distribution::Distribution,
    histogram::{CALL_DURATION_BOUNDS, Histogram},
    static_family::{Label, StaticFamily},
    writer::MetricsWriter,
};

#[cfg(test)]
fn scrape(registry: &prometheus_client::registry::Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    text
}
