//! A Redis that asks who comes: TLS, a password, and an access control list with no more than the page names.

use std::{process::Command, time::Instant};

use crate::{
    fleet::{scoped, setup, start, status_of},
    redis_server::RedisServer,
    support::{Answers, CannedSts, DEADLINE, repository, token, write_secret},
};

/// The rights that the page names, as one list.
pub(crate) fn documented_rights() -> Vec<String> {
    let page = std::fs::read_to_string(repository("docs/operate/replicas.md")).unwrap();
    let (_, rest) = page.split_once("The user of Redis's access control list needs").unwrap();
    let (paragraph, _) = rest.split_once("Another").unwrap();
    let quoted = paragraph.split('`').skip(1).step_by(2);
    quoted.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_documented_rights_are_enough_over_tls_with_a_password() {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (certificate.cert.pem(), certificate.signing_key.serialize_pem());
    let redis = RedisServer::start_with_tls(&cert, &key);
    let mut list = vec!["acl", "setuser", "broker", "reset", "on", ">password-canary"];
    let rights = documented_rights();
    assert!(rights.len() > 10, "{rights:?}");
    list.extend(rights.iter().map(String::as_str));
    assert_eq!(redis.cli(&list), "OK");
    redis.cli(&["acl", "setuser", "default", "nopass", "-subscribe"]);

    let sts = CannedSts::start(Answers::Key(1800));
    let url = format!("\"rediss://localhost:{}/2\"", redis.tls_port().unwrap());
    let login = format!("{url}\nusername = \"broker\"\npassword_file = \"redis.password\"");
    let brokers: Vec<_> = (0..2)
        .map(|_| {
            let setup = setup(sts.address, &login, 2)
                .with_section("network", "ca_file = \"redis.pem\"")
                .with("per_user = \"off\"", "per_user = \"10/minute\"");
            let broker = setup.start_with(|dir| {
                write_secret(&dir.join("redis.key"), &"ab".repeat(32));
                write_secret(&dir.join("redis.password"), "password-canary\n");
                std::fs::write(dir.join("redis.pem"), &cert).unwrap();
            });
            broker.says("Redis is used");
            broker
        })
        .collect();
    let alice = token("alice");
    assert!(status_of(&brokers[0].get("/v1/credentials", &alice).await).1.contains("stored"));
    assert!(status_of(&brokers[1].get("/v1/credentials", &alice).await).1.contains("detail=shared"));
    assert_eq!(scoped(&brokers[0], "alice", "photos").await.status, 200);
    let started = Instant::now();
    // Each replica admits one request without counting.
    while redis.keys_in(2, "*:requests:*").is_empty() || redis.keys_in(2, "*:scopes:*").is_empty() {
        assert!(started.elapsed() < DEADLINE, "{:?}", redis.keys_in(2, "*"));
    }
    let mallory = serde_json::json!({"issuer": "https://id.test/", "subject": "mallory"});
    brokers[0].operators_post("/api/revoke", &mallory).await;
    brokers[1].says("user revoked");
    for broker in &brokers {
        assert_eq!(broker.figure(&["cosbroker_redis_call_failures_total"]).await, 0);
        assert!(!broker.log().contains("password-canary"));
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_accepted() {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let redis =
        RedisServer::start_with_tls(&certificate.cert.pem(), &certificate.signing_key.serialize_pem());
    let sts = CannedSts::start(Answers::Key(1800));
    let url = format!("\"rediss://localhost:{}\"", redis.tls_port().unwrap());
    let broker =
        setup(sts.address, &url, 2).start_with(|dir| write_secret(&dir.join("redis.key"), &"ab".repeat(32)));
    broker.says("Redis is not used");
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
    assert!(!broker.log().contains("Redis is used"));
}

#[tokio::test]
async fn a_cluster_is_used_from_whichever_node_is_named() {
    let nodes: Vec<RedisServer> = (0..3).map(|_| RedisServer::start_as_node()).collect();
    let addresses: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
    let create = Command::new("redis-cli")
        .args(["--cluster", "create"])
        .args(&addresses)
        .args(["--cluster-yes", "--cluster-replicas", "0"])
        .output()
        .unwrap();
    assert!(create.status.success(), "{}", String::from_utf8_lossy(&create.stdout));
    let sts = CannedSts::start(Answers::Key(1800));
    let alice = token("alice");
    for node in &nodes {
        let broker = start(setup(sts.address, &format!("{:?}", node.url()), 3));
        assert_eq!(broker.get("/v1/credentials", &alice).await.status, 200);
    }
    assert_eq!(sts.calls(), 1);
}
