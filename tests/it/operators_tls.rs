//! TLS of the operators' listener: certificates of clients, renewal, and the commands that call it.

use std::time::{Duration, Instant};

use crate::{
    support::{Answers, Broker, CannedSts, DEADLINE, Setup, cosbroker, write_secret},
    web::Authority,
};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// The promise is a second; a busy machine gets more.
const MAX_RENEWAL: Duration = Duration::from_secs(5);

/// A broker whose operators' listener has a certificate of one authority, and wants clients to have one of another.
struct Operators {
    broker: Broker,
    servers: Authority,
    clients: Authority,
}

fn start(more: &str) -> Operators {
    let (servers, clients) = (Authority::new(), Authority::new());
    let (chain, key) = servers.sign("localhost");
    let lines = format!(
        "token_file = \"policies/token\"\ntls_cert_file = \"policies/chain.pem\"\ntls_key_file = \"policies/key.pem\"\n{more}"
    );
    let mut setup = Setup::new(CannedSts::start(Answers::Key(1800)).address).with_section("admin", &lines);
    for (name, text) in
        [("token", TOKEN.to_owned()), ("chain.pem", chain), ("key.pem", key), ("ca.pem", clients.pem.clone())]
    {
        setup.templates.push((name.to_owned(), text));
    }
    Operators { broker: setup.start(), servers, clients }
}

impl Operators {
    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.broker.operators.port())
    }

    /// A client that knows the listener, and perhaps shows a certificate of an authority.
    fn client(&self, signed_by: Option<&Authority>) -> reqwest::Client {
        self.builder(signed_by).build().unwrap()
    }

    /// As [`Self::client`], with a new connection for each request.
    fn client_without_keep_alive(&self, signed_by: Option<&Authority>) -> reqwest::Client {
        self.builder(signed_by).pool_max_idle_per_host(0).build().unwrap()
    }

    fn builder(&self, signed_by: Option<&Authority>) -> reqwest::ClientBuilder {
        let trusted = reqwest::Certificate::from_pem(self.servers.pem.as_bytes()).unwrap();
        let builder = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]);
        let builder = builder.redirect(reqwest::redirect::Policy::none());
        match signed_by.map(|authority| authority.sign("prometheus")) {
            None => builder,
            Some((chain, key)) => {
                builder.identity(reqwest::Identity::from_pem((key + &chain).as_bytes()).unwrap())
            }
        }
    }

    /// The status of `/metrics`; none if there was no answer.
    async fn status(&self, client: &reqwest::Client) -> Option<u16> {
        let answer = client.get(self.url("/metrics")).bearer_auth(TOKEN).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Runs `cosbroker keys list`, with these arguments and variables.
    fn keys(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut command = cosbroker(self.broker.dir());
        command.args(["keys", "list"]).args(arguments).envs(variables.iter().copied());
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout) + &text(output.stderr))
    }
}

#[tokio::test]
async fn only_a_client_with_a_certificate_of_the_authority_is_answered() {
    let operators = start("client_ca_file = \"policies/ca.pem\"");
    assert_eq!(operators.status(&operators.client(None)).await, None, "without a certificate");
    let stranger = Authority::new();
    assert_eq!(operators.status(&operators.client(Some(&stranger))).await, None, "of another authority");
    let known = operators.client(Some(&operators.clients));
    assert_eq!(operators.status(&known).await, Some(200));
    let without_token = known.get(operators.url("/metrics")).send().await.unwrap();
    assert_eq!(without_token.status(), 401, "the token is needed as well");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_a_mismatched_one_is_not() {
    let operators = start("");
    let dir = operators.broker.dir().to_owned();
    assert_eq!(operators.status(&operators.client(None)).await, Some(200));

    let renewed = Operators { servers: Authority::new(), ..operators };
    let (chain, key) = renewed.servers.sign("localhost");
    renewed.broker.put_template("chain.pem", &chain);
    write_secret(&dir.join("policies/key.pem"), &key);
    let written = Instant::now();
    while renewed.status(&renewed.client(None)).await != Some(200) {
        assert!(written.elapsed() < MAX_RENEWAL.min(DEADLINE), "{}", renewed.broker.log());
    }

    write_secret(&dir.join("policies/key.pem"), &renewed.servers.sign("localhost").1);
    let is_stale = "cosbroker_tls_certificate_stale{listener=\"operators\"} 1\n";
    let written = Instant::now();
    let metrics = loop {
        // On a new connection each time: the present certificate is still shown.
        let request = renewed.client(None).get(renewed.url("/metrics")).bearer_auth(TOKEN);
        let metrics = request.send().await.unwrap().text().await.unwrap();
        if metrics.contains(is_stale) {
            break metrics;
        }
        assert!(written.elapsed() < DEADLINE, "{metrics}");
    };
    renewed.broker.says("the changed TLS files are not used; what was read before stays in use");
    assert!(metrics.contains("cosbroker_tls_certificate_stale{listener=\"public\"} 0\n"));
}

#[tokio::test]
async fn changed_authorities_of_clients_are_used_and_a_file_without_any_is_not() {
    let operators = start("client_ca_file = \"policies/ca.pem\"");
    let before = operators.client(Some(&operators.clients));
    assert_eq!(operators.status(&before).await, Some(200));

    let changed = Operators { clients: Authority::new(), ..operators };
    changed.broker.put_template("ca.pem", &changed.clients.pem);
    let written = Instant::now();
    // On a new connection each time.
    while changed.status(&changed.client(Some(&changed.clients))).await != Some(200) {
        assert!(written.elapsed() < MAX_RENEWAL.min(DEADLINE), "{}", changed.broker.log());
    }
    assert_eq!(changed.status(&before).await, Some(200), "an open connection goes on");

    changed.broker.put_template("ca.pem", "no certificate");
    changed.broker.says("the changed TLS files are not used; what was read before stays in use");
    changed.broker.says("ca.pem holds no certificates in PEM; put that of the authority there");
    assert_eq!(changed.status(&changed.client(Some(&changed.clients))).await, Some(200));
    let metrics = before.get(changed.url("/metrics")).bearer_auth(TOKEN).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("cosbroker_tls_certificate_stale{listener=\"operators\"} 1\n"), "{metrics}");
}

