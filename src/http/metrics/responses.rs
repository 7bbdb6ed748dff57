//! Answers by route and status.

use std::{collections::BTreeSet, fmt, sync::Arc};

use actix_web::http::StatusCode;
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::Counter},
};

use crate::{
    http::{problem::ProblemType, route::Route},
    metrics::StaticFamily,
};

/// Answers by route and status. A metric of its own, because as a label of the latency it would multiply its buckets.
#[derive(Debug, Clone)]
pub(super) struct Responses(StaticFamily<Route, Arc<[(u16, Counter)]>>);

impl Responses {
    pub(super) fn new() -> Self {
        let problems = ProblemType::ALL.into_iter().map(|problem| problem.status);
        let statuses: BTreeSet<u16> = problems.chain([StatusCode::OK.as_u16()]).collect();
        let counters = || statuses.iter().map(|status| (*status, Counter::default())).collect();
        Self(StaticFamily::new(Route::ALL, |route| [("route", route.name())], counters))
    }

    pub(super) fn count(&self, route: Route, status: StatusCode) {
        let of_route = self.0.of(route).map(|counters| counters.iter());
        let counter = of_route.and_then(|mut counters| counters.find(|(code, _)| *code == status.as_u16()));
        if let Some((_, counter)) = counter {
            counter.inc();
        }
    }
}

impl EncodeMetric for Responses {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (route, counters) in self.0.iter() {
            // Most routes never answer most statuses.
            for (status, count) in counters.iter().filter(|(_, count)| count.get() > 0) {
                let labels = [("route", route.name().to_owned()), ("status", status.to_string())];
                count.encode(encoder.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, counters)| counters.iter().all(|(_, count)| count.get() == 0))
    }
}
