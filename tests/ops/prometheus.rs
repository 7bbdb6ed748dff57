//! Prometheus with the files of `deploy/`: it scrapes a running broker, evaluates every alert, and has data for every
//! query of the dashboard. `make test` unpacks it.

use std::{
    collections::BTreeSet,
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    Answer, Broker, Setup, emulator,
    log::Log,
    metrics_page::{document, document_of_replicas, documented, names_what_exists},
    repository, token_of, write_secret,
};

/// The time that Prometheus may take; generous, as the machine may be busy.
const DEADLINE: Duration = Duration::from_mins(2);
const OPERATORS_TOKEN: &str = "operators-token-of-this-test";
/// The refusals that the rules and the dashboard count as failures of the service and not of the caller.
const SERVICE_FAILURES: &str = "identity-unavailable|internal|misconfigured|credentials-unavailable";

/// `prometheus` or `promtool`.
fn program(name: &str) -> PathBuf {
    let program = repository("target/prometheus/usr/bin").join(name);
    assert!(program.exists(), "{} is missing; run `make prometheus` once", program.display());
    program
}

fn shipped(path: &str) -> String {
    std::fs::read_to_string(repository("deploy").join(path)).unwrap()
}

fn promtool(arguments: &[&str], stdin: &str) -> Output {
    let mut promtool = Command::new(program("promtool"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    promtool.wait_with_output().unwrap()
}

/// A running Prometheus, which ends with the test.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    http: reqwest::Client,
    _dir: tempfile::TempDir,
}

impl Prometheus {
    /// Starts it with the shipped files, changed only to scrape this broker, every second.
    fn start(broker: &Broker) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = shipped("prometheus/prometheus.yml")
            .replace("127.0.0.1:5001", &broker.operators.to_string())
            .replace("scrape_interval: 15s", "scrape_interval: 1s");
        let config = format!("global: {{evaluation_interval: 1s}}\n{config}");
        for (name, text) in [
            ("prometheus.yml", config.as_str()),
            ("cosbroker.rules.yml", &shipped("prometheus/cosbroker.rules.yml")),
            ("cosbroker.token", OPERATORS_TOKEN),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let config = dir.path().join("prometheus.yml");
        let checked = promtool(&["check", "config", config.to_str().unwrap()], "");
        assert!(checked.status.success(), "{checked:?}");
        let mut child = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (log, (sender, listening)) = (Log::default(), mpsc::channel());
        log.follow(child.stderr.take().unwrap(), move |line| {
            if let Some((_, address)) = line.split_once("msg=\"Listening on\" address=") {
                sender.send(address.parse().unwrap()).unwrap();
            }
        });
        let Ok(address) = listening.recv_timeout(DEADLINE) else {
            child.kill().unwrap();
            panic!("Prometheus did not start: {}", log.text());
        };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { child, address, http, _dir: dir }
    }

    /// Returns the data of `GET /api/v1/<path>`; null while Prometheus starts.
    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let url = format!("http://{}/api/v1/{path}", self.address);
        let answer = Answer::of(self.http.get(url::Url::parse_with_params(&url, query).unwrap())).await;
        // Until its storage is open, it responds with plain text.
        let mut answer: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        assert_ne!(answer["status"], "error", "{query:?}: {answer}");
        answer["data"].take()
    }

    /// Returns the current values of a query, without those that are not numbers.
    async fn numbers(&self, query: &str) -> Vec<f64> {
        let answer = self.get("query", &[("query", query)]).await;
        let samples = answer["result"].as_array().cloned().unwrap_or_default();
        let numbers =
            samples.iter().map(|sample| sample["value"][1].as_str().unwrap().parse::<f64>().unwrap());
        numbers.filter(|number| number.is_finite()).collect()
    }

    /// Returns whether there is data for a query of the dashboard, or of one of its variables.
    async fn has_data_for(&self, query: &str) -> bool {
        let variable = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let Some((series, label)) = variable.and_then(|inner| inner.rsplit_once(", ")) else {
            return !self.numbers(query).await.is_empty();
        };
        let values = self.get(&format!("label/{label}/values"), &[("match[]", series)]).await;
        values.as_array().is_some_and(|values| !values.is_empty())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A broker with a key set at a URL, an audit log, a canary, and a token for operators.
fn broker() -> (Broker, SocketAddr) {
    let (cloud, _) = emulator();
    let broker = Setup::new(cloud)
        .with("https://id.test/", "http://issuer.test/")
        .with("HS256", "ES256")
        .with("secret_env = \"JWT_SECRET\"", "jwks_url = \"http://STS/jwks.json\"")
        .with_section("admin", "token_file = \"admin.token\"")
        .with_section("audit", "path = \"audit.jsonl\"")
        .with_section("canary", "interval = \"1m\"\ntemplate = \"files\"\nendpoint = \"http://STS\"")
        .start_with(|dir| write_secret(&dir.join("admin.token"), OPERATORS_TOKEN));
    // The next run is a minute later, so it must pass before STS is made to fail.
    broker.says("isolation canary: passed");
    (broker, cloud)
}

/// Causes responses, refusals and failures of each kind.
async fn generate_traffic(broker: &Broker, cloud: SocketAddr, round: usize) {
    let user = |name: &str| format!("http://{cloud}/token?sub={name}{round}");
    let [alice, bob] = ["alice", "bob"].map(|name| Answer::of(broker.http.get(user(name))));
    let (alice, bob) = (alice.await.body, bob.await.body);
    for path in ["/v1/credentials", "/v1/credentials", "/sts", "/v1/credentials/files"] {
        assert_eq!(broker.get(path, &alice).await.status, 200, "{path}");
    }
    for fault in
        [json!({"on": "sts", "fault": "throttle", "times": 1}), json!({"on": "sts", "fault": "html"})]
    {
        let added = broker.http.post(format!("http://{cloud}/faults")).body(fault.to_string());
        assert_eq!(Answer::of(added).await.status, 201, "{fault}");
    }
    let refused = broker.get("/v1/credentials", &bob).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(Answer::of(broker.http.delete(format!("http://{cloud}/faults"))).await.status, 204);
    assert_eq!(broker.get("/v1/credentials", &token_of(&json!({"sub": "stranger"}))).await.status, 401);
    assert_eq!(broker.get("/v1/credentials/nothing", &alice).await.status, 404);
    let reload = broker.http.post(format!("http://{}/api/reload", broker.operators));
    assert_eq!(Answer::of(reload.bearer_auth(OPERATORS_TOKEN)).await.status, 200);
}

fn items(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

/// Returns every query of the dashboard, as Grafana sends it.
fn queries_of_the_dashboard() -> BTreeSet<String> {
    let dashboard: Value = serde_json::from_str(&shipped("grafana/cosbroker.json")).unwrap();
    let targets = items(&dashboard["panels"]).into_iter().flat_map(|panel| items(&panel["targets"]));
    let expressions =
        targets.chain(items(&dashboard["annotations"]["list"])).map(|target| target["expr"].clone());
    let variables = items(&dashboard["templating"]["list"]);
    let variables = variables.iter().map(|variable| variable["query"]["query"].clone());
    let queries = expressions.chain(variables).filter_map(|query| query.as_str().map(str::to_owned));
    queries
        .map(|query| {
            // Grafana uses at least four scrapes for a rate. These are more, because scrapes on a busy machine are late.
            let query = query.replace("$__rate_interval", "15s").replace("$job", "cosbroker");
            let query = query.replace("$instance", ".*");
            assert!(!query.contains('$'), "{query}");
            query
        })
        .collect()
}

#[tokio::test]
async fn prometheus_scrapes_a_broker_and_has_data_for_every_query_of_the_dashboard() {
    let (broker, cloud) = broker();
    let prometheus = Prometheus::start(&broker);
    let mut without_data = queries_of_the_dashboard();
    assert!(without_data.len() > 40, "{without_data:?}");
    let started = Instant::now();
    for round in 0.. {
        generate_traffic(&broker, cloud, round).await;
        let mut left = BTreeSet::new();
        for query in without_data {
            if !prometheus.has_data_for(&query).await {
                left.insert(query);
            }
        }
        without_data = left;
        if without_data.is_empty() {
            break;
        }
        assert!(started.elapsed() < DEADLINE, "no data for {without_data:#?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let targets = prometheus.get("targets", &[]).await;
    let target = &targets["activeTargets"][0];
    assert_eq!((&target["health"], &target["lastError"]), (&json!("up"), &json!("")), "{target}");
    // Only OpenMetrics has this type, so the response was parsed as OpenMetrics.
    let metadata = prometheus.get("metadata", &[("metric", "cosbroker_build")]).await;
    assert_eq!(metadata["cosbroker_build"][0]["type"], "info");
    // All four are exported before the first failure: Prometheus sees no increase of a new series.
    let failures = format!("count(cosbroker_refusals_total{{reason=~\"{SERVICE_FAILURES}\"}})");
    assert_eq!(prometheus.numbers(&failures).await, [4.0]);
    for file in ["prometheus/cosbroker.rules.yml", "grafana/cosbroker.json"] {
        let text = shipped(file).replace('\\', "");
        let reasons = text.split("reason=~\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        assert_eq!(reasons.collect::<BTreeSet<_>>(), [SERVICE_FAILURES].into(), "{file}");
    }
}

#[tokio::test]
async fn every_alert_is_evaluated_names_documented_metrics_and_is_in_the_runbook() {
    let (broker, _) = broker();
    let prometheus = Prometheus::start(&broker);
    let metrics = documented(&(document() + &document_of_replicas()));
    let page = |path: &str| std::fs::read_to_string(repository(path)).unwrap();
    let (alerts_page, tests) =
        (page("docs/operate/alerts.md"), shipped("prometheus/cosbroker.rules.test.yml"));
    let started = Instant::now();
    let rules = loop {
        let groups = prometheus.get("rules", &[]).await;
        let rules = groups["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
        if !rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown") {
            break rules;
        }
        assert!(started.elapsed() < DEADLINE, "{groups}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut alerts = 0;
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        names_what_exists(&text(&rule["query"]), &metrics);
        if rule["type"] != "alerting" {
            continue;
        }
        alerts += 1;
        let (name, annotations) = (text(&rule["name"]), &rule["annotations"]);
        assert!(["page", "ticket"].contains(&text(&rule["labels"]["severity"]).as_str()), "{rule}");
        for annotation in ["summary", "description", "runbook_url"] {
            assert!(annotations[annotation].is_string(), "{rule}");
        }
        assert!(
            alerts_page.contains(&format!("`{name}`")),
            "docs/operate/alerts.md does not say when {name} fires"
        );
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "no test makes {name} fire");
    }
    assert!(alerts > 10, "{alerts}");
}

#[test]
fn the_alerts_fire_when_they_should_and_not_otherwise() {
    for (what, file) in [("check", "cosbroker.rules.yml"), ("test", "cosbroker.rules.test.yml")] {
        let file = repository("deploy/prometheus").join(file);
        let said = promtool(&[what, "rules", file.to_str().unwrap()], "");
        assert!(said.status.success(), "{said:#?}");
    }
}

#[tokio::test]
async fn promtool_has_no_complaints_about_the_metrics() {
    let (broker, cloud) = broker();
    generate_traffic(&broker, cloud, 0).await;
    let request = broker.http.get(format!("http://{}/metrics", broker.operators));
    let metrics = Answer::of(request.bearer_auth(OPERATORS_TOKEN)).await.body;
    let said = promtool(&["check", "metrics"], &as_text_format(&metrics));
    assert!(said.status.success() && said.stderr.is_empty(), "{said:#?}");
}

/// Converts to the older text format, the only one that promtool reads (prometheus/prometheus#8932): there the
/// metadata of a counter and an info have the name of their samples, and an info is a gauge.
fn as_text_format(metrics: &str) -> String {
    let suffix = |family: &str| match metrics.split_once(&format!("# TYPE {family} ")) {
        Some((_, rest)) if rest.starts_with("counter") => "_total",
        Some((_, rest)) if rest.starts_with("info") => "_info",
        _ => "",
    };
    let lines = metrics.lines().filter(|line| *line != "# EOF");
    let line = |line: &str| match line.splitn(4, ' ').collect::<Vec<_>>()[..] {
        ["#", what, family, said] => {
            let said = if (what, said) == ("TYPE", "info") { "gauge" } else { said };
            format!("# {what} {family}{} {said}\n", suffix(family))
        }
        _ => format!("{line}\n"),
    };
    lines.map(line).collect()
}
