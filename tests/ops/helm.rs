//! Helm, Kustomize, Kubernetes' schemas and Compose's on what `deploy/` has for them. `make test` installs them all.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::support::{deployed::assert_serves, repository};

const REDIS: &str = "rediss://redis.redis.svc:6379";

fn program(name: &str) -> PathBuf {
    let program = repository("target/helm/bin").join(name);
    assert!(program.exists(), "{} is missing; run `make helm` once", program.display());
    program
}

/// Runs `helm/render.py`, which fails if anything is wrong.
fn render(arguments: &[&str], stdin: &str) -> Output {
    let mut python = Command::new(program("python"))
        .arg(repository("tests/ops/helm/render.py"))
        .args(arguments)
        .current_dir(repository("deploy"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    python.wait_with_output().unwrap()
}

fn rendered(arguments: &[&str], stdin: &str) -> Value {
    let output = render(arguments, stdin);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn chart(values: &Value) -> Value {
    let chart = rendered(&["chart", "helm/cosbroker", &values.to_string()], "");
    assert_eq!(chart["findings"]["errors"], json!([]), "{chart}");
    chart["documents"].clone()
}

/// Why the chart is not rendered with these values.
fn refused(values: &Value) -> String {
    let output = render(&["chart", "helm/cosbroker", &values.to_string()], "");
    assert!(!output.status.success(), "{values} is accepted");
    String::from_utf8(output.stderr).unwrap()
}

/// The documents of a kind.
fn of_kind<'a>(documents: &'a Value, kind: &str) -> Vec<&'a Value> {
    documents.as_array().unwrap().iter().filter(|document| document["kind"] == kind).collect()
}

fn only<'a>(documents: &'a Value, kind: &str) -> &'a Value {
    let [document] = of_kind(documents, kind)[..] else { panic!("one {kind}: {documents}") };
    document
}

fn config(documents: &Value) -> &str {
    only(documents, "ConfigMap")["data"]["config.toml"].as_str().unwrap()
}

/// The settings of a configuration, without comments.
fn settings(config: &str) -> Vec<&str> {
    let lines = config.lines().map(|line| line.split(" #").next().unwrap().trim());
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn kubernetes_accepts_the_manifest_and_its_replicas() {
    let manifest = repository("deploy/kubernetes/cosbroker.yaml");
    let one = rendered(&["manifest", manifest.to_str().unwrap()], "");
    assert_eq!(only(&one, "Deployment")["spec"]["replicas"], 2);
    let kustomize = Command::new(program("kubectl"))
        .args(["kustomize", "kubernetes-replicas"])
        .current_dir(repository("deploy"))
        .output()
        .unwrap();
    assert!(kustomize.status.success(), "{}", String::from_utf8_lossy(&kustomize.stderr));
    let replicas = rendered(&["manifest", "-"], std::str::from_utf8(&kustomize.stdout).unwrap());
    let deployment = &only(&replicas, "Deployment")["spec"];
    assert_eq!(deployment["replicas"], Value::Null, "the autoscaler decides");
    let pod = &deployment["template"]["spec"];
    assert!(pod["affinity"]["podAntiAffinity"].is_object(), "{pod}");
    assert_eq!(pod["topologySpreadConstraints"].as_array().unwrap().len(), 2, "nodes and zones");
    let container = &pod["containers"][0];
    assert_eq!(container["resources"]["requests"], json!({"cpu": "1", "memory": "512Mi"}));
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "the rest is as it was");
    assert_eq!(of_kind(&replicas, "NetworkPolicy").len(), 2);
    only(&replicas, "PodDisruptionBudget");
    let most = &only(&replicas, "HorizontalPodAutoscaler")["spec"]["maxReplicas"];
    assert!(settings(config(&replicas)).contains(&format!("replicas = {most}").as_str()), "{most}");
}

