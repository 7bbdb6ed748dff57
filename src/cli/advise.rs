//! `cosbroker advise`: the effect of other cache settings.

use clap::Args;
use url::form_urlencoded;

use super::{
    admin_client::{decode, pretty},
    console::{Console, Format},
    listener::ListenerOptions,
    print,
    table::table,
};
use crate::credential_cache::{Advice, Alternative, Figures};
use diagnostics::{HumanDuration, Size};

/// Compare cache settings by hit rate, calls to STS and memory: key lifetime, minimum remaining lifetime, cache size.
///
/// A running broker replays its latest requests with each setting. A longer lifetime saves calls, but a key stays valid
/// for longer after its user is revoked.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker advise --config config.toml\n  cosbroker advise --lifetime 1h --min-remaining 10m"
)]
pub(super) struct Options {
    /// Also try this lifetime for the keys of every template, such as `1h`.
    #[arg(long, value_name = "DURATION")]
    lifetime: Option<HumanDuration>,
    /// Also try this `cache.min_remaining`, such as `10m`.
    #[arg(long, value_name = "DURATION")]
    min_remaining: Option<HumanDuration>,
    /// Also try this `cache.max_bytes`, such as `64MiB`.
    #[arg(long, value_name = "SIZE")]
    max_bytes: Option<Size>,
    /// The output format.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    #[command(flatten)]
    listener: ListenerOptions,
}

impl Options {
    pub(super) async fn run(self, console: Console) -> anyhow::Result<()> {
        let parameters = [
            ("lifetime", self.lifetime.map(|lifetime| lifetime.to_string())),
            ("min_remaining", self.min_remaining.map(|remaining| remaining.to_string())),
            ("max_bytes", self.max_bytes.map(|size| size.to_string())),
        ];
        let given = parameters.iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
        let response = self.listener.client()?.get(&format!("/api/advise?{query}")).await?;
        if self.format == Format::Json {
            return Ok(print(&pretty(&response)?)?);
        }
        let advice: Advice = decode(response)?;
        print(&advice.advice)?;
        print("")?;
        print(&rows(&advice))?;
        console.note(&source(&advice));
        console.note(
            "after its user is revoked, a key stays valid until it expires; memory is an estimate, and a replay assumes that STS always responds",
        );
        Ok(())
    }
}

fn rows(advice: &Advice) -> String {
    let quota = f64::from(advice.calls_allowed_per_second);
    let mut rows = vec![row("as counted".to_owned(), &advice.counted, None, quota)];
    for one in [&advice.present].into_iter().chain(&advice.alternatives) {
        rows.push(row(one.settings.to_string(), &one.figures, Some(one), quota));
    }
    if let Some(one) = &advice.asked {
        rows.push(row(format!("your settings: {}", one.settings), &one.figures, Some(one), quota));
    }
    let headings =
        ["SETTINGS", "HIT RATE", "CALLS/H", "CHANGE", "BUSIEST MINUTE", "MEMORY", "VALID AFTER REVOKE"];
    table(headings, &rows)
}

/// One row. Only replayed settings have a change, memory and a time after a revocation.
fn row(settings: String, figures: &Figures, replayed: Option<&Alternative>, quota: f64) -> [String; 7] {
    let [change, memory, valid_after_revoke] = replayed.map(replayed_cells).unwrap_or_default();
    let busiest = figures.busiest_calls_per_second;
    [
        settings,
        percent(figures.hit_rate),
        format!("{:.0}", figures.calls_per_hour),
        change,
        format!("{busiest:.1}/s ({} of quota)", percent(busiest / quota)),
        memory,
        valid_after_revoke,
    ]
}

fn replayed_cells(one: &Alternative) -> [String; 3] {
    [
        one.calls_change.map(|change| format!("{:+.0} %", change * 100.0)).unwrap_or_default(),
        Size(one.peak_bytes).rounded(),
        one.outlives_revocation.to_string(),
    ]
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn source(advice: &Advice) -> String {
    let recorded = &advice.recorded;
    let sampled = match recorded.of_one_key_in {
        1 => String::new(),
        sampling => format!(", of one key in {sampling}, scaled up"),
    };
    format!(
        "from {} requests in {}{sampled}; the figures cover the last {}, and the time before only fills the cache",
        recorded.requests, recorded.span, recorded.measured
    )
}
