//! `cosbroker sandbox`: a whole cloud on this machine, for a newcomer with nothing but this binary.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;

use super::log::{LogFormat, start_log};
use crate::{
    app::{App, Listener, StartError, listen_help},
    config::{Config, Environment},
};
use cloud_emulator::{Account, Cloud, Demo, EmulatorConfig, MovableClock, SessionKey, Storage, TokenIssuer};
use diagnostics::Source;
use runtime::{
    clock::{Clock, SystemClock},
    entropy::{Entropy, SystemEntropy},
};

/// Try everything on this machine: the broker, and a cloud (token issuer, STS, COS) on loopback.
///
/// Needs no configuration, no cloud account and no network. Prints a token and a `curl` to paste, and has a
/// page for a browser.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker sandbox\n  cosbroker sandbox --templates policies --data objects --allow-origin http://127.0.0.1:8080"
)]
pub(super) struct Options {
    /// Where the broker listens: a loopback address in numbers, and a port (0 takes any free one).
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000", value_parser = address)]
    listen: SocketAddr,
    /// Where the operators' listener stands.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5001", value_parser = address)]
    admin_listen: SocketAddr,
    /// Where the cloud (token issuer, STS, COS, demo page) listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5002", value_parser = address)]
    cloud_listen: SocketAddr,
    /// A folder of templates; the built-in ones without. The default template is `upload`.
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
    /// A folder that keeps the objects, empty or a sandbox's before; without it they are in memory, 512 MiB at
    /// most, and end with the sandbox.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The file of Tencent's SDK for browsers, which the demo page uploads with.
    #[arg(long, value_name = "FILE", default_value = "node_modules/cos-js-sdk-v5/dist/cos-js-sdk-v5.min.js")]
    js_sdk: PathBuf,
    /// Where a web page of yours is served from, such as `http://127.0.0.1:8080`; it may then ask the broker
    /// for keys, as the demo page may. Can be given several times.
    #[arg(long, value_name = "URL", value_parser = origin)]
    allow_origin: Vec<String>,
    /// Run the isolation canary, as `[canary]` does.
    #[arg(long)]
    canary: bool,
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write a numeric address and a port, like 127.0.0.1:5000")
}

fn origin(text: &str) -> Result<String, &'static str> {
    let exact = url::Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == text);
    exact
        .then(|| text.to_owned())
        .ok_or("an origin is scheme, host and port: http://127.0.0.1:8080, without a path or `/`")
}

/// What objects in memory may take.
const MEMORY: u64 = 512 << 20;
/// Where buckets are whose address does not say; the shipped templates' region.
const REGION: &str = "ap-guangzhou";

/// The template that serves where none is named.
const DEFAULT_FILE: &str = "upload.toml";

/// The templates that a newcomer starts with.
const TEMPLATES: [(&str, &str); 5] = [
    (DEFAULT_FILE, include_str!("../../policies/upload.toml")),
    ("avatar.toml", include_str!("../../policies/avatar.toml")),
    ("team.toml", include_str!("../../policies/team.toml")),
    ("downloads.toml", include_str!("../../policies/downloads.toml")),
    ("files.toml", include_str!("../../policies/files.toml")),
];
const AUDIENCE: &str = "sandbox";

