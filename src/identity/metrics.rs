//! What is read of the issuers when it is asked for.

use std::{fmt, sync::Arc};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::Verifier;
use crate::metrics::MetricsWriter;

#[derive(Debug)]
pub(super) struct MetricsCollector(pub(super) Arc<Verifier>);

impl Collector for MetricsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let issuers = self.0.snapshot();
        let key_sets = || {
            let named = issuers.iter().map(|issuer| (("issuer", issuer.name.as_ref()), issuer.key_set));
            named.filter_map(|(issuer, set)| Some((issuer, set?)))
        };
        let mut sheet = MetricsWriter::new(encoder);
        sheet.gauges(
            "cosbroker_issuer_ready",
            "1 while tokens of this issuer can be checked",
            issuers.iter().map(|issuer| ([("issuer", issuer.name.as_ref())], u32::from(issuer.is_ready()))),
        )?;
        sheet.gauges(
            "cosbroker_jwks_age_seconds",
            "How long ago the key set was last read",
            key_sets().filter_map(|(issuer, set)| Some(([issuer], set.age?.as_secs_f64()))),
        )?;
        sheet.counters(
            "cosbroker_jwks_fetches",
            "Attempts to read the key set, by what became of them",
            key_sets().flat_map(|(issuer, set)| {
                [([issuer, ("outcome", "ok")], set.fetches), ([issuer, ("outcome", "failed")], set.failures)]
            }),
        )
    }
}
