//! Benchmarks of the whole program: the real binary over loopback, and servers of others beside it.
//!
//! `cargo bench --bench load -- MODE`:
//!
//! - `hit`: processor time of a cached hit, and what audit log and traces add to it. With the path of another build
//!   behind, that one too.
//! - `check BUILD`: instructions of a cached hit, which repeat where seconds do not; fails where they pass the budget
//!   for such a build in `benches/budget.toml`.
//! - `profile`: which functions take the instructions of a hit and of a user's first request.
//! - `growth`: throughput and memory as users become more.
//! - `redis`: throughput of a cached hit with `[redis]`, beside the one without.
//! - `compare PEERS`: everything, beside the servers that are installed in PEERS; writes `docs/understand/performance.md`.
//!
//! `COSBROKER_BINARY` names the program to measure. Linux only: processor time is read from `/proc`.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

mod bare;
mod broker;
mod callgrind;
mod client;
mod cloud;
mod compare;
mod count;
mod hit;
mod login;
mod peers;
mod processor;
mod replicas;
mod report;
mod wrk;

use std::{env, error::Error, path::Path};

type BenchError = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), BenchError> {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let binary = env::var_os("COSBROKER_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_cosbroker").into());
    let binary = Path::new(&binary);
    match arguments.as_slice() {
        ["hit"] => hit::run(binary, None),
        ["hit", other] => hit::run(binary, Some(Path::new(other))),
        ["check", build] => count::check(binary, build),
        ["profile"] => count::profile(binary),
        ["growth"] => {
            println!("{}", report::growth_table(&compare::growth(binary, &cloud::start()?)?));
            Ok(())
        }
        ["redis"] => replicas::run(binary),
        ["compare", peers] => {
            let report = compare::run(binary, Path::new(peers))?;
            report.print();
            report.write(Path::new(env!("CARGO_MANIFEST_DIR")))
        }
        // What `compare` starts.
        [bare::MODE, workers] => bare::serve(workers.parse()?),
        _ => {
            Err("say what to measure: hit [PATH], check BUILD, profile, growth, redis, or compare PEERS"
                .into())
        }
    }
}
