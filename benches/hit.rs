//! Processor time of a cache hit, and what audit log and traces add to it.
//!
//! `cargo bench --bench hit` drives the real binary over loopback; with the path of another build behind `--`, that
//! one too. All are measured in turn, round after round, because a machine's speed drifts. Linux only: processor time
//! is read from `/proc`.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::{
    env,
    error::Error,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

type BenchError = Box<dyn Error>;

const ROUNDS: usize = 7;
const WARM_UP_TIME: Duration = Duration::from_millis(500);
const MEASURED_TIME: Duration = Duration::from_secs(3);
/// Enough to keep the broker's one worker busy.
const CONNECTIONS: usize = 8;
/// Linux counts processor time in hundredths of a second, whatever its own clock (`man 5 proc`, `USER_HZ`).
const CPU_TIME_UNIT: Duration = Duration::from_millis(10);
const SECRET: &str = "a-secret-of-a-bench-0123456789abcdef";
const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
workers = 1
[admin]
listen = "127.0.0.1:0"
[[issuer]]
issuer = "https://id.test/"
audience = ["app"]
algorithms = ["HS256"]
secret_env = "JWT_SECRET"
[templates]
dir = "policies"
default = "upload"
[sts]
region = "ap-guangzhou"
endpoint = "http://CLOUD"
secret_id_env = "SECRET_ID"
secret_key_env = "SECRET_KEY"
[limits]
per_user = "60000000/minute"
"#;
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

fn main() -> Result<(), BenchError> {
    let ours = Path::new(env!("CARGO_BIN_EXE_cosbroker"));
    let other = env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let cloud = cloud()?;
    let audited = "[audit]\npath = \"audit.jsonl\"\n";
    let both = traced(&cloud, "0.01") + audited;
    let (some, all) = (traced(&cloud, "0.01"), traced(&cloud, "1.0"));
    let hits = format!("{audited}hits = true\n");
    let mut cases = vec![
        Case::new("as shipped", ours, "", ""),
        Case::new("audit log", ours, audited, ""),
        Case::new("traces of 1 in 100", ours, &some, ""),
        Case::new("both", ours, &both, ""),
        Case::new("both, with a traceparent", ours, &both, TRACEPARENT),
        Case::new("traces of all", ours, &all, ""),
        Case::new("audit log with hits", ours, &hits, ""),
    ];
    if let Some(other) = &other {
        cases.insert(0, Case::new(other, Path::new(other), "", ""));
    }
    let mut costs = vec![Vec::with_capacity(ROUNDS); cases.len()];
    for round in 0..ROUNDS {
        for (case, costs) in cases.iter().zip(&mut costs) {
            costs.push(case.cost(&cloud)?);
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
    fn cost(&self, cloud: &str) -> Result<Duration, BenchError> {
        let dir = tempfile::tempdir()?;
        fs::create_dir(dir.path().join("policies"))?;
        fs::write(dir.path().join("policies/upload.toml"), include_str!("../policies/upload.toml"))?;
        fs::write(dir.path().join("config.toml"), CONFIG.replace("CLOUD", cloud) + self.config)?;
        let mut broker = Command::new(fs::canonicalize(self.binary)?)
            .current_dir(dir.path())
            .env_clear()
            .envs([("JWT_SECRET", SECRET), ("SECRET_ID", "AKIDbench"), ("SECRET_KEY", "bench")])
            .args(["serve", "--log", "json", "--config", "config.toml"])
            .stderr(Stdio::piped())
            .spawn()?;
        let measured = measure(&mut broker, self.headers);
        broker.kill()?;
        broker.wait()?;
        measured
    }
}

fn measure(broker: &mut Child, headers: &str) -> Result<Duration, BenchError> {
    let stat = format!("/proc/{}/stat", broker.id());
    let mut log = BufReader::new(broker.stderr.take().ok_or("no log")?);
    let address = serving(&mut log)?;
    thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    let request = format!(
        "GET /v1/credentials HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\n{headers}\r\n",
        token()?
    );
    let mut connections = (0..CONNECTIONS)
        .map(|_| TcpStream::connect(&address).map(BufReader::new))
        .collect::<Result<Vec<_>, _>>()?;
    send(&mut connections, &request, WARM_UP_TIME)?;
    let before = processor_time(&stat)?;
    let answered = send(&mut connections, &request, MEASURED_TIME)?;
    Ok(processor_time(&stat)?.saturating_sub(before) / answered)
}

/// Sends requests on all connections for some time, and returns how many were answered.
fn send(
    connections: &mut [BufReader<TcpStream>],
    request: &str,
    during: Duration,
) -> Result<u32, BenchError> {
    let (began, mut answered) = (Instant::now(), 0);
    while began.elapsed() < during {
        for connection in &mut *connections {
            connection.get_mut().write_all(request.as_bytes())?;
        }
        for connection in &mut *connections {
            let (status, _) = message(connection)?;
            if !status.starts_with("HTTP/1.1 200") {
                return Err(format!("the broker answered {status}").into());
            }
            answered += 1;
        }
    }
    Ok(answered)
}

/// Reads a message, and returns its first line and body.
fn message(from: &mut impl BufRead) -> Result<(String, Vec<u8>), BenchError> {
    let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
    from.read_line(&mut first)?;
    while from.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok((first, body))
}

/// User and kernel time so far: fields 14 and 15. Field 2, the name, may hold spaces.
fn processor_time(stat: &str) -> Result<Duration, BenchError> {
    let stat = fs::read_to_string(stat)?;
    let (_, behind_name) = stat.rsplit_once(')').ok_or("no name")?;
    let ticks = behind_name.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    Ok(CPU_TIME_UNIT * ticks.sum::<Result<u32, _>>()?)
}

/// Address of the public listener, from the broker's log.
fn serving(log: &mut impl BufRead) -> Result<String, BenchError> {
    for line in log.lines() {
        let line = line?;
        let event: Value = serde_json::from_str(&line)?;
        if let Some(address) = event.pointer("/fields/public").and_then(Value::as_str) {
            return Ok(address.to_owned());
        }
    }
    Err("the broker did not start; run `cosbroker check`".into())
}

/// Starts an STS that issues the same credential each time, which is also a collector that accepts every span.
fn cloud() -> Result<String, BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(stream).map_err(|error| println!("the emulated cloud: {error}")));
        }
    });
    Ok(address)
}

fn serve(stream: TcpStream) -> Result<(), BenchError> {
    let mut stream = BufReader::new(stream);
    while !stream.fill_buf()?.is_empty() {
        let (called, _) = message(&mut stream)?;
        let key = json!({"Response": {
            "Credentials": {"TmpSecretId": "AKIDtmp", "TmpSecretKey": "tmp", "Token": "t".repeat(1000)},
            "ExpiredTime": now()? + 1800, "RequestId": "bench"
        }});
        let body = if called.contains("/v1/traces") { String::new() } else { key.to_string() };
        write!(stream.get_mut(), "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
    }
    Ok(())
}

fn token() -> Result<String, BenchError> {
    let claims = json!({"iss": "https://id.test/", "aud": "app", "sub": "alice", "exp": now()? + 3600});
    Ok(encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))?)
}

fn now() -> Result<u64, BenchError> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}
