//! Metrics of the issuers.

use std::{fmt, sync::Arc};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::{KeySetStatus, Verifier};
use crate::metrics::{Label, MetricsWriter};

#[derive(Debug)]
pub(super) struct MetricsCollector(pub(super) Arc<Verifier>);

impl Collector for MetricsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let issuers = self.0.snapshot();
        let key_sets: Vec<(Label<'_>, &KeySetStatus)> = issuers
            .iter()
            .filter_map(|issuer| Some((("issuer", issuer.name.as_ref()), issuer.key_set.as_ref()?)))
            .collect();
        let mut writer = MetricsWriter::new(encoder);
        writer.gauges(
            "cosbroker_issuer_ready",
            "1 while tokens of this issuer can be checked",
            issuers.iter().map(|issuer| ([("issuer", issuer.name.as_ref())], u32::from(issuer.is_ready()))),
        )?;
        writer.gauges(
            "cosbroker_jwks_age_seconds",
            "Time since the key set was last read",
            key_sets.iter().filter_map(|(issuer, set)| Some(([*issuer], set.age?.as_secs_f64()))),
        )?;
        writer.gauges(
            "cosbroker_key_set_dropped_keys",
            "Keys of the key set that are not used; the status and the log say why",
            key_sets.iter().map(|(issuer, set)| ([*issuer], set.dropped.len() as u64)),
        )?;
        writer.counters(
            "cosbroker_jwks_fetches",
            "Attempts to read the key set, by outcome",
            key_sets.iter().flat_map(|(issuer, set)| {
                [
                    ([*issuer, ("outcome", "ok")], set.fetches),
                    ([*issuer, ("outcome", "failed")], set.failures),
                ]
            }),
        )
    }
}
