//! `cosbroker check`: would `serve` start?

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use tokio::runtime::Handle;

use crate::{
    app::{self, StartError},
    audit,
    config::{Config, Environment},
    http,
    identity::Verifier,
    reload::{self, folder},
    sts::{Sts, TencentSts, Urgency},
};
use runtime::{
    clock::{Clock, SystemClock},
    entropy::SystemEntropy,
};
use templates::lint;

/// Read the configuration and every template, and prove confinement.
///
/// Says each problem with its place and how to mend it. Exits 0 only if `serve` would start; whether its ports are
/// free is not tried, as a broker may serve there now.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker check --config config.toml\n  cosbroker check --config config.toml --online"
)]
pub(super) struct Options {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Also fetch the key sets, and make one real STS call.
    #[arg(long)]
    online: bool,
}

impl Options {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = Config::load(&self.config, &Environment::of_process()).map_err(StartError::Problems)?;
        let (terms, dir) = (app::terms(&config.outline()), &config.templates.dir);
        let clock = Arc::new(SystemClock::start());
        let templates = reload::load(dir, &terms, clock.now()).map_err(StartError::Problems)?;
        let files = folder::read(dir).map_err(|problem| StartError::Problems(vec![problem]))?.into_files();
        let issuers: Vec<String> = config.issuers.iter().map(|issuer| issuer.issuer.clone()).collect();
        let verifier = Verifier::new(config.issuers, Arc::clone(&clock) as _, &Handle::current())
            .map_err(StartError::Key)?;
        if let Some(tls) = &config.server.tls {
            http::check_tls(tls)?;
        }
        if let Some(canary) = &config.canary {
            app::check_canary(canary, &templates, &issuers)?;
        }
        if let Some(audit) = &config.audit {
            audit::check(audit).map_err(StartError::Audit)?;
        }
        for template in templates.summaries() {
            super::say(&format!("proved: {template}"))?;
        }
        for finding in lint(files, Some(&terms)).findings {
            super::say(&format!("warning: {}", finding.diagnostic))?;
        }
        if self.online {
            verifier.probe().await?;
            super::say("online: every key set can be fetched")?;
            let sts = TencentSts::new(config.sts, clock, Arc::new(SystemEntropy))?;
            let Some(grant) = templates.probe_grant(issuers.first().map_or("", String::as_str)) else {
                anyhow::bail!("no template can be rendered for a made-up user, so STS was not called");
            };
            let key = sts.issue(grant, Urgency::UserWaits, None).await?;
            super::say(&format!("online: STS made a key, request {}", key.request_id))?;
        }
        super::say("ok: serve would start")?;
        Ok(())
    }
}
