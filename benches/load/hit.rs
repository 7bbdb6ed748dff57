//! Processor time of a cached hit, and what audit log and traces add to it.
//!
//! All are measured in turn, round after round, because a machine's speed drifts.

use std::{path::Path, time::Duration};

use crate::{
    BenchError,
    broker::{AUDIT, Setup},
    client::{ask_for, connect, request},
    cloud,
    login::Login,
    processor::ProcessorTime,
};

const ROUNDS: usize = 7;
const WARM_UP_TIME: Duration = Duration::from_millis(500);
const MEASURED_TIME: Duration = Duration::from_secs(3);
/// Enough to keep the broker's one worker busy.
const CONNECTIONS: usize = 8;
const TRACEPARENT: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";

/// A build and a configuration to measure.
struct Case<'a> {
    name: String,
    binary: &'a Path,
    /// Appended to the configuration.
    config: &'a str,
    /// Added to each request.
    headers: &'a str,
}

/// Measures a build, and another one if there is one.
pub(crate) fn run(ours: &Path, other: Option<&Path>) -> Result<(), BenchError> {
    let cloud = cloud::start()?;
    let login = Login::with_secret()?;
    let both = traced(&cloud, "0.01") + AUDIT;
    let (some, all) = (traced(&cloud, "0.01"), traced(&cloud, "1.0"));
    let hits = format!("{AUDIT}hits = true\n");
    let mut cases = vec![
        Case::new("as shipped", ours, "", ""),
        Case::new("audit log", ours, AUDIT, ""),
        Case::new("traces of 1 in 100", ours, &some, ""),
        Case::new("both", ours, &both, ""),
        Case::new("both, with a traceparent", ours, &both, TRACEPARENT),
        Case::new("traces of all", ours, &all, ""),
        Case::new("audit log with hits", ours, &hits, ""),
    ];
    if let Some(other) = other {
        cases.insert(0, Case::new(&other.display().to_string(), other, "", ""));
    }
    let mut costs = vec![Vec::with_capacity(ROUNDS); cases.len()];
    for round in 0..ROUNDS {
        for (case, costs) in cases.iter().zip(&mut costs) {
            costs.push(case.cost(&cloud, &login)?);
        }
        println!("round {} of {ROUNDS}", round + 1);
    }
    println!("\nprocessor time of a cached hit in µs, kernel included, {ROUNDS} rounds:");
    println!("  least          median         of what");
    let mut first = None;
    for (Case { name, .. }, costs) in cases.iter().zip(&mut costs) {
        costs.sort_unstable();
        let figures =
            [costs.first(), costs.get(ROUNDS / 2)].map(|cost| cost.map_or(0.0, Duration::as_secs_f64));
        let first = first.get_or_insert(figures);
        for (figure, first) in figures.iter().zip(first) {
            print!("{:7.3} {:+5.1} %", figure * 1e6, (figure / *first - 1.0) * 100.0);
        }
        println!("  {name}");
    }
    Ok(())
}

/// The configuration section for traces.
fn traced(cloud: &str, sample: &str) -> String {
    format!("[tracing]\notlp_endpoint = \"http://{cloud}/v1/traces\"\nsample = {sample}\n")
}

impl<'a> Case<'a> {
    fn new(name: &str, binary: &'a Path, config: &'a str, headers: &'a str) -> Self {
        Self { name: name.to_owned(), binary, config, headers }
    }

    /// Processor time of one hit.
    fn cost(&self, cloud: &str, login: &Login) -> Result<Duration, BenchError> {
        let Self { binary, config, headers, .. } = *self;
        let broker = Setup { binary, login, cloud, config, sts: "", workers: 1 }.start(&[])?;
        let request = request(&login.token(0)?, headers);
        let mut connections =
            (0..CONNECTIONS).map(|_| connect(&broker.public)).collect::<Result<Vec<_>, _>>()?;
        ask_for(&mut connections, &request, WARM_UP_TIME)?;
        let before = ProcessorTime::of(broker.id())?;
        let answered = ask_for(&mut connections, &request, MEASURED_TIME)?;
        Ok((ProcessorTime::of(broker.id())? - before).all() / answered)
    }
}
