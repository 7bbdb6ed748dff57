//! `cosbroker check`: would `serve` start?

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use tokio::runtime::Handle;
use url::Url;

use super::print;
use crate::{
    app::{self, MemoryNeed, StartError},
    audit,
    canary::{BucketState, probe_bucket},
    config::{Config, ConfigParts, Environment, Issuer, Network, Sts as StsConfig},
    http,
    identity::Verifier,
    reload,
    sts::{IssueRequest, Priority, Sts, TencentSts},
};
use runtime::{
    clock::{Clock, SystemClock},
    entropy::SystemEntropy,
};
use templates::{TemplateSet, lint};

/// Check the configuration and every template, and prove that users are confined to their folders.
///
/// Prints each problem with its place and how to fix it. Exits 0 only if `serve` would start. It does not check
/// whether the ports are free, because a broker may be running.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker check --config config.toml\n  cosbroker check --config config.toml --online"
)]
pub(super) struct Options {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Also fetch the key sets of the issuers, make one real call to STS, and ask COS for the buckets.
    #[arg(long)]
    online: bool,
}

impl Options {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = Config::load(&self.config, &Environment::of_process()).map_err(StartError::Problems)?;
        let constraints = config.template_settings().serving_constraints();
        let dir = config.templates().dir();
        let clock = Arc::new(SystemClock::start());
        let templates = reload::load(dir, &constraints, clock.now()).map_err(StartError::Problems)?;
        let files = reload::folder::read(dir).map_err(StartError::from)?;
        check_files(&config)?;
        let issuer = config.issuers().first().name.canonical().to_owned();
        let warnings: Vec<String> = config.issuers().iter().flat_map(Issuer::warnings).collect();
        let memory = MemoryNeed::of(&config);
        if let Some(canary) = config.canary() {
            app::check_canary(canary, &templates, &issuer)?;
        }
        let ConfigParts { issuers, sts, cache, network, canary, .. } = config.into_parts();
        for url in issuers.iter().flat_map(|issuer| issuer.keys.urls()) {
            if network.is_plain_http_host(url) {
                print(&format!(
                    "warning: keys are fetched over plain HTTP from {url}: whoever is on that network can put in keys of their own and sign in as any user"
                ))?;
            }
        }
        let verifier = Verifier::new(
            issuers.into_vec(),
            cache.token_bytes(),
            &network,
            Arc::clone(&clock) as _,
            &Handle::current(),
        )
        .map_err(StartError::Key)?;
        for warning in warnings {
            print(&format!("warning: {warning}"))?;
        }
        for template in templates.summaries() {
            print(&format!("proved: {template}"))?;
        }
        for finding in lint(files.into_files(), Some(&constraints)).findings {
            print(&format!("warning: {}", finding.diagnostic))?;
        }
        print(&format!("memory: {memory}"))?;
        for (issuer, key) in verifier.probe(self.online).await? {
            let severity = if key.is_usual { "note" } else { "warning" };
            print(&format!("{severity}: issuer `{issuer}`: {key} (the key is not used)"))?;
        }
        if self.online {
            print("online: the key set of every issuer can be fetched")?;
            call_sts(sts, &network, Arc::clone(&clock), &templates, &issuer).await?;
            let endpoint = canary.and_then(|canary| canary.into_parts().endpoint);
            look_for_buckets(&templates, endpoint.as_ref(), &network, &clock).await?;
        }
        print("ok: serve would start")?;
        Ok(())
    }
}

/// Checks the certificate and the audit log.
fn check_files(config: &Config) -> anyhow::Result<()> {
    if let Some(tls) = config.server().tls() {
        http::check_tls(tls)?;
    }
    if let Some(audit) = config.audit() {
        audit::check(audit).map_err(StartError::Audit)?;
    }
    Ok(())
}

/// Has STS issue one key, for a synthetic user.
async fn call_sts(
    sts: StsConfig,
    network: &Network,
    clock: Arc<SystemClock>,
    templates: &TemplateSet,
    issuer: &str,
) -> anyhow::Result<()> {
    let sts = TencentSts::new(sts, network, clock, Arc::new(SystemEntropy))?;
    let Some(grant) = templates.probe_grant(issuer) else {
        anyhow::bail!("no template can be rendered for a synthetic user, so STS was not called");
    };
    let key = sts.issue(IssueRequest::new(grant, Priority::NoActiveKey)).await?;
    print(&format!("online: STS issued a key, request {}", key.request_id))?;
    Ok(())
}

/// Asks COS for each bucket of the templates. None is needed to serve keys, so what is found is a warning.
async fn look_for_buckets(
    templates: &TemplateSet,
    endpoint: Option<&Url>,
    network: &Network,
    clock: &SystemClock,
) -> anyhow::Result<()> {
    for bucket in templates.buckets() {
        let place = format!("bucket {} in {}", bucket.name, bucket.region);
        match probe_bucket(bucket, endpoint.cloned(), network, clock).await? {
            BucketState::Exists => print(&format!("online: {place} exists"))?,
            BucketState::Suspect(doubt) => print(&format!("warning: {place}: {doubt}"))?,
        }
    }
    Ok(())
}
