//! `cosbroker verify-isolation`: does COS keep users apart, whatever they send?

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use super::table::table;
use crate::{
    app::{self, StartError},
    canary::{Examination, Examined, Verdict},
    clock::{Clock, SystemClock},
    config::{Config, Environment},
    entropy::SystemEntropy,
    policy::TemplateSet,
    sts::TencentSts,
};

/// Try with real keys, on the real bucket, what one user could try against another.
///
/// Has STS make keys for two made-up users, cosbroker-canary-1 and cosbroker-canary-10, and sends COS every
/// request we know of by which the one might reach the objects of the other. Prints a table; exits 0 only if
/// each write in one's own folder succeeds and all else is refused. Deletes again what it wrote, where the
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
            TemplateSet::load(&config.templates.dir, &terms, clock.now()).map_err(StartError::Problems)?;
        let issuer = config.issuers.first().map(|issuer| issuer.issuer.clone()).unwrap_or_default();
        let sts = TencentSts::new(config.sts, Arc::clone(&clock), Arc::clone(&entropy) as _)?;
        let endpoint = config.canary.and_then(|canary| canary.endpoint);
        let examination = Examination::new(endpoint, Arc::new(sts), issuer, clock, &*entropy)?;
        let named: Vec<String> = if self.template.is_empty() {
            templates.names().map(str::to_owned).collect()
        } else {
            self.template
        };
        let mut tally = Tally::default();
        for template in named {
            match examination.of(&templates, &template).await {
                Ok(examined) => tally.tell(&template, &examined)?,
                Err(error) => {
                    super::say(&format!("template {template}: not tried: {error}\n"))?;
                    tally.untried += 1;
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
    untried: usize,
}

impl Tally {
    fn tell(&mut self, template: &str, examined: &Examined) -> anyhow::Result<()> {
        let [short, long] = &examined.homes;
        super::say(&format!("template {template}: user 1 in {short}, user 10 in {long}"))?;
        let rows: Vec<_> = examined
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
        for untried in &examined.untried {
            super::say(&format!("not tried: {untried}"))?;
        }
        for left in &examined.left {
            super::say(&format!("left in the bucket: {left}"))?;
        }
        super::say("")?;
        Ok(())
    }

    fn count(&mut self, verdict: Verdict) -> &'static str {
        self.tried += 1;
        match verdict {
            Verdict::Good => "ok",
            Verdict::Reached => {
                self.reached += 1;
                "REACHED"
            }
            Verdict::Withheld => {
                self.withheld += 1;
                "WITHHELD"
            }
            Verdict::Unclear => {
                self.unclear += 1;
                "unclear"
            }
        }
    }

    fn sum(&self) -> anyhow::Result<()> {
        let Self { tried, reached, withheld, unclear, untried } = self;
        anyhow::ensure!(
            *reached == 0,
            "ISOLATION IS BROKEN: {reached} of {tried} tries reached what they must not (REACHED above); see docs/isolation.md"
        );
        anyhow::ensure!(
            withheld + unclear + untried == 0,
            "nothing was reached, but of {tried} tries {withheld} were refused one's own and {unclear} are unclear, and {untried} templates were not tried; see docs/isolation.md"
        );
        super::say(&format!("ok: {tried} tries, and nobody reached what is another's"))?;
        Ok(())
    }
}
