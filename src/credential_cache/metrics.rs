//! Metrics of the cache. How requests end is counted in `http`.

use std::{fmt, time::Duration};

use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::counter::Counter, registry::Registry,
};

use super::{CredentialCache, outcome::MissReason};
use crate::metrics::{MetricsWriter, StaticFamily};

/// Counters of the cache.
#[derive(Debug)]
pub(super) struct Metrics {
    misses: StaticFamily<MissReason, Counter>,
    evictions: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            misses: StaticFamily::new(
                MissReason::ALL,
                |reason| [("reason", reason.name())],
                Counter::default,
            ),
            evictions: Counter::default(),
        }
    }
}

impl Metrics {
    pub(super) fn missed(&self, reason: MissReason) {
        if let Some(count) = self.misses.of(reason) {
            count.inc();
        }
    }

    pub(super) fn evicted(&self) {
        self.evictions.inc();
    }

    pub(super) fn misses(&self) -> Vec<(MissReason, u64)> {
        self.misses.iter().map(|(reason, count)| (reason, count.get())).collect()
    }

    pub(super) fn evictions(&self) -> u64 {
        self.evictions.get()
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "cosbroker_cache_misses",
            "Requests that found no fresh credential in the cache, by reason",
            self.misses.clone(),
        );
        registry.register(
            "cosbroker_cache_evictions",
            "Credentials evicted to keep within cache.max_bytes",
            self.evictions.clone(),
        );
    }
}

/// Writes the state of the cache at each scrape.
#[derive(Debug)]
pub(super) struct MetricsCollector(pub(super) CredentialCache);

impl Collector for MetricsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.0.snapshot();
        let mut writer = MetricsWriter::new(encoder);
        writer.gauge("cosbroker_cache_entries", "Credentials in the cache", now.entries)?;
        writer.gauge("cosbroker_cache_bytes", "Approximate memory of the cached credentials", now.bytes)?;
        writer.gauge(
            "cosbroker_revocations_unsaved",
            "1 while the last revocation or restoration could not be written to limits.revoked_file",
            u32::from(now.revocations_unsaved),
        )?;
        writer.gauge(
            "cosbroker_inflight_fetches",
            "STS calls for a credential in flight",
            now.inflight_fetches,
        )?;
        writer.gauge(
            "cosbroker_active_users",
            "Users who hold a credential or want one",
            now.stale_coverage.active_users,
        )?;
        writer.gauge(
            "cosbroker_stale_coverage_ratio",
            "Share of active users whom the cache could serve if STS failed now",
            now.stale_coverage.covered_ratio(),
        )?;
        writer.gauge(
            "cosbroker_stale_coverage_seconds",
            "How long from now the cache could serve nine in ten active users without STS",
            now.stale_coverage.duration.map_or(f64::NAN, |duration: Duration| duration.as_secs_f64()),
        )
    }
}
