//! `cosbroker verify-isolation`: does COS keep users apart, whatever they send?

use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::{
    config_file::ConfigFile,
    console::{Console, Format},
    print,
    table::table,
    unknown_template_help,
};
use crate::{
    app::StartError,
    canary::{IsolationCheck, IsolationReport, Verdict},
    config::{CanaryParts, ConfigParts},
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
/// template allows, and lists the rest. COS is called at `canary.endpoint`, if that is configured.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker verify-isolation --config config.toml\n  cosbroker verify-isolation --config config.toml --template upload --template files --short"
)]
pub(super) struct Options {
    #[command(flatten)]
    config: ConfigFile,
    /// Try only this template; can be repeated. Default: every template.
    #[arg(long, value_name = "NAME")]
    template: Vec<String>,
    /// Print only the tries that did not end as expected.
    #[arg(long)]
    short: bool,
    /// The output format.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Options {
    pub(super) async fn run(self, console: Console) -> anyhow::Result<()> {
        let config = self.config.load()?;
        let constraints = config.template_settings().serving_constraints();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let entropy = Arc::new(SystemEntropy);
        let templates = reload::load(config.templates().dir(), &constraints, clock.now())
            .map_err(StartError::Problems)?;
        let names = template_names(self.template, &templates)?;
        let issuer = config.issuers().first().name.canonical().to_owned();
        let ConfigParts { sts, network, canary, .. } = config.into_parts();
        let sts = TencentSts::new(sts, &network, Arc::clone(&clock), Arc::clone(&entropy) as _)?;
        let endpoint = canary.and_then(|canary| {
            let CanaryParts { endpoint, .. } = canary.into_parts();
            endpoint
        });
        let check = IsolationCheck::new(endpoint, &network, Arc::new(sts), issuer, clock, &*entropy)?;
        let mut tally = Tally { is_short: self.short || console.is_quiet(), ..Tally::default() };
        let mut reports = Vec::new();
        for template in names {
            match check.run(&templates, &template).await {
                Ok(report) => {
                    report.rows.iter().for_each(|row| tally.count(row.verdict));
                    match self.format {
                        Format::Human => tally.print(&template, &report)?,
                        Format::Json => reports.push(described(&template, &report)),
                    }
                }
                Err(error) => {
                    if self.format == Format::Human {
                        print(&format!("template {template}: not tried: {error}\n"))?;
                    }
                    tally.untried.push(format!("template {template} was not tried: {error}"));
                }
            }
        }
        let concluded = tally.conclude();
        if self.format == Format::Json {
            print(&tally.json(&reports, concluded.is_ok())?)?;
        } else if let Ok(summary) = &concluded {
            print(summary)?;
        }
        concluded.map(|_| ())
    }
}

/// The templates to try. A name that does not exist is an error.
fn template_names(named: Vec<String>, templates: &TemplateSet) -> anyhow::Result<Vec<String>> {
    if let Some(unknown) = named.iter().find(|name| !templates.names().any(|one| one == *name)) {
        let help = unknown_template_help(unknown, templates.names());
        anyhow::bail!("there is no template `{unknown}`; {help}");
    }
    if named.is_empty() {
        return Ok(templates.names().map(str::to_owned).collect());
    }
    Ok(named)
}

/// Describes a report for programs.
fn described(template: &str, report: &IsolationReport) -> Value {
    let tries: Vec<Value> = report
        .rows
        .iter()
        .map(|row| {
            json!({
                "tried": row.tried,
                "expected": row.expected,
                "seen": row.seen,
                "verdict": verdict_name(row.verdict),
            })
        })
        .collect();
    json!({
        "template": template,
        "homes": report.homes,
        "tries": tries,
        "not_tried": report.untried,
        "left": report.left,
    })
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::AsExpected => "ok",
        Verdict::Reached => "REACHED",
        Verdict::FalseDeny => "DENIED",
        Verdict::Inconclusive => "unclear",
    }
}

/// The number of tries of all templates, by verdict.
#[derive(Default)]
struct Tally {
    /// Whether tries that ended as expected are left out.
    is_short: bool,
    tried: usize,
    reached: usize,
    false_denies: usize,
    inconclusive: usize,
    /// Why a template was not tried, one line each.
    untried: Vec<String>,
}

impl Tally {
    fn print(&self, template: &str, report: &IsolationReport) -> anyhow::Result<()> {
        let [short, long] = &report.homes;
        let shown = report.rows.iter().filter(|row| !self.is_short || row.verdict != Verdict::AsExpected);
        let rows: Vec<_> = shown
            .map(|row| {
                let verdict = verdict_name(row.verdict).to_owned();
                [row.tried.clone(), row.expected.clone(), row.seen.clone(), verdict]
            })
            .collect();
        if self.is_short && rows.is_empty() && report.untried.is_empty() && report.left.is_empty() {
            print(&format!("template {template}: {} tries ended as expected", report.rows.len()))?;
            return Ok(());
        }
        print(&format!("template {template}: user 1 in {short}, user 10 in {long}"))?;
        if !rows.is_empty() {
            print(&table(["TRIED", "EXPECTED", "SEEN", "VERDICT"], &rows))?;
        }
        for untried in &report.untried {
            print(&format!("not tried: {untried}"))?;
        }
        for left in &report.left {
            print(&format!("left in the bucket: {left}"))?;
        }
        print("")?;
        Ok(())
    }

    fn count(&mut self, verdict: Verdict) {
        self.tried += 1;
        match verdict {
            Verdict::AsExpected => {}
            Verdict::Reached => self.reached += 1,
            Verdict::FalseDeny => self.false_denies += 1,
            Verdict::Inconclusive => self.inconclusive += 1,
        }
    }

    fn json(&self, reports: &[Value], is_isolated: bool) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(&json!({
            "ok": is_isolated,
            "tried": self.tried,
            "reached": self.reached,
            "denied": self.false_denies,
            "unclear": self.inconclusive,
            "not_tried": self.untried,
            "templates": reports,
        }))?)
    }

    /// Returns the summary, or why isolation is not shown.
    fn conclude(&self) -> anyhow::Result<String> {
        let Self { tried, reached, false_denies, inconclusive, untried, .. } = self;
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
        Ok(format!("ok: {tried} tries, and no user reached another's objects"))
    }
}