/// A client whose authority is not one any more gets in neither anew nor by resuming the session that it had.
#[tokio::test]
async fn a_client_of_a_removed_authority_cannot_resume_its_session() {
    let operators = start("client_ca_file = \"policies/ca.pem\"");
    let removed = operators.client_without_keep_alive(Some(&operators.clients));
    for connection in ["the first", "the session resumed"] {
        assert_eq!(operators.status(&removed).await, Some(200), "{connection}");
    }
    let changed = Operators { clients: Authority::new(), ..operators };
    changed.broker.put_template("ca.pem", &changed.clients.pem);
    changed.broker.says("new connections use the changed TLS files");
    assert_eq!(changed.status(&removed).await, None);
}

#[tokio::test]
async fn a_browser_sends_its_login_over_tls_only() {
    let operators = start("");
    let login = operators.client(None).post(operators.url("/login"));
    let login =
        login.header("content-type", "application/x-www-form-urlencoded").body(format!("token={TOKEN}"));
    let answer = login.send().await.unwrap();
    let cookies: Vec<_> = answer
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|cookie| cookie.to_str().unwrap().to_owned())
        .collect();
    assert!(cookies.iter().any(|cookie| cookie.contains("; Secure")), "{} {cookies:?}", answer.status());
}

#[test]
fn commands_reach_the_listener_by_options_and_by_the_environment() {
    let operators = start("client_ca_file = \"policies/ca.pem\"");
    let (chain, key) = operators.clients.sign("me");
    let dir = operators.broker.dir();
    std::fs::write(dir.join("servers.pem"), &operators.servers.pem).unwrap();
    std::fs::write(dir.join("me.pem"), chain).unwrap();
    write_secret(&dir.join("me-key.pem"), &key);
    let url = operators.url("");
    let with_certificate =
        ["--ca-file", "servers.pem", "--client-cert", "me.pem", "--client-key", "me-key.pem"];
    let environment = [("COSBROKER_URL", url.as_str()), ("COSBROKER_TOKEN", TOKEN)];

    let (code, said) = operators.keys(&with_certificate, &environment);
    assert_eq!((code, said.contains("no active key")), (Some(0), true), "{said}");
    let by_config = [&with_certificate[..], &["--config", "config.toml", "--operators", &url]].concat();
    let (code, said) = operators.keys(&by_config, &[]);
    assert_eq!((code, said.contains("no active key")), (Some(0), true), "{said}");

    let (code, said) = operators.keys(&with_certificate[..2], &environment);
    assert_eq!((code, said.contains("give --client-cert and --client-key")), (Some(1), true), "{said}");
    let (code, said) = operators.keys(&with_certificate[2..], &environment);
    assert_eq!((code, said.contains("give --ca-file")), (Some(1), true), "{said}");
    let (code, said) = operators.keys(&with_certificate, &environment[..1]);
    assert_eq!((code, said.contains("set COSBROKER_TOKEN")), (Some(1), true), "{said}");
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_once_at_its_own_line() {
    let operators = start("");
    let dir = operators.broker.dir();
    write_secret(&dir.join("policies/key.pem"), &Authority::new().sign("localhost").1);
    for command in ["check", "serve"] {
        let output = cosbroker(dir).arg(command).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.matches("cannot be used").count(), 1, "{said}");
        let line = std::fs::read_to_string(dir.join("config.toml")).unwrap();
        let line = line.lines().position(|line| line.starts_with("tls_key_file")).unwrap() + 1;
        assert!(said.contains(&format!("config.toml:{line}:")), "{said}");
    }
}
