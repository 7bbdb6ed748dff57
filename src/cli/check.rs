//! `cosbroker check`: would `serve` start?

mod report;

use std::sync::Arc;

use clap::Args;
use tokio::runtime::Handle;
use url::Url;

use self::report::Report;
use super::{
    config_file::ConfigFile,
    console::{Console, Format},
};
use crate::{
    app::{self, MemoryNeed, StartError},
    audit,
    canary::{BucketState, probe_bucket},
    config::{Config, ConfigParts, Issuer, Network, Server, Sts as StsConfig},
    http,
    identity::Verifier,
    reload, replicas,
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
    after_long_help = "Example:\n  cosbroker check --config config.toml\n  cosbroker check --config config.toml --online\n  cosbroker check --page https://app.example.com --page-header x-requested-with"
)]
pub(super) struct Options {
    #[command(flatten)]
    config: ConfigFile,
    /// Also fetch the key sets of the issuers, make one real call to STS, try Redis, and ask COS for the buckets.
    #[arg(long)]
    online: bool,
    /// Also check that pages of this origin may call the broker from a browser (CORS).
    #[arg(long, value_name = "ORIGIN")]
    page: Option<String>,
    /// The method that these pages send.
    #[arg(long, value_name = "METHOD", default_value = "GET", requires = "page")]
    page_method: String,
    /// A header that they send besides `authorization`; can be repeated.
    #[arg(long, value_name = "NAME", requires = "page")]
    page_header: Vec<String>,
    /// The output format.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Options {
    pub(super) async fn run(self, console: Console) -> anyhow::Result<()> {
        let mut report = Report::new(self.format, console);
        let checked = self.check(&mut report).await;
        report.finish(checked.as_ref().err())?;
        checked
    }

    async fn check(&self, report: &mut Report) -> anyhow::Result<()> {
        let config = self.config.load()?;
        let constraints = config.template_settings().serving_constraints();
        let dir = config.templates().dir().to_owned();
        let clock = Arc::new(SystemClock::start());
        let templates = reload::load(&dir, &constraints, clock.now()).map_err(StartError::Problems)?;
        let files = reload::folder::read(&dir).map_err(StartError::from)?;
        check_files(&config)?;
        let issuer = config.issuers().first().name.canonical().to_owned();
        let warnings: Vec<String> = config.issuers().iter().flat_map(Issuer::warnings).collect();
        let memory = MemoryNeed::of(&config);
        if let Some(canary) = config.canary() {
            app::check_canary(canary, &templates, &issuer)?;
        }
        let pages = self.check_pages(config.server())?;
        let ConfigParts { issuers, sts, cache, network, canary, redis, .. } = config.into_parts();
        for url in issuers.iter().flat_map(|issuer| issuer.keys.urls()) {
            if network.is_plain_http_host(url) {
                report.add("warning", &format!(
                    "keys are fetched over plain HTTP from {url}: whoever is on that network can put in keys of their own and sign in as any user"
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
            report.add("warning", &warning)?;
        }
        for template in templates.summaries() {
            report.add("proved", &template)?;
        }
        for path in reload::folder::skipped(&dir) {
            report.add(
                "warning",
                &format!("{} is no template: its name does not end in .toml", path.display()),
            )?;
        }
        for finding in lint(files.into_files(), Some(&constraints)).findings {
            report.add_finding(&finding.diagnostic)?;
        }
        report.add("memory", &memory.to_string())?;
        report.add("pages", &pages)?;
        for (issuer, key) in verifier.probe(self.online).await? {
            let severity = if key.is_usual { "note" } else { "warning" };
            report.add(severity, &format!("issuer `{issuer}`: {key} (the key is not used)"))?;
        }
        if self.online {
            report.add("online", "the key set of every issuer can be fetched")?;
            call_sts(sts, &network, Arc::clone(&clock), &templates, &issuer, report).await?;
            if let Some(redis) = redis {
                replicas::check(redis, &network, &SystemEntropy).await?;
                report.add("online", "Redis takes, gives back and deletes an encrypted value, and runs every command that replicas use")?;
            }
            let endpoint = canary.and_then(|canary| canary.into_parts().endpoint);
            look_for_buckets(&templates, endpoint.as_ref(), &network, &clock, report).await?;
        }
        report.add("ok", "serve would start")
    }

    /// Returns which pages may call the broker. If `--page` may not, says everything that is missing.
    fn check_pages(&self, server: &Server) -> anyhow::Result<String> {
        let Some(page) = &self.page else {
            return Ok(match server.cors_origins() {
                [] => "no web page may call the broker: server.cors_origins is empty".to_owned(),
                origins => format!("web pages of {} may call the broker", origins.join(", ")),
            });
        };
        let headers = [&["authorization".to_owned()], self.page_header.as_slice()].concat().join(",");
        let refusals = http::page_refusals(server, page, &self.page_method, &headers);
        let told: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        anyhow::ensure!(told.is_empty(), "{}", told.join("\n"));
        Ok(format!("web pages of {page} may send {} with {}", self.page_method, headers.replace(',', ", ")))
    }
}

/// Checks the certificates and the audit log.
fn check_files(config: &Config) -> anyhow::Result<()> {
    for tls in [config.server().tls(), config.admin().tls()].into_iter().flatten() {
        http::check_tls(tls).map_err(StartError::from)?;
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
    report: &mut Report,
) -> anyhow::Result<()> {
    let sts = TencentSts::new(sts, network, clock, Arc::new(SystemEntropy))?;
    let Some(grant) = templates.probe_grant(issuer) else {
        anyhow::bail!("no template can be rendered for a synthetic user, so STS was not called");
    };
    let key = sts.issue(IssueRequest::new(grant, Priority::NoActiveKey)).await?;
    report.add("online", &format!("STS issued a key, request {}", key.request_id))
}

/// Asks COS for each bucket of the templates. None is needed to serve keys, so what is found is a warning.
async fn look_for_buckets(
    templates: &TemplateSet,
    endpoint: Option<&Url>,
    network: &Network,
    clock: &SystemClock,
    report: &mut Report,
) -> anyhow::Result<()> {
    for bucket in templates.buckets() {
        let place = format!("bucket {} in {}", bucket.name, bucket.region);
        match probe_bucket(bucket, endpoint.cloned(), network, clock).await? {
            BucketState::Exists => report.add("online", &format!("{place} exists"))?,
            BucketState::Suspect(doubt) => report.add("warning", &format!("{place}: {doubt}"))?,
        }
    }
    Ok(())
}