impl Options {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        start_log(LogFormat::Human);
        self.stands_up()?;
        let movable = Arc::new(MovableClock::new(Arc::new(SystemClock::start())));
        let clock: Arc<dyn Clock> = Arc::clone(&movable) as Arc<dyn Clock>;
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let cloud_listener = TcpListener::bind(self.cloud_listen)
            .map_err(|error| cannot_listen("--cloud-listen", self.cloud_listen, &error))?;
        let cloud_at = cloud_listener.local_addr()?;
        let issuer = format!("http://{cloud_at}/");
        let account = Account { secret_id: format!("AKID{}", entropy.name()), secret_key: entropy.name() };
        let mut seal = [0; 32];
        seal.iter_mut()
            .zip(entropy.bytes().into_iter().chain(entropy.bytes()))
            .for_each(|(to, from)| *to = from);
        let storage = match &self.data {
            None => Storage::in_memory(MEMORY),
            Some(dir) => Storage::in_folder(dir).map_err(|error| {
                anyhow::anyhow!("--data {}: objects cannot be kept there: {error}", dir.display())
            })?,
        };
        let plan = EmulatorConfig {
            issuer: (&issuer, AUDIENCE),
            account: account.clone(),
            sessions: SessionKey::new(seal),
            storage,
            region: REGION,
        };
        let cloud = Cloud::new(plan, &movable, &entropy)?;
        let token = cloud.issuer.token("alice", serde_json::Map::new())?;
        // The folder goes when the sandbox ends.
        let (templates, _built_in) = if let Some(dir) = &self.templates {
            (std::path::absolute(dir)?, None)
        } else {
            let dir = built_in()?;
            (dir.path().to_owned(), Some(dir))
        };
        let config = self.config(&issuer, cloud_at, &templates, &account)?;
        let shutdown = super::shutdown_on_signal()?;
        let app = App::build(config, clock, entropy, shutdown).map_err(with_option_name)?;
        let demo = Demo {
            broker: format!("http://{}", app.public_address()),
            templates: Box::new(app.template_names()),
            js_sdk: std::path::absolute(&self.js_sdk)?,
        };
        let cloud = cloud.with(demo).serve(cloud_listener)?;
        let cloud_handle = cloud.handle();
        let cloud = tokio::spawn(cloud);
        super::print(&welcome(&app, cloud_at, &account, &templates, &token))?;
        app.run().await?;
        cloud_handle.stop(true).await;
        cloud.await??;
        Ok(())
    }

    /// What the configuration made of these options would be told of, in the options' own names.
    fn stands_up(&self) -> anyhow::Result<()> {
        let listeners = [
            ("--listen", self.listen),
            ("--admin-listen", self.admin_listen),
            ("--cloud-listen", self.cloud_listen),
        ];
        for (at, (option, address)) in listeners.iter().enumerate() {
            anyhow::ensure!(
                address.ip().is_loopback(),
                "the sandbox signs tokens for anybody, so it listens on loopback only, not on {address}; write {option} 127.0.0.1:{}",
                address.port()
            );
            let same =
                listeners.iter().skip(at + 1).find(|(_, other)| other == address && address.port() != 0);
            if let Some((other, _)) = same {
                anyhow::bail!("{option} and {other} are both {address}; give each a port of its own");
            }
        }
        if let Some(dir) = self.templates.as_deref().filter(|dir| dir.is_dir()) {
            anyhow::ensure!(
                dir.join(DEFAULT_FILE).exists(),
                "--templates {}: holds no {DEFAULT_FILE}; the sandbox's default is `upload`: call one {DEFAULT_FILE}",
                dir.display()
            );
        }
        if let Some(file) = self.data.as_deref().filter(|data| data.is_file()) {
            anyhow::bail!("--data {}: is a file; give a folder", file.display());
        }
        Ok(())
    }

    /// The sandbox's configuration goes the same way as anybody's.
    fn config(
        &self,
        issuer: &str,
        cloud: SocketAddr,
        templates: &Path,
        account: &Account,
    ) -> anyhow::Result<Config> {
        let text = format!(
            r#"
            [server]
            listen = "{listen}"
            cors_origins = {origins}
            [admin]
            listen = "{admin}"
            [[issuer]]
            issuer = "{issuer}"
            audience = ["{AUDIENCE}"]
            algorithms = {algorithms}
            jwks_url = "{issuer}jwks.json"
            trusted_claims = ["team", "tenant", "org"]
            [templates]
            dir = {templates}
            default = "upload"
            [sts]
            region = "{REGION}"
            endpoint = "{issuer}"
            secret_id_env = "SECRET_ID"
            secret_key_env = "SECRET_KEY"
            calls_per_second = 600
            [limits]
            per_user = "off"
            {canary}
            "#,
            listen = self.listen,
            // The key set says which signature each key verifies, and no key is an HMAC secret.
            algorithms = toml::Value::from(TokenIssuer::ALGORITHMS.map(|one| format!("{one:?}")).to_vec()),
            admin = self.admin_listen,
            canary = if self.canary { format!("[canary]\nendpoint = \"{issuer}\"") } else { String::new() },
            origins = toml::Value::from(self.origins(cloud)?),
            templates = toml::Value::from(templates.display().to_string()),
        );
        let environment = |name: &str| match name {
            "SECRET_ID" => Some(account.secret_id.clone()),
            "SECRET_KEY" => Some(account.secret_key.clone()),
            _ => None,
        };
        let source = Source::new("sandbox.toml", text);
        Ok(Config::parse_sandbox(&source, &Environment(&environment)).map_err(StartError::Problems)?)
    }

    /// Whose pages may ask the broker: the demo page, by either name of this machine, and the developer's own.
    fn origins(&self, cloud: SocketAddr) -> anyhow::Result<Vec<String>> {
        let own = [cloud.to_string(), format!("localhost:{}", cloud.port())].map(|host| {
            // Port 80 is not written in an origin.
            Ok(url::Url::parse(&format!("http://{host}"))?.origin().ascii_serialization())
        });
        own.into_iter().chain(self.allow_origin.iter().cloned().map(Ok)).collect()
    }
}

