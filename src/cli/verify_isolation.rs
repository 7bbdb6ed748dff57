//! `cosbroker verify-isolation`: does COS keep users apart, whatever they send?

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use super::{print, table::table, unknown_template_help};
use crate::{
    app::StartError,
    canary::{IsolationCheck, IsolationReport, Verdict},
    config::{CanaryParts, Config, ConfigParts, Environment},
    reload,
    sts::TencentSts,
};
use runtime::{
    clock::{Clock, SystemClock},
    entropy::SystemEntropy,
};
use templates::TemplateSet;

/// Try, with real keys on the real bucket, what one user could try against another.
///
/// Has STS issue keys for two synthetic users, cosbroker-canary-1 and cosbroker-canary-10, and sends COS every known
/// request by which one could reach objects of the other. Prints a table. Exits 0 only if every template was tried,
/// each user could write to their own folder, and everything else was denied. Deletes what it wrote, as far as the
/// template allows, and lists the rest.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker verify-isolation --config config.toml\n  cosbroker verify-isolation --config config.toml --template upload --template files"
)]
pub(super) struct Options {
    /// The configuration file. COS is called at canary.endpoint, if that is configured.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Try only this template; can be repeated. Default: every template.
    #[arg(long, value_name = "NAME")]
    template: Vec<String>,
}

impl Options {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = Config::load(&self.config, &Environment::of_process()).map_err(StartError::Problems)?;
        let constraints = config.template_settings().serving_constraints();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let entropy = Arc::new(SystemEntropy);
        let templates = reload::load(config.templates().dir(), &constraints, clock.now())
            .map_err(StartError::Problems)?;
        let names = self.template_names(&templates)?;
        let issuer = config.issuers().first().name.canonical().to_owned();
        let ConfigParts { sts, network, canary, .. } = config.into_parts();
        let sts = TencentSts::new(sts, &network, Arc::clone(&clock), Arc::clone(&entropy) as _)?;
        let endpoint = canary.and_then(|canary| {
            let CanaryParts { endpoint, .. } = canary.into_parts();
            endpoint
        });
        let check = IsolationCheck::new(endpoint, &network, Arc::new(sts), issuer, clock, &*entropy)?;
        let mut tally = Tally::default();
        for template in names {
            match check.run(&templates, &template).await {
                Ok(report) => tally.print(&template, &report)?,
                Err(error) => {
                    print(&format!("template {template}: not tried: {error}\n"))?;
                    tally.untried.push(format!("template {template} was not tried: {error}"));
                }
            }
        }
        tally.conclude()
    }

    /// The templates to try. A name that does not exist is an error.
    fn template_names(self, templates: &TemplateSet) -> anyhow::Result<Vec<String>> {
        if let Some(unknown) = self.template.iter().find(|name| !templates.names().any(|one| one == *name)) {
            let help = unknown_template_help(unknown, templates.names());
            anyhow::bail!("there is no template `{unknown}`; {help}");
        }
        if self.template.is_empty() {
            return Ok(templates.names().map(str::to_owned).collect());
        }
        Ok(self.template)
    }
}

/// The number of tries of all templates, by verdict.
#[derive(Default)]
struct Tally {
    tried: usize,
    reached: usize,
    false_denies: usize,
    inconclusive: usize,
    /// Why a template was not tried, one line each.
    untried: Vec<String>,
}

impl Tally {
    fn print(&mut self, template: &str, report: &IsolationReport) -> anyhow::Result<()> {
        let [short, long] = &report.homes;
        print(&format!("template {template}: user 1 in {short}, user 10 in {long}"))?;
        let mut rows = Vec::new();
        for row in &report.rows {
            let verdict = self.count(row.verdict).to_owned();
            rows.push([row.tried.clone(), row.expected.clone(), row.seen.clone(), verdict]);
        }
        print(&table(["TRIED", "EXPECTED", "SEEN", "VERDICT"], &rows))?;
        for untried in &report.untried {
            print(&format!("not tried: {untried}"))?;
        }
        for left in &report.left {
            print(&format!("left in the bucket: {left}"))?;
        }
        print("")?;
        Ok(())
    }

    fn count(&mut self, verdict: Verdict) -> &'static str {
        self.tried += 1;
        match verdict {
            Verdict::AsExpected => "ok",
            Verdict::Reached => {
                self.reached += 1;
                "REACHED"
            }
            Verdict::FalseDeny => {
                self.false_denies += 1;
                "DENIED"
            }
            Verdict::Inconclusive => {
                self.inconclusive += 1;
                "unclear"
            }
        }
    }

    fn conclude(&self) -> anyhow::Result<()> {
        let Self { tried, reached, false_denies, inconclusive, untried } = self;
        let mut problems = untried.clone();
        // Mostly, an inconclusive try did not reach COS.
        let help = if *inconclusive > 0 {
            "check that COS can be reached from here (host names, network, canary.endpoint), and see docs/operate/isolation.md"
        } else {
            "see docs/operate/isolation.md"
        };
        if *reached > 0 {
            problems.push(format!(
                "ISOLATION IS BROKEN: {reached} of {tried} tries reached what they must not (REACHED above); see docs/operate/isolation.md"
            ));
        } else if *tried == 0 {
            problems.push(format!("no result: no template could be tried; {help}"));
        } else if inconclusive == tried {
            problems.push(format!("no result: all {tried} tries are unclear; {help}"));
        } else if false_denies + inconclusive + untried.len() > 0 {
            problems.push(format!(
                "no user reached another's objects, but of {tried} tries {false_denies} in the user's own folder were denied and {inconclusive} are unclear, and {} templates were not tried; {help}",
                untried.len()
            ));
        }
        anyhow::ensure!(problems.is_empty(), "{}", problems.join("\n"));
        print(&format!("ok: {tried} tries, and no user reached another's objects"))?;
        Ok(())
    }
}
