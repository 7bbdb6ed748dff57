//! The sandbox's token issuer and the broker that trusts it: every signature, and keys that change.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use cosbroker::{
    app::App,
    clock::{Clock, SystemClock},
    config::{Config, Environment},
    entropy::SystemEntropy,
    sandbox::{Signature, TokenIssuer, Wanted},
};
use serde_json::{Map, Value};

use crate::support::{Answer, SECRET_ID, SECRET_KEY, Setup, cloud, cosbroker, repository};

/// A running `cosbroker sandbox`, ended with the test.
struct Sandbox {
    child: Child,
    broker: String,
    cloud: String,
    http: reqwest::Client,
}

impl Sandbox {
    fn start() -> Self {
        let ports = ["--listen", "--admin-listen", "--cloud-listen"].map(|name| [name, "127.0.0.1:0"]);
        let mut child = cosbroker(&repository(""))
            .arg("sandbox")
            .args(ports.concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let printed: Vec<String> = printed.take_while(|line| !line.contains("Ctrl-C")).collect();
        let address = |name: &str| {
            let line = printed.iter().find_map(|line| line.trim().strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().to_owned()
        };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { broker: address("broker"), cloud: address("cloud"), child, http }
    }

    async fn token(&self, query: &str) -> String {
        let answer = Answer::of(self.http.get(format!("{}/token?sub=alice&{query}", self.cloud))).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        answer.body
    }

    /// The status of an ask for a key.
    async fn key(&self, token: &str) -> u16 {
        Answer::of(self.http.get(format!("{}/v1/credentials", self.broker)).bearer_auth(token)).await.status
    }

    async fn rotate(&self, query: &str) -> Value {
        Answer::of(self.http.post(format!("{}/rotate{query}", self.cloud))).await.json()
    }

    async fn kids(&self) -> Vec<Value> {
        let set = Answer::of(self.http.get(format!("{}/jwks.json", self.cloud))).await.json();
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ALGORITHMS: [&str; 3] = ["alg=ES256", "alg=RS256", "alg=EdDSA"];

#[tokio::test]
async fn a_token_of_each_signature_gets_a_key_and_goes_on_getting_it_after_a_rotation() {
    let sandbox = Sandbox::start();
    let mut before = Vec::new();
    for alg in ALGORITHMS {
        before.push(sandbox.token(alg).await);
        before.push(sandbox.token(&format!("{alg}&lifetime=5m")).await);
    }
    for token in before.iter().step_by(2) {
        assert_eq!(sandbox.key(token).await, 200);
    }
    let said = sandbox.rotate("").await;
    assert_eq!(said["signing"], serde_json::json!(["sandbox-es256-2", "sandbox-rs256-2", "sandbox-eddsa-2"]));
    assert_eq!(said["kids"].as_array(), Some(&sandbox.kids().await));
    for alg in ALGORITHMS {
        let token = sandbox.token(alg).await;
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert!(header.kid.unwrap().ends_with("-2"));
        assert_eq!(sandbox.key(&token).await, 200, "{alg} after the rotation");
    }
    for token in &before {
        assert_eq!(sandbox.key(token).await, 200, "seen before or not, a token outlives a rotation");
    }
    let said = sandbox.rotate("?forget=true").await;
    let kids = sandbox.kids().await;
    assert_eq!(said["kids"].as_array(), Some(&kids));
    assert!(
        !kids.iter().any(|kid| ["-1", "-2", "-3"].iter().any(|old| kid.as_str().unwrap().ends_with(old)))
    );
}

#[tokio::test]
async fn a_token_that_is_over_or_meant_for_others_is_had_for_the_asking_and_refused() {
    let sandbox = Sandbox::start();
    assert_eq!(sandbox.key(&sandbox.token("lifetime=1m").await).await, 200);
    for query in [
        "lifetime=-1m",
        r#"claims={"aud":"another-app"}"#,
        r#"claims={"iss":"https://elsewhere.test/"}"#,
        r#"claims={"nbf":9999999999}"#,
        r#"claims={"exp":1}&lifetime=1h"#,
    ] {
        assert_eq!(sandbox.key(&sandbox.token(query).await).await, 401, "{query}");
    }
    let discovery = format!("{}/.well-known/openid-configuration", sandbox.cloud);
    let discovery = Answer::of(sandbox.http.get(discovery)).await.json();
    assert_eq!(discovery["issuer"], format!("{}/", sandbox.cloud));
    let keys = Answer::of(sandbox.http.get(discovery["jwks_uri"].as_str().unwrap())).await.json();
    assert!(keys["keys"].as_array().unwrap().iter().all(|key| key["use"] == "sig" && key["alg"].is_string()));
}

/// A clock that a test sets ahead.
#[derive(Debug)]
struct AheadClock {
    real: SystemClock,
    seconds: AtomicU64,
}

impl AheadClock {
    fn ahead(&self) -> Duration {
        Duration::from_secs(self.seconds.load(Ordering::SeqCst))
    }
}

impl Clock for AheadClock {
    fn now(&self) -> jiff::Timestamp {
        self.real.now() + self.ahead()
    }

    fn monotonic(&self) -> Duration {
        self.real.monotonic() + self.ahead()
    }
}

/// A broker and its cloud in this process, both by this clock, for as long as the process lives.
fn broker_of(clock: &Arc<AheadClock>) -> (SocketAddr, Arc<TokenIssuer>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let cloud_at = listener.local_addr().unwrap();
    let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
    let cloud = cloud("https://id.test/", &clock);
    let issuer = Arc::clone(&cloud.issuer);
    let (found, serving) = mpsc::channel();
    std::thread::spawn(move || {
        let dir = Setup::new(cloud_at)
            .with("secret_env = \"JWT_SECRET\"", "jwks_url = \"http://STS/jwks.json\"")
            .with("HS256", "ES256")
            .write();
        let environment = |name: &str| match name {
            "SECRET_ID" => Some(SECRET_ID.to_owned()),
            "SECRET_KEY" => Some(SECRET_KEY.to_owned()),
            _ => None,
        };
        let config = Config::load(&dir.path().join("config.toml"), &Environment(&environment)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let app = App::build(config, clock, Arc::new(SystemEntropy)).unwrap();
            found.send(app.public_address()).unwrap();
            tokio::spawn(cosbroker::sandbox::serve(cloud, listener, &SystemEntropy).unwrap());
            app.run(std::future::pending()).await.unwrap();
        });
    });
    (serving.recv_timeout(Duration::from_secs(30)).unwrap(), issuer)
}

/// What `identity/jwks.rs` promises: another look at the set when a token names a key that is not in it, and
/// no more than one look in half a minute.
#[tokio::test]
async fn tokens_of_forgotten_keys_are_refused_once_the_broker_has_looked_again() {
    let clock = Arc::new(AheadClock { real: SystemClock::start(), seconds: AtomicU64::new(0) });
    let (broker, issuer) = broker_of(&clock);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let key = async |token: &str| {
        Answer::of(http.get(format!("http://{broker}/v1/credentials")).bearer_auth(token)).await.status
    };
    let token = |subject: &str| issuer.token(subject, Map::new()).unwrap();
    let (seen, unseen) = (token("alice"), token("alice2"));
    assert_eq!(key(&seen).await, 200);
    issuer.rotate(true).unwrap();
    let new = token("alice");
    assert_eq!(key(&new).await, 401, "the broker has just looked");
    assert_eq!(key(&seen).await, 200, "and goes by what it saw");
    clock.seconds.store(31, Ordering::SeqCst);
    assert_eq!(key(&new).await, 200, "an unknown key is looked up");
    assert_eq!(key(&seen).await, 401, "and what is gone is no longer trusted");
    assert_eq!(key(&unseen).await, 401);
    issuer.rotate(false).unwrap();
    issuer.rotate(false).unwrap();
    clock.seconds.store(62, Ordering::SeqCst);
    let twice = issuer.sign(Wanted { signature: Signature::Es256, ..Wanted::of("alice") }).unwrap();
    assert_eq!(key(&twice).await, 200, "a key that was made after the last look");
    assert_eq!(key(&new).await, 401, "two rotations ago");
}
