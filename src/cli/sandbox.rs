//! `cosbroker sandbox`: the broker and an emulated cloud on this machine. It needs nothing but this binary.

mod built_in_templates;
mod settings;
mod welcome;

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
};

use clap::Args;

use self::{
    built_in_templates::{DEFAULT_FILE, TemplatesDir},
    settings::Settings,
    welcome::Welcome,
};
use super::{
    console::Console,
    hardening::forbid_core_dumps,
    log::{LogFormat, start_log},
};
use crate::app::{App, Listener, StartError, listen_help};
use cloud_emulator::{
    Account, CloudEmulator, DemoPage, EmulatorConfig, MovableClock, SessionKey, Storage, Weakness,
};
use runtime::{
    clock::{Clock, SystemClock},
    entropy::{Entropy, SystemEntropy},
};

/// Try everything on this machine: the broker, and an emulated cloud (token issuer, STS, COS) on loopback.
///
/// Needs no configuration, no cloud account and no network. Prints a token and `curl` commands to paste, and has
/// a page for a browser.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker sandbox\n  cosbroker sandbox --templates policies --data objects --allow-origin http://127.0.0.1:8080"
)]
pub(super) struct Options {
    /// Where the broker listens: a numeric loopback address and a port (0 takes any free one).
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000", value_parser = address)]
    listen: SocketAddr,
    /// Where the operators' listener listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5001", value_parser = address)]
    admin_listen: SocketAddr,
    /// Where the emulated cloud (token issuer, STS, COS, demo page) listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5002", value_parser = address)]
    cloud_listen: SocketAddr,
    /// A folder of templates; without it, the built-in templates. The default template is `upload`.
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
    /// A folder for the objects, which is empty or was used by a sandbox before; without it, objects are kept in
    /// memory (at most 512 MiB) until the sandbox stops.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The file of Tencent's SDK for browsers, which the demo page uploads with.
    #[arg(long, value_name = "FILE", default_value = "node_modules/cos-js-sdk-v5/dist/cos-js-sdk-v5.min.js")]
    js_sdk: PathBuf,
    /// The origin of a web page of yours, such as `http://127.0.0.1:8080`, that may request keys from the broker,
    /// as the demo page may. Can be given several times.
    #[arg(long, value_name = "URL", value_parser = origin)]
    allow_origin: Vec<String>,
    /// Run the isolation canary, as `[canary]` does.
    #[arg(long)]
    canary: bool,
    /// Let COS make a mistake that `cosbroker verify-isolation` must find: `unchecked-processing` or
    /// `unchecked-slashes`.
    #[arg(long, value_name = "NAME")]
    weakness: Option<Weakness>,
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write a numeric address and a port, like 127.0.0.1:5000")
}

fn origin(text: &str) -> Result<String, &'static str> {
    let is_origin = url::Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == text);
    is_origin
        .then(|| text.to_owned())
        .ok_or("an origin is scheme, host and port: http://127.0.0.1:8080, without a path or `/`")
}

/// The size of all objects in memory.
const MAX_MEMORY_BYTES: u64 = 512 << 20;
/// The region of the built-in templates, and of buckets whose host name has none.
const REGION: &str = "ap-guangzhou";
const AUDIENCE: &str = "sandbox";