/// A person who knows one knows the other.
#[test]
fn the_chart_gives_what_the_manifest_gives() {
    let manifest = repository("deploy/kubernetes/cosbroker.yaml");
    let manifest = rendered(&["manifest", manifest.to_str().unwrap()], "");
    let chart = chart(&json!({}));
    assert_eq!(settings(config(&chart)), settings(config(&manifest)));
    let [charts, manifests] =
        [&chart, &manifest].map(|documents| &only(documents, "Deployment")["spec"]["template"]["spec"]);
    for part in ["securityContext", "terminationGracePeriodSeconds", "automountServiceAccountToken"] {
        assert_eq!(charts[part], manifests[part], "{part}");
    }
    for (part, manifests) in manifests["containers"][0].as_object().unwrap() {
        assert_eq!(&charts["containers"][0][part], manifests, "{part}");
    }
    for documents in [&chart, &manifest] {
        let policy = &only(documents, "NetworkPolicy")["spec"];
        assert_eq!(policy["ingress"].as_array().unwrap().len(), 2);
        assert_eq!(policy["egress"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn the_chart_shares_through_redis_and_scales() {
    let documents = chart(&json!({
        "redis": {"url": REDIS},
        "autoscaling": {"enabled": true, "maxReplicas": 9},
        "podMonitor": {"enabled": true},
        "trustedProxies": ["10.0.0.0/8"],
        "extraConfig": "[limits]\nper_user = \"60/minute\"",
    }));
    let settings = settings(config(&documents));
    for setting in [
        format!("url = \"{REDIS}\"").as_str(),
        "replicas = 9",
        "trusted_proxies = [\"10.0.0.0/8\"]",
        "per_user = \"60/minute\"",
    ] {
        assert!(settings.contains(&setting), "{setting}: {settings:#?}");
    }
    assert_eq!(only(&documents, "HorizontalPodAutoscaler")["spec"]["maxReplicas"], 9);
    assert_eq!(only(&documents, "Deployment")["spec"]["replicas"], Value::Null);
    let egress = &only(&documents, "NetworkPolicy")["spec"]["egress"];
    assert_eq!(egress[2]["ports"][0]["port"], 6379);
    only(&documents, "PodMonitor");
}

#[test]
fn the_configuration_of_the_chart_serves_the_shipped_templates() {
    let documents = chart(&json!({"defaultTemplate": "upload", "cacheMaxBytes": "64MiB"}));
    assert_serves(config(&documents));
    let documents = chart(&json!({"defaultTemplate": "upload", "redis": {"url": REDIS}}));
    assert_serves(config(&documents));
}

#[test]
fn values_that_cannot_serve_are_refused() {
    for (values, said) in [
        (json!({"autoscaling": {"enabled": true}}), "needs redis.url"),
        (json!({"replicaz": 2}), "replicaz"),
        (json!({"replicas": 0}), "replicas"),
        (json!({"callsPerSecond": 601}), "callsPerSecond"),
        (json!({"redis": {"url": "redis://user:secret@redis:6379"}}), "url"),
        (json!({"cacheMaxBytes": "256MB"}), "cacheMaxBytes"),
    ] {
        let message = refused(&values);
        assert!(message.contains(said), "{values}: {message}");
    }
}

#[test]
fn compose_accepts_its_file_and_mounts_what_the_configuration_names() {
    let documents = rendered(&["compose", "compose/docker-compose.yml"], "");
    let services = &documents[0]["services"];
    let mounts = services["cosbroker"]["volumes"].to_string();
    for path in ["/etc/cosbroker/config.toml", "/policies", "/secrets"] {
        assert!(mounts.contains(path), "{mounts}");
    }
    let config = std::fs::read_to_string(repository("deploy/compose/cosbroker.toml")).unwrap();
    assert!(config.contains("url = \"redis://redis:6379\"") && services["redis"].is_object());
    let replicas = &services["cosbroker"]["deploy"]["replicas"];
    assert!(settings(&config).contains(&format!("replicas = {replicas}").as_str()), "{replicas}");
}
