//! Key sets as issuers publish them, and as they go wrong.

use std::io::Write;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD},
};
use flate2::{Compression, write::GzEncoder};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};

use crate::{
    support::{Answer, Answers, Broker, CannedSts, Setup, cosbroker},
    web::Web,
};

/// An issuer's key pair.
struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    certificate: Option<Vec<u8>>,
}

impl Signer {
    fn ec() -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["id.test".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&pair).unwrap();
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { key, algorithm: Algorithm::ES256, certificate: Some(certificate.der().to_vec()) }
    }

    fn rsa() -> Self {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
        Self { key, algorithm: Algorithm::RS256, certificate: None }
    }

    fn jwk(&self, kid: &str) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap();
        jwk["kid"] = json!(kid);
        jwk.as_object_mut().unwrap().remove("alg");
        jwk
    }

    fn token(&self, kid: &str) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(kid.to_owned());
        let claims =
            json!({"iss": "https://id.test/", "aud": "app", "sub": "alice", "exp": 4_000_000_000_i64});
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }
}

fn with(mut jwk: Value, name: &str, value: impl Into<Value>) -> Value {
    jwk[name] = value.into();
    jwk
}

fn set(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

/// A setup whose issuer publishes its keys as `source` says.
fn setup(sts: &CannedSts, source: &str) -> Setup {
    Setup::new(sts.address)
        .with("[\"HS256\"]", "[\"ES256\", \"RS256\"]")
        .with("secret_env = \"JWT_SECRET\"", source)
}

fn from_url(sts: &CannedSts, url: &str) -> Setup {
    setup(sts, &format!("jwks_url = \"{url}\""))
}

async fn status(broker: &Broker, token: &str) -> u16 {
    broker.get("/v1/credentials", token).await.status
}

#[tokio::test]
async fn a_key_set_serves_as_issuers_write_it() {
    let (sts, web) = (CannedSts::start(Answers::Key(1800)), Web::start());
    let (ec, rsa, other) = (Signer::ec(), Signer::rsa(), Signer::ec());
    let modulus = URL_SAFE_NO_PAD.decode(rsa.jwk("k")["n"].as_str().unwrap()).unwrap();
    let certificate = STANDARD.encode(ec.certificate.as_ref().unwrap());
    let hundred: Vec<Value> = (0..100).map(|number| ec.jwk(&format!("k{number}"))).collect();
    let twice = format!(r#"{{"keys":[{{"kty":"EC","kty":"EC"}},{}]}}"#, ec.jwk("k"));
    for (name, body, signer) in [
        ("the same key twice", set(&[ec.jwk("k"), ec.jwk("k")]), &ec),
        (
            "one kid with two algorithms",
            set(&[with(rsa.jwk("k"), "alg", "RS512"), with(rsa.jwk("k"), "alg", "RS256")]),
            &rsa,
        ),
        ("two keys under one kid", set(&[other.jwk("k"), ec.jwk("k")]), &ec),
        ("padding", set(&[with(rsa.jwk("k"), "n", URL_SAFE.encode(&modulus))]), &rsa),
        ("plain base64", set(&[with(rsa.jwk("k"), "n", STANDARD.encode(&modulus))]), &rsa),
        (
            "leading zeros",
            set(&[with(rsa.jwk("k"), "n", URL_SAFE_NO_PAD.encode([vec![0], modulus].concat()))]),
            &rsa,
        ),
        ("a certificate only", set(&[json!({"kty": "EC", "kid": "k", "x5c": [certificate]})]), &ec),
        ("a byte order mark", format!("\u{feff}{}", set(&[ec.jwk("k")])), &ec),
        ("an RSA key of 1024 bits beside it", set(&[rsa_1024("old"), ec.jwk("k")]), &ec),
        ("a member twice in another key", twice, &ec),
    ] {
        web.put("/jwks", body);
        let broker = from_url(&sts, &web.url("/jwks")).start();
        assert_eq!(status(&broker, &signer.token("k")).await, 200, "{name}: {}", broker.log());
    }
    web.put("/jwks", set(&hundred));
    let broker = from_url(&sts, &web.url("/jwks")).start();
    assert_eq!(status(&broker, &ec.token("k99")).await, 200, "a hundred keys: {}", broker.log());
    assert!(web.requests().iter().all(|head| head.contains("user-agent: cosbroker/")));
}

fn rsa_1024(kid: &str) -> Value {
    json!({"kty": "RSA", "kid": kid, "n": URL_SAFE_NO_PAD.encode([0xC3; 128]), "e": "AQAB"})
}

#[tokio::test]
async fn a_key_set_is_read_compressed_whether_that_was_asked_for_or_not() {
    let (sts, web, ec) = (CannedSts::start(Answers::Key(1800)), Web::start(), Signer::ec());
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(set(&[ec.jwk("k")]).as_bytes()).unwrap();
    web.put_with("/jwks", "200 OK\r\ncontent-encoding: gzip", gzip.finish().unwrap());
    let broker = from_url(&sts, &web.url("/jwks")).start();
    assert_eq!(status(&broker, &ec.token("k")).await, 200, "{}", broker.log());

    // 4 MiB of spaces in a few kilobytes.
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![b' '; 4 << 20]).unwrap();
    web.put_with("/jwks", "200 OK\r\ncontent-encoding: gzip", bomb.finish().unwrap());
    let broker = from_url(&sts, &web.url("/jwks")).start();
    assert_eq!(status(&broker, &ec.token("k")).await, 503);
    broker.says("is larger than 1048576 bytes");
}

/// The output of `check --online`, which must fail.
fn checked(setup: &Setup) -> String {
    let dir = setup.write();
    let output =
        cosbroker(dir.path()).args(["check", "--online", "--config", "config.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn what_is_no_key_set_is_named_precisely() {
    let (sts, web, ec) = (CannedSts::start(Answers::Key(1800)), Web::start(), Signer::ec());
    let discovery = r#"{"issuer":"https://id.test/","jwks_uri":"https://id.test/keys"}"#;
    for (head, body, message) in [
        ("200 OK", discovery, "is a discovery document: use its jwks_uri `https://id.test/keys` as jwks_url"),
        ("200 OK", "<!doctype html><title>Sign in</title>", "is an HTML or XML page"),
        (
            "301 Moved Permanently\r\nlocation: https://login.example.net/keys",
            "",
            "a redirect to `https://login.example.net/keys`",
        ),
        ("404 Not Found", "", "answered 404 Not Found"),
        ("200 OK", &set(&[rsa_1024("old")]), "key `old`: the RSA key has 1024 bits"),
    ] {
        web.put_with("/jwks", head, body);
        let setup = from_url(&sts, &web.url("/jwks"));
        let told = checked(&setup);
        assert!(told.contains(message) && told.contains("issuer `https://id.test/`"), "{told}");
        let broker = setup.start();
        assert_eq!(status(&broker, &ec.token("k")).await, 503, "{message}");
        broker.says(&message.replace('"', "\\\""));
        let status = broker.operators_get("/api/status").await.json();
        let failure = status["issuers"][0]["key_set"]["last_failure"].as_str().unwrap();
        assert!(failure.contains(message), "{failure}");
    }
}

#[tokio::test]
async fn each_dropped_key_is_told_in_check_log_status_and_metrics() {
    let (sts, ec) = (CannedSts::start(Answers::Key(1800)), Signer::ec());
    let encryption = with(Signer::ec().jwk("for-encryption"), "use", "enc");
    let keys = set(&[rsa_1024("old"), encryption, ec.jwk("k")]);
    let setup = setup(&sts, "jwks_file = \"jwks.json\"");
    let dir = setup.write();
    std::fs::write(dir.path().join("jwks.json"), &keys).unwrap();
    let output = cosbroker(dir.path()).args(["check", "--config", "config.toml"]).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        told.contains("warning: issuer `https://id.test/`: key `old`: the RSA key has 1024 bits"),
        "{told}"
    );
    assert!(
        told.contains("note: issuer `https://id.test/`: key `for-encryption`: it is for encryption"),
        "{told}"
    );

    let broker = setup.start_with(|dir| std::fs::write(dir.join("jwks.json"), &keys).unwrap());
    assert_eq!(status(&broker, &ec.token("k")).await, 200);
    broker.says("a key of the key set is not used");
    let key_set = broker.operators_get("/api/status").await.json()["issuers"][0]["key_set"].clone();
    assert_eq!(key_set["dropped_keys"][0]["kid"], "old");
    assert_eq!(key_set["dropped_keys"][1]["reason"], "it is for encryption (`use enc`)");
    assert_eq!(broker.figure(&["cosbroker_key_set_dropped_keys"]).await, 2);
    let page = broker.operators_get("/").await.body;
    assert!(page.contains("for-encryption") && page.contains("the RSA key has 1024 bits"));
}

#[tokio::test]
async fn an_unknown_key_is_looked_up_or_answered_with_retry_after() {
    let (sts, web) = (CannedSts::start(Answers::Key(1800)), Web::start());
    let (old, new) = (Signer::ec(), Signer::ec());
    web.put("/jwks", set(&[old.jwk("1")]));
    let broker = from_url(&sts, &web.url("/jwks")).start();
    assert_eq!(status(&broker, &old.token("1")).await, 200);
    // Another server answers for a while with the old set: two fetches find nothing.
    web.put("/jwks", set(&[old.jwk("1")]));
    let mut answers = Vec::new();
    for kid in 2..6 {
        answers.push(broker.get("/v1/credentials", &new.token(&kid.to_string())).await);
    }
    let waiting: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(waiting.len() >= 3, "all but one came after the last fetch");
    for answer in waiting {
        let seconds: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=30).contains(&seconds), "{seconds}");
        assert_eq!(answer.json()["type"], "urn:cosbroker:problem:token-key-unknown");
        assert!(!answer.headers.contains_key("www-authenticate"), "nothing makes an SDK sign the user out");
    }
    assert_eq!(status(&broker, &old.token("1")).await, 200);
    assert!(web.requests().len() <= 2, "{:?}", web.requests());
}