impl Options {
    pub(super) async fn run(self, console: Console) -> anyhow::Result<()> {
        forbid_core_dumps()?;
        let system_clock = Arc::new(SystemClock::start());
        let log = start_log(LogFormat::Human, console, Arc::clone(&system_clock) as _)?;
        self.check()?;
        let movable_clock = Arc::new(MovableClock::new(system_clock));
        let clock: Arc<dyn Clock> = Arc::clone(&movable_clock) as Arc<dyn Clock>;
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let cloud_listener = TcpListener::bind(self.cloud_listen)
            .map_err(|error| cannot_listen("--cloud-listen", self.cloud_listen, &error))?;
        let cloud_address = cloud_listener.local_addr()?;
        let issuer_url = format!("http://{cloud_address}/");
        let account =
            Account { secret_id: format!("AKID{}", entropy.hex_id()), secret_key: entropy.hex_id() };
        let config = EmulatorConfig {
            issuer_url: issuer_url.clone(),
            audience: AUDIENCE.to_owned(),
            account: account.clone(),
            session_key: session_key(&*entropy),
            storage: self.storage()?,
            default_region: REGION.to_owned(),
            weakness: self.weakness,
        };
        let cloud = CloudEmulator::new(config, &movable_clock, &entropy)?;
        let token = cloud.issuer().token("alice", serde_json::Map::new())?;
        // A temporary folder is deleted when the sandbox ends.
        let templates = TemplatesDir::open(self.templates.as_deref())?;
        let settings = Settings {
            listen: self.listen,
            admin_listen: self.admin_listen,
            allowed_origins: self.allowed_origins(cloud_address)?,
            issuer_url: &issuer_url,
            templates: templates.path(),
            account: &account,
            canary: self.canary,
        };
        let config = settings.parse()?;
        let shutdown = super::shutdown_on_signal()?;
        let app = App::build(config, clock, entropy, log.0.clone(), shutdown).map_err(with_option_name)?;
        let demo_page = DemoPage {
            broker_origin: format!("http://{}", app.public_address()),
            template_names: Box::new(app.template_names()),
            js_sdk: std::path::absolute(&self.js_sdk)?,
        };
        let cloud = cloud.with_demo_page(demo_page).serve(cloud_listener)?;
        let cloud_handle = cloud.handle();
        let cloud = tokio::spawn(cloud);
        let welcome = Welcome {
            broker: app.public_address(),
            operators: app.operators_address(),
            cloud: cloud_address,
            account: &account,
            templates: templates.path(),
            token: &token,
            has_colors: console.has_colors(&std::io::stdout()),
        };
        super::print(&welcome.to_string())?;
        app.run().await?;
        cloud_handle.stop(true).await;
        cloud.await??;
        Ok(())
    }

    /// Reports the problems that the generated configuration would have, with the names of the options.
    fn check(&self) -> anyhow::Result<()> {
        self.check_addresses()?;
        if let Some(dir) = self.templates.as_deref().filter(|dir| dir.is_dir()) {
            anyhow::ensure!(
                dir.join(DEFAULT_FILE).exists(),
                "--templates {}: holds no {DEFAULT_FILE}; the sandbox's default template is `upload`, so add a file {DEFAULT_FILE}",
                dir.display()
            );
        }
        if let Some(file) = self.data.as_deref().filter(|data| data.is_file()) {
            anyhow::bail!("--data {}: is a file; give a folder", file.display());
        }
        Ok(())
    }

    fn check_addresses(&self) -> anyhow::Result<()> {
        let listeners = [
            ("--listen", self.listen),
            ("--admin-listen", self.admin_listen),
            ("--cloud-listen", self.cloud_listen),
        ];
        for (index, (option, address)) in listeners.iter().enumerate() {
            anyhow::ensure!(
                address.ip().is_loopback(),
                "the sandbox signs tokens for any user, so it listens on loopback only, not on {address}; write {option} 127.0.0.1:{}",
                address.port()
            );
            let same =
                listeners.iter().skip(index + 1).find(|(_, other)| other == address && address.port() != 0);
            if let Some((other, _)) = same {
                anyhow::bail!("{option} and {other} are both {address}; give each a port of its own");
            }
        }
        Ok(())
    }

    fn storage(&self) -> anyhow::Result<Storage> {
        match &self.data {
            None => Ok(Storage::in_memory(MAX_MEMORY_BYTES)),
            Some(dir) => Storage::in_folder(dir).map_err(|error| {
                anyhow::anyhow!("--data {}: objects cannot be kept there: {error}", dir.display())
            }),
        }
    }

    /// Returns the origins of pages that may request keys: the demo page under both names of this machine, and the
    /// developer's own pages.
    fn allowed_origins(&self, cloud: SocketAddr) -> anyhow::Result<Vec<String>> {
        let mut origins = Vec::new();
        for host in [cloud.to_string(), format!("localhost:{}", cloud.port())] {
            // An origin has no port 80.
            origins.push(url::Url::parse(&format!("http://{host}"))?.origin().ascii_serialization());
        }
        origins.extend(self.allow_origin.iter().cloned());
        Ok(origins)
    }
}

fn session_key(entropy: &dyn Entropy) -> SessionKey {
    let mut key = [0; 32];
    let random = entropy.bytes().into_iter().chain(entropy.bytes());
    key.iter_mut().zip(random).for_each(|(to, from)| *to = from);
    SessionKey::new(key)
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