/// Names the option of the sandbox instead of the key of the configuration.
fn with_option_name(error: StartError) -> anyhow::Error {
    match error {
        StartError::Listen { listener, address, error } => {
            let option = match listener {
                Listener::Public => "--listen",
                Listener::Operators => "--admin-listen",
            };
            cannot_listen(option, address, &error)
        }
        other => other.into(),
    }
}

fn cannot_listen(option: &str, address: SocketAddr, error: &std::io::Error) -> anyhow::Error {
    anyhow::anyhow!("cannot listen on {address}: {error}; {} ({option})", listen_help(error))
}

/// A folder with the built-in templates.
fn built_in() -> anyhow::Result<tempfile::TempDir> {
    let written = || {
        let dir = tempfile::Builder::new().prefix("cosbroker-sandbox-").tempdir()?;
        for (name, text) in TEMPLATES {
            std::fs::write(dir.path().join(name), text)?;
        }
        Ok::<_, std::io::Error>(dir)
    };
    written().map_err(|error| {
        anyhow::anyhow!(
            "the built-in templates have no place: {error}; make that folder, name one that is there in TMPDIR, or give --templates"
        )
    })
}

fn welcome(app: &App, cloud: SocketAddr, account: &Account, templates: &Path, token: &str) -> String {
    let broker = app.public_address();
    let operators = app.operators_address();
    format!(
        "\
cosbroker sandbox: a whole cloud on this machine. Nothing leaves it, nothing in it is real.

  broker      http://{broker}
  operators   http://{operators}  (in your browser: hit rate, quota, living keys; /metrics for Prometheus)
  cloud       http://{cloud}  (token issuer, STS, COS; in your browser, a page to sign in and upload)
  account     SecretId {id}, SecretKey {key}  (the account's permanent keys, which may do anything; no app has them)
  templates   {templates}

Alice is logged in; this is her app asking for a key:

  curl -i -H 'Authorization: Bearer {token}' http://{broker}/v1/credentials

And asking again: the same key, from memory (Cache-Status: cosbroker; hit):

  curl -si -H 'Authorization: Bearer {token}' http://{broker}/v1/credentials | grep -i ^cache-status

And uploading a file of hers with it (an app's SDK signs by itself; curl has the sandbox sign):

  curl -fsS -H 'Authorization: Bearer {token}' http://{broker}/v1/credentials | curl -fsS -d @- 'http://{cloud}/presign?name=hello.txt' | xargs -r curl -i -X PUT -d 'Hello, COS'

A token for anybody:  curl 'http://{cloud}/token?sub=bob'
Stop with Ctrl-C.",
        id = account.secret_id,
        key = account.secret_key,
        templates = templates.display(),
    )
}
