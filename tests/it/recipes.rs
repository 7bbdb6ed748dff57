//! The recipes of docs/start/logins.md: each is written by `cosbroker init`, and gets a key for a token of the shape
//! that its login has.

use std::{path::Path, sync::LazyLock};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Map, Value, json};

use crate::support::{Answer, Broker, Setup, cosbroker, emulator, repository, write_secret};
use runtime::clock::{Clock, SystemClock};

/// A secret in hexadecimal, which is base64 too.
const SECRET: &str = "6d5f1c0b3a29e8d7c6b5a49382716f5e0d1c2b3a495867f6e5d4c3b2a1908f7e";

/// An RSA key, which takes a while to make.
static RSA: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

struct Shape {
    login: String,
    header: Value,
    claims: Map<String, Value>,
    /// Claims of a token of the same login that must not get a key.
    refused_with: Option<Map<String, Value>>,
}

fn shapes() -> Vec<Shape> {
    let text = std::fs::read_to_string(repository("tests/it/login_tokens.json")).unwrap();
    let shapes: Map<String, Value> = serde_json::from_str(&text).unwrap();
    shapes
        .into_iter()
        .map(|(login, shape)| Shape {
            login,
            header: shape["header"].clone(),
            claims: shape["claims"].as_object().unwrap().clone(),
            refused_with: shape["refused_with"].as_object().cloned(),
        })
        .collect()
}

/// The key that signs an algorithm, and its published half.
fn key(algorithm: Algorithm, secret: &[u8]) -> (EncodingKey, Option<Jwk>) {
    let private = match algorithm {
        Algorithm::RS256 => {
            let der: Pkcs8V1Der<'_> = RSA.as_der().unwrap();
            EncodingKey::from_rsa_pem(pem("PRIVATE KEY", der.as_ref()).as_bytes()).unwrap()
        }
        Algorithm::ES256 | Algorithm::ES384 => {
            let curve = match algorithm {
                Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
                _ => &ECDSA_P384_SHA384_FIXED_SIGNING,
            };
            let der = EcdsaKeyPair::generate_pkcs8(curve, &SystemRandom::new()).unwrap();
            EncodingKey::from_ec_der(der.as_ref())
        }
        _ => return (EncodingKey::from_secret(secret), None),
    };
    let mut public = Jwk::from_encoding_key(&private, algorithm).unwrap();
    public.common.key_id = Some("K".to_owned());
    (private, Some(public))
}

fn pem(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(der))
}

impl Shape {
    fn algorithm(&self) -> Algorithm {
        self.header["alg"].as_str().unwrap().parse().unwrap()
    }

    fn token(&self, key: &EncodingKey, changes: &Map<String, Value>) -> String {
        let now = SystemClock::start().now().as_second();
        let mut claims = self.claims.clone();
        claims.insert("iat".to_owned(), json!(now));
        claims.insert("exp".to_owned(), json!(now + 3600));
        if self.login == "laravel-passport" {
            // The league's server writes times with microseconds.
            claims.insert("exp".to_owned(), Value::from(3600.25 + f64::from(u32::try_from(now).unwrap())));
        }
        claims.extend(changes.clone());
        let mut header = Header::new(self.algorithm());
        header.kid = self.header["kid"].as_str().map(str::to_owned);
        header.typ = self.header["typ"].as_str().map(str::to_owned);
        jsonwebtoken::encode(&header, &claims, key).unwrap()
    }
}

/// Writes what `cosbroker init` writes for a login, and changes only what a test cannot have: the network.
fn initialised(login: &str, key_set: Option<&Jwk>) -> Broker {
    let dir = tempfile::tempdir().unwrap();
    let output = cosbroker(dir.path()).args(["init", "--login", login, "--dir", "written"]).output().unwrap();
    assert!(output.status.success(), "{login}: {}", String::from_utf8_lossy(&output.stderr));
    let written = dir.path().join("written");
    let mut setup = Setup::new(emulator().0);
    setup.config = local_configuration(&read(&written.join("config.toml")));
    setup.templates = vec![("upload.toml".to_owned(), read(&written.join("policies/upload.toml")))];
    setup.start_with(|dir| {
        write_secret(&dir.join("login.secret"), SECRET);
        if let Some(jwk) = key_set {
            std::fs::write(dir.join("jwks.json"), json!({ "keys": [jwk] }).to_string()).unwrap();
            let der: PublicKeyX509Der<'_> = RSA.public_key().as_der().unwrap();
            std::fs::write(dir.join("oauth-public.key"), pem("PUBLIC KEY", der.as_ref())).unwrap();
        }
    })
}

fn local_configuration(written: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let has_key =
        ["secret_env", "public_key_file"].iter().any(|key| written.contains(&format!("\n{key} = ")));
    for line in written.lines().filter(|line| !line.starts_with("jwks_url")) {
        let is_secret = line.starts_with("secret_env = ");
        lines.push(if is_secret { "secret_file = \"login.secret\"".to_owned() } else { line.to_owned() });
        if line.starts_with("algorithms") && !has_key {
            lines.push("jwks_file = \"jwks.json\"".to_owned());
        }
    }
    lines
        .join("\n")
        .replace("TENCENTCLOUD_SECRET_ID", "SECRET_ID")
        .replace("TENCENTCLOUD_SECRET_KEY", "SECRET_KEY")
        + "\nendpoint = \"http://STS\"\n[server]\nlisten = \"127.0.0.1:0\"\ndrain_delay = \"0s\"\n[admin]\nlisten = \"127.0.0.1:0\"\n"
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The secret as the issuer of a login has it.
fn secret_of(login: &str) -> Vec<u8> {
    if login == "ruoyi" { STANDARD.decode(SECRET).unwrap() } else { SECRET.as_bytes().to_vec() }
}

#[tokio::test]
async fn each_login_gets_a_key_by_its_recipe() {
    let shapes = shapes();
    let files = std::fs::read_dir(repository("logins")).unwrap().count();
    assert_eq!(shapes.len(), files, "each recipe has a token of its login's shape");
    for shape in shapes {
        let login = &shape.login;
        let (private, public) = key(shape.algorithm(), &secret_of(login));
        let broker = initialised(login, public.as_ref());
        let ask =
            |token: String| Answer::of(broker.http.get(broker.url("/v1/credentials")).bearer_auth(token));
        let answer = ask(shape.token(&private, &Map::new())).await;
        assert_eq!(answer.status, 200, "{login}: {}\n{}", answer.body, broker.log());
        if let Some(changes) = &shape.refused_with {
            let status = ask(shape.token(&private, changes)).await.status;
            assert!([401, 403].contains(&status), "{login} with {changes:?}: {status}");
        }
    }
}

#[test]
fn the_next_steps_after_init_name_what_is_to_be_corrected_and_end_with_a_request() {
    let next_steps = |arguments: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let output = cosbroker(dir.path()).args(["init", "--login"]).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for (arguments, step) in [
        (&["auth0"][..], "1. correct issuer and audience in config.toml"),
        (&["ruoyi"], "1. correct the issuer in config.toml"),
        (&["auth0", "--issuer", "https://id.test/"], "1. correct the audience in config.toml"),
        (&["ruoyi", "--issuer", "https://id.test/"], "1. write your bucket"),
    ] {
        let steps = next_steps(arguments);
        assert!(steps.contains(step), "{arguments:?}: {steps}");
        assert!(steps.trim_end().ends_with("http://127.0.0.1:5000/v1/credentials"), "{steps}");
    }
}
