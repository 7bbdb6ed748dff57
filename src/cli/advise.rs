//! `cosbroker advise`: what other settings would have given.

use clap::Args;
use url::form_urlencoded;

use super::{
    note,
    operators::{Format, Listener, pretty, read},
    say,
    table::table,
};
use crate::credential_cache::{Advice, Alternative, Figures};
use diagnostics::{HumanDuration, Size};

/// Say what another lifetime, least remaining life or cache size would have given: hit rate, calls to STS, memory.
///
/// A running broker replays the latest asks under each setting. A longer lifetime saves calls, and lets a key
/// live longer after its user is revoked.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker advise --config config.toml\n  cosbroker advise --lifetime 1h --min-remaining 10m"
)]
pub(super) struct Options {
    /// What if every template's keys lived this long, such as `1h`?
    #[arg(long, value_name = "DURATION")]
    lifetime: Option<HumanDuration>,
    /// What if `cache.min_remaining` were this, such as `10m`?
    #[arg(long, value_name = "DURATION")]
    min_remaining: Option<HumanDuration>,
    /// What if `cache.max_bytes` were this, such as `64MiB`?
    #[arg(long, value_name = "SIZE")]
    max_bytes: Option<Size>,
    /// How it is written.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    #[command(flatten)]
    listener: Listener,
}

impl Options {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let asked = [
            ("lifetime", self.lifetime.map(|span| span.to_string())),
            ("min_remaining", self.min_remaining.map(|span| span.to_string())),
            ("max_bytes", self.max_bytes.map(|size| size.to_string())),
        ];
        let given = asked.iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
        let answer = self.listener.open()?.get(&format!("/api/advise?{query}")).await?;
        if self.format == Format::Json {
            return Ok(say(&pretty(&answer)?)?);
        }
        let told: Advice = read(answer)?;
        say(&told.advice)?;
        say("")?;
        say(&rows(&told))?;
        note(&source(&told));
        note(
            "a key lives on after its user is revoked until it ends; memory is an estimate, and STS answers always in a replay",
        );
        Ok(())
    }
}

fn rows(told: &Advice) -> String {
    let quota = f64::from(told.calls_allowed_per_second);
    let row = |settings: String, figures: &Figures, replayed: Option<&Alternative>| {
        let of = |cell: fn(&Alternative) -> String| replayed.map(cell).unwrap_or_default();
        [
            settings,
            percent(figures.hit_rate),
            format!("{:.0}", figures.calls_per_hour),
            of(|one| one.calls_change.map(|change| format!("{:+.0} %", change * 100.0)).unwrap_or_default()),
            format!(
                "{:.1}/s ({} of quota)",
                figures.busiest_calls_per_second,
                percent(figures.busiest_calls_per_second / quota)
            ),
            of(|one| Size(one.peak_bytes).rounded()),
            of(|one| one.outlives_revocation.to_string()),
        ]
    };
    let replayed = |one: &Alternative| row(one.settings.to_string(), &one.figures, Some(one));
    let all = [&told.present].into_iter().chain(&told.alternatives).map(replayed);
    let asked = told.asked.iter().map(|one| row(format!("asked: {}", one.settings), &one.figures, Some(one)));
    let counted = row("as counted".to_owned(), &told.counted, None);
    let rows: Vec<_> = [counted].into_iter().chain(all).chain(asked).collect();
    let headings =
        ["SETTINGS", "HIT RATE", "CALLS/H", "CHANGE", "BUSIEST MINUTE", "MEMORY", "LIVES AFTER REVOKE"];
    table(headings, &rows)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn source(told: &Advice) -> String {
    let recorded = &told.recorded;
    let sampled = match recorded.of_one_key_in {
        1 => String::new(),
        so_many => format!(", all of one key in {so_many} and scaled up"),
    };
    format!(
        "from {} asks in {}{sampled}; figures are of the last {}, before that memory fills",
        recorded.requests, recorded.span, recorded.measured
    )
}
