//! The metrics of replicas, compared with `docs/reference/metrics-replicas.md`.

use std::collections::BTreeSet;

use crate::{
    fleet::{fleet, request_all},
    redis_server::RedisServer,
    support::{
        Answers, CannedSts, Setup,
        metrics_page::{document_of_replicas, documented, names_what_exists},
        repository,
    },
};

/// The names and types of all metrics that a broker shows.
fn types(shown: &str) -> BTreeSet<(String, String)> {
    let types = shown.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            let suffix = if kind == "counter" { "_total" } else { "" };
            (format!("{name}{suffix}"), kind.to_owned())
        })
        .collect()
}

#[tokio::test]
async fn the_document_has_what_replicas_show_and_the_others_do_not() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let brokers = fleet(sts.address, &redis, 2);
    request_all(&brokers, (0..4).map(|user| format!("user{user}"))).await;
    let alone = Setup::new(sts.address).start();
    request_all(std::slice::from_ref(&alone), ["alice".to_owned()]).await;
    let shown = brokers[0].metrics().await;
    let metrics = documented(&document_of_replicas());
    let expected: BTreeSet<(String, String)> =
        metrics.iter().map(|(name, metric)| (name.clone(), metric.kind.clone())).collect();
    let added: BTreeSet<_> = types(&shown).difference(&types(&alone.metrics().await)).cloned().collect();
    assert_eq!(expected, added);
    for (name, metric) in &metrics {
        for (label, values) in &metric.labels {
            for value in values {
                assert!(shown.contains(&format!("{name}{{{label}=\"{value}\"}}")), "{name} {value}");
            }
        }
    }
    let page = std::fs::read_to_string(repository("docs/operate/replicas.md")).unwrap();
    let all = documented(&(document_of_replicas() + &crate::support::metrics_page::document()));
    let queries = page.split("```promql\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    assert!(queries.flat_map(str::lines).map(|query| names_what_exists(query, &all)).sum::<usize>() > 3);
}
