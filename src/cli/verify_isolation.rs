//! `cosbroker verify-isolation`: does COS keep users apart, whatever they send?

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use super::{meant, table::table};
use crate::{
    app::{self, StartError},
    canary::{IsolationCheck, IsolationReport, Verdict},
    config::{Config, Environment},
    reload,
    sts::TencentSts,
};
use runtime::{
    clock::{Clock, SystemClock},
    entropy::SystemEntropy,
};

/// Try with real keys, on the real bucket, what one user could try against another.
///
/// Has STS make keys for two made-up users, cosbroker-canary-1 and cosbroker-canary-10, and sends COS every
/// request we know of by which the one might reach the objects of the other. Prints a table; exits 0 only if
/// every template could be tried, each write in one's own folder succeeds and all else is refused. Deletes again what it wrote, where the
/// template lets it, and names the rest.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker verify-isolation --config config.toml\n  cosbroker verify-isolation --config config.toml --template upload --template files"
)]
pub(super) struct Options {
    /// The configuration file. COS is reached at canary.endpoint, if it has that.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The template whose keys are tried; all without. Can be given several times.
    #[arg(long, value_name = "NAME")]
    template: Vec<String>,
}

impl Options {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = Config::load(&self.config, &Environment::of_process()).map_err(StartError::Problems)?;
        let terms = app::terms(&config.outline());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let entropy = Arc::new(SystemEntropy);
        let templates =
            reload::load(&config.templates.dir, &terms, clock.now()).map_err(StartError::Problems)?;
        if let Some(unknown) = self.template.iter().find(|name| !templates.names().any(|one| one == *name)) {
            anyhow::bail!("there is no template `{unknown}`; {}", meant(unknown, templates.names()));
        }
        let issuer = config.issuers.first().map(|issuer| issuer.issuer.clone()).unwrap_or_default();
        let sts = TencentSts::new(config.sts, Arc::clone(&clock), Arc::clone(&entropy) as _)?;
        let endpoint = config.canary.and_then(|canary| canary.endpoint);
        let check = IsolationCheck::new(endpoint, Arc::new(sts), issuer, clock, &*entropy)?;
        let named: Vec<String> = if self.template.is_empty() {
            templates.names().map(str::to_owned).collect()
        } else {
            self.template
        };
        let mut tally = Tally::default();
        for template in named {
            match check.run(&templates, &template).await {
                Ok(report) => tally.tell(&template, &report)?,
                Err(error) => {
                    super::say(&format!("template {template}: not tried: {error}\n"))?;
                    tally.untried.push(format!("template {template} was not tried: {error}"));
                }
            }
        }
        tally.sum()
    }
}

/// How often what was seen, over all templates.
#[derive(Default)]
struct Tally {
    tried: usize,
    reached: usize,
    withheld: usize,
    unclear: usize,
    /// Why, for each template that was not.
    untried: Vec<String>,
}

impl Tally {
    fn tell(&mut self, template: &str, report: &IsolationReport) -> anyhow::Result<()> {
        let [short, long] = &report.homes;
        super::say(&format!("template {template}: user 1 in {short}, user 10 in {long}"))?;
        let rows: Vec<_> = report
            .rows
            .iter()
            .map(|row| {
                [
                    row.tried.clone(),
                    row.expected.clone(),
                    row.seen.clone(),
                    self.count(row.verdict).to_owned(),
                ]
            })
            .collect();
        super::say(&table(["TRIED", "EXPECTED", "SEEN", "VERDICT"], &rows))?;
        for untried in &report.untried {
            super::say(&format!("not tried: {untried}"))?;
        }
        for left in &report.left {
            super::say(&format!("left in the bucket: {left}"))?;
        }
        super::say("")?;
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
                self.withheld += 1;
                "WITHHELD"
            }
            Verdict::Inconclusive => {
                self.unclear += 1;
                "unclear"
            }
        }
    }

    fn sum(&self) -> anyhow::Result<()> {
        let Self { tried, reached, withheld, unclear, untried } = self;
        let mut problems = untried.clone();
        // An unclear try mostly did not reach COS.
        let help = if *unclear > 0 {
            "check that COS is reached from here (host names, network, canary.endpoint), and see docs/isolation.md"
        } else {
            "see docs/isolation.md"
        };
        if *reached > 0 {
            problems.push(format!(
                "ISOLATION IS BROKEN: {reached} of {tried} tries reached what they must not (REACHED above); see docs/isolation.md"
            ));
        } else if *tried == 0 {
            problems.push(format!("nothing was found out: no template could be tried; {help}"));
        } else if unclear == tried {
            problems.push(format!("nothing was found out: all {tried} tries are unclear; {help}"));
        } else if withheld + unclear + untried.len() > 0 {
            problems.push(format!(
                "nothing was reached, but of {tried} tries {withheld} were refused one's own and {unclear} are unclear, and {} templates were not tried; {help}",
                untried.len()
            ));
        }
        anyhow::ensure!(problems.is_empty(), "{}", problems.join("\n"));
        super::say(&format!("ok: {tried} tries, and nobody reached what is another's"))?;
        Ok(())
    }
}
