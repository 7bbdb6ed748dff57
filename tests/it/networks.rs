//! Networks as they are: proxies, private certificate authorities, plain HTTP in a cluster, several endpoints of STS.

use std::{net::TcpListener, time::Duration};

use serde_json::json;

use crate::{
    support::{Answers, CannedSts, Setup, cosbroker, token, write_secret},
    web::{Authority, Proxy, Web, self_signed},
};

/// A key set that `token` does not need: an issuer beside that of the tests.
const SECOND_ISSUER: &str =
    "[[issuer]]\nissuer = \"ISSUER\"\naudience = [\"app\"]\nalgorithms = [\"ES256\"]\njwks_url = \"URL\"\n";

const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

/// A setup with a second issuer at a URL. Its templates have the issuer in each home.
fn with_issuer(sts: &CannedSts, url: &str) -> Setup {
    let mut setup = Setup::new(sts.address);
    setup.config.push_str(&SECOND_ISSUER.replace("ISSUER", "https://second.test/").replace("URL", url));
    for (_, text) in &mut setup.templates {
        *text = text.replace("users/${sub|escape}/", "users/${iss|sha256}/${sub|escape}/");
    }
    setup
}

/// The outcome of `check --online`, without STS: what it says of the key sets.
fn checked(setup: &Setup, ca: &str) -> String {
    let dir = setup.write();
    std::fs::write(dir.path().join("ca.pem"), ca).unwrap();
    write_secret(&dir.path().join("proxy.secret"), "me:canary-password\n");
    let output =
        cosbroker(dir.path()).args(["check", "--online", "--config", "config.toml"]).output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

const FETCHED: &str = "online: the key set of every issuer can be fetched";

#[tokio::test]
async fn a_private_authority_a_self_signed_server_and_a_slow_handshake_are_served() {
    let (sts, web) = (CannedSts::start(Answers::Key(1800)), Web::start());
    web.put("/jwks", KEYS);
    let authority = Authority::new();
    let slow = authority.tls("localhost", web.address, Duration::from_millis(1400));
    let own = self_signed("localhost", web.address);
    let url = |port: u16| format!("https://localhost:{port}/jwks");
    let untrusted = checked(&with_issuer(&sts, &url(slow.port())), "");
    assert!(untrusted.contains("name its certificate in network.ca_file"), "{untrusted}");
    for (port, ca) in [(slow.port(), &authority.pem), (own.0.port(), &own.1)] {
        let setup = with_issuer(&sts, &url(port)).with_section("network", "ca_file = \"ca.pem\"");
        let told = checked(&setup, ca);
        assert!(told.contains(FETCHED), "{told}");
    }
    let other = self_signed("elsewhere.test", web.address);
    let setup = with_issuer(&sts, &url(other.0.port())).with_section("network", "ca_file = \"ca.pem\"");
    let told = checked(&setup, &other.1);
    assert!(!told.contains(FETCHED) && told.contains("not valid for name"), "the name still counts: {told}");
}

#[tokio::test]
async fn redirects_are_followed_over_https_at_the_same_host() {
    let (sts, web) = (CannedSts::start(Answers::Key(1800)), Web::start());
    let authority = Authority::new();
    let server = authority.tls("localhost", web.address, Duration::ZERO);
    web.put_with("/old", "301 Moved Permanently\r\nlocation: /new", "");
    web.put("/new", KEYS);
    let setup = with_issuer(&sts, &format!("https://localhost:{}/old", server.port()));
    let told = checked(&setup.with_section("network", "ca_file = \"ca.pem\""), &authority.pem);
    assert!(told.contains(FETCHED), "{told}");
    web.put_with("/old", &format!("301 Moved\r\nlocation: {}", web.url("/new")), "");
    let setup = with_issuer(&sts, &format!("https://localhost:{}/old", server.port()));
    let told = checked(&setup.with_section("network", "ca_file = \"ca.pem\""), &authority.pem);
    assert!(told.contains(&format!("a redirect to `{}`, which is not followed", web.url("/new"))), "{told}");
}

#[tokio::test]
async fn issuers_sts_cos_and_the_collector_are_reached_through_the_proxy() {
    let (sts, web) = (CannedSts::start(Answers::Key(1800)), Web::start());
    web.put("/jwks", KEYS);
    web.put("/v1/traces", "");
    let authority = Authority::new();
    let tls = |host: &str, backend| authority.tls(host, backend, Duration::ZERO);
    let proxy = Proxy::start(&[
        ("second.example:443", tls("second.example", web.address)),
        ("sts.example:443", tls("sts.example", sts.address)),
        (
            "examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com:443",
            tls("examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com", web.address),
        ),
        ("collector.example:4318", web.address),
    ]);
    let network = format!(
        "proxy = \"http://{}\"\nproxy_credentials_file = \"proxy.secret\"\nca_file = \"ca.pem\"",
        proxy.address
    );
    let setup = with_issuer(&sts, "https://second.example/jwks")
        .with("endpoint = \"http://STS\"", "endpoint = \"https://sts.example\"")
        .with_section("network", &network)
        .with_section("tracing", "otlp_endpoint = \"http://collector.example:4318/v1/traces\"\nsample = 1.0")
        .with_section("canary", "interval = \"1m\"");
    let told = checked(&setup, &authority.pem);
    assert!(told.contains("online: STS issued a key"), "{told}");
    let broker = setup.start_with(|dir| {
        std::fs::write(dir.join("ca.pem"), &authority.pem).unwrap();
        write_secret(&dir.join("proxy.secret"), "me:canary-password\n");
    });
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
    let targets = [
        "CONNECT second.example:443",
        "CONNECT sts.example:443",
        "CONNECT examplebucket-1250000000.cos",
        "POST http://collector.example:4318/v1/traces",
    ];
    for _ in 0..600 {
        if targets.iter().all(|target| proxy.heads().iter().any(|head| head.starts_with(target))) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for target in targets {
        let head = proxy.heads().into_iter().find(|head| head.starts_with(target));
        let head = head.unwrap_or_else(|| panic!("{target}: {:?}", proxy.heads())).to_lowercase();
        assert!(head.contains("proxy-authorization: basic bwu6y2fuyxj5lxbhc3n3b3jk"), "{head}");
    }
    assert!(!broker.log().contains("canary-password") && !told.contains("canary-password"));
}

#[tokio::test]
async fn hosts_without_the_proxy_and_hosts_for_plain_http_are_named() {
    let (sts, web) = (CannedSts::start(Answers::Key(1800)), Web::start());
    web.put("/jwks", KEYS);
    let proxy = Proxy::start(&[("keycloak:8080", web.address)]);
    let network = |keys: &str| format!("proxy = \"http://{}\"\n{keys}", proxy.address);
    let setup = with_issuer(&sts, "http://keycloak:8080/jwks");
    let told = checked(&setup, "");
    assert!(told.contains("is not a safe URL") && told.contains("network.plain_http_hosts"), "{told}");
    let named = setup.with_section("network", &network("plain_http_hosts = [\"keycloak\"]"));
    let told = checked(&named, "");
    assert!(told.contains(FETCHED), "{told}");
    assert!(
        told.contains("warning: keys are fetched over plain HTTP from http://keycloak:8080/jwks"),
        "{told}"
    );
    let asked = proxy.heads().len();
    let direct = named.with("plain_http_hosts", "no_proxy = [\"keycloak\"]\nplain_http_hosts");
    let told = checked(&direct, "");
    assert!(!told.contains(FETCHED), "nothing here has that name: {told}");
    assert_eq!(proxy.heads().len(), asked);
}

#[tokio::test]
async fn another_endpoint_of_sts_is_called_where_one_gives_no_answer() {
    let (nearest, next) =
        (CannedSts::start(Answers::Silence(Duration::from_mins(1))), CannedSts::start(Answers::Key(1800)));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for first in [closed, nearest.address] {
        let before = next.calls();
        let broker = Setup::new(next.address)
            .with("endpoint = \"http://STS\"", &format!("endpoint = [\"http://{first}\", \"http://STS\"]"))
            .start();
        for user in ["alice", "bob", "carol"] {
            assert_eq!(broker.get("/v1/credentials", &token(user)).await.status, 200, "{}", broker.log());
        }
        assert_eq!(next.calls() - before, 3);
        broker.says("an endpoint of STS gives no answer");
        let host = next.recorded().last().unwrap().headers.iter().find(|(name, _)| name == "host").cloned();
        assert_eq!(host.unwrap().1, next.address.to_string(), "the signature covers this host");
    }
    assert_eq!(nearest.calls(), 1, "the endpoint that answers is remembered");
    // An answer is an answer: no other endpoint is asked for a better one.
    let refused = json!({"Response": {"Error": {"Code": "AuthFailure.SecretIdNotFound", "Message": "m"}, "RequestId": "r"}});
    nearest.answers(Answers::Body(refused.to_string()));
    let before = next.calls();
    let broker = Setup::new(next.address)
        .with(
            "endpoint = \"http://STS\"",
            &format!("endpoint = [\"http://{}\", \"http://STS\"]", nearest.address),
        )
        .start();
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 503);
    assert_eq!(next.calls(), before);
}