#[tokio::test]
async fn the_issuer_alone_is_enough_where_it_has_a_discovery_document() {
    let (sts, web, ec) = (CannedSts::start(Answers::Key(1800)), Web::start(), Signer::ec());
    web.put("/keys", set(&[ec.jwk("k")]));
    let document = |issuer: &str| json!({"issuer": issuer, "jwks_uri": web.url("/keys")}).to_string();
    let tenant = web.url("/tenant");
    for path in ["/tenant/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/tenant"]
    {
        let alone = Setup::new(sts.address)
            .with("algorithms = [\"HS256\"]\n", "")
            .with("secret_env = \"JWT_SECRET\"\n", "")
            .with("https://id.test/", &tenant);
        assert!(checked(&alone).contains("the discovery document"), "{}", checked(&alone));
        let broker = alone.start();
        assert_eq!(Answer::of(broker.http.get(broker.url("/readyz"))).await.status, 503);
        web.put(path, document(&tenant));
        // The first attempt failed at the start; the next may follow a second later.
        let mut ready = 503;
        for _ in 0..600 {
            ready = Answer::of(broker.http.get(broker.url("/readyz"))).await.status;
            if ready == 200 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(ready, 200, "{path}: {}", broker.log());
        web.put_with(path, "404 Not Found", "");
    }
    let internal = setup(&sts, &format!("discovery_url = \"{}\"", web.url("/internal")));
    web.put("/internal", document("https://id.test/"));
    assert_eq!(status(&internal.start(), &ec.token("k")).await, 200);
    web.put("/internal", document("https://evil.test/"));
    let told = checked(&setup(&sts, &format!("discovery_url = \"{}\"", web.url("/internal"))));
    assert!(
        told.contains("is the discovery document of `https://evil.test/`, not of `https://id.test/`"),
        "{told}"
    );
}
