//! A configuration of `deploy/`, in which secrets and templates are mounted.

use super::{cosbroker, repository, write_secret};

/// The secrets that such a configuration may name, and a text that each of them takes.
const SECRETS: [&str; 5] = ["secret_id", "secret_key", "admin.token", "redis.password", "redis.key"];
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n";

/// Asserts that `serve` would start with this configuration, mounted secrets and the shipped templates.
pub fn assert_serves(config: &str) {
    let dir = tempfile::tempdir().unwrap();
    for secret in SECRETS {
        write_secret(&dir.path().join(secret), SECRET);
    }
    let config = config
        .replace("/secrets/", &format!("{}/", dir.path().display()))
        .replace("\"/policies\"", &format!("\"{}\"", repository("policies").display()));
    std::fs::write(dir.path().join("config.toml"), config).unwrap();
    let checked = cosbroker(dir.path()).args(["check", "--config", "config.toml"]).output().unwrap();
    assert!(checked.status.success(), "{checked:#?}");
}
