//! What was measured beside the goals: as a table, and in `docs/understand/performance.md` with its plot.

use std::{fmt::Write, fs, path::Path, time::Duration};

use crate::{BenchError, count::Counts, processor::ProcessorTime};

const PAGE: &str = "docs/understand/performance.md";
const PLOT: &str = "docs/understand/performance.svg";
/// What is between these lines of the page is written here.
const BEGIN: &str = "<!-- written by `make bench` -->";
const END: &str = "<!-- end -->";
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// What one server served.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) per_second: f64,
    pub(crate) p99: Duration,
    /// Processor time of a request.
    pub(crate) per_request: Option<ProcessorTime>,
}

/// The broker with so many users.
#[derive(Debug)]
pub(crate) struct Growth {
    pub(crate) users: u64,
    pub(crate) served: Served,
    pub(crate) bytes_per_user: u64,
    pub(crate) scrape: Duration,
    pub(crate) page: Duration,
    pub(crate) slowest_hit: Duration,
}

/// How long the start takes, with one template and with more.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) one: Duration,
    pub(crate) many: Duration,
    pub(crate) templates: usize,
}

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    /// The broker, the bare server, nginx, then those that call STS for each request.
    pub(crate) served: Vec<Served>,
    pub(crate) cold: f64,
    /// The broker without `[redis]`, and with it.
    pub(crate) beside_redis: [Served; 2],
    pub(crate) growth: Vec<Growth>,
    pub(crate) start: Start,
    pub(crate) counts: Counts,
    pub(crate) binary_bytes: u64,
}

/// A goal, and what was reached of it.
struct Goal {
    what: String,
    wanted: String,
    reached: String,
    is_met: bool,
}

impl Goal {
    fn at_least(what: &str, goal: f64, reached: f64, unit: &str) -> Self {
        let is_met = reached >= goal;
        Self {
            what: what.to_owned(),
            wanted: format!("≥ {goal}{unit}"),
            reached: shown(reached, unit),
            is_met,
        }
    }

    fn at_most(what: &str, goal: f64, reached: f64, unit: &str) -> Self {
        let is_met = reached <= goal;
        Self {
            what: what.to_owned(),
            wanted: format!("≤ {goal}{unit}"),
            reached: shown(reached, unit),
            is_met,
        }
    }
}

fn shown(value: f64, unit: &str) -> String {
    if value < 100.0 { format!("{value:.2}{unit}") } else { format!("{value:.0}{unit}") }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn micros(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1e6)
}

impl Report {
    /// Prints it.
    pub(crate) fn print(&self) {
        println!("{}", self.text());
    }

    /// Writes it into the page, and draws the plot.
    pub(crate) fn write(&self, repository: &Path) -> Result<(), BenchError> {
        let page = repository.join(PAGE);
        let text = fs::read_to_string(&page)?;
        let (before, rest) = text.split_once(BEGIN).ok_or("the page has no place for figures")?;
        let (_, after) = rest.split_once(END).ok_or("the page has no end of figures")?;
        let picture = "![Requests per second of the broker and of other servers](performance.svg)";
        fs::write(page, format!("{before}{BEGIN}\n\n{}\n{picture}\n\n{END}{after}", self.text()))?;
        fs::write(repository.join(PLOT), self.plot())?;
        Ok(())
    }

    fn goals(&self) -> Vec<Goal> {
        let broker = self.named("cosbroker");
        let times = |name: &str| broker.per_second / self.named(name).per_second;
        let p99 = broker.p99.as_secs_f64() / self.named("bare").p99.as_secs_f64();
        let [without, with] = &self.beside_redis;
        let mut goals = vec![
            Goal::at_least("hit, of a bare server's throughput", 0.92, times("bare"), ""),
            Goal::at_least("hit, of nginx's with a static file", 1.2, times("nginx"), ""),
            Goal::at_most("hit, 99th percentile, of the bare server's", 1.3, p99, ""),
            Goal::at_least("hit, times cossign", 75.0, times("cossign"), ""),
            Goal::at_least("hit, times Node with qcloud-cos-sts", 50.0, times("Node"), ""),
            Goal::at_least("hit, times Flask with qcloud-python-sts", 130.0, times("Flask"), ""),
            Goal::at_most(
                "instructions of a hit without the hash, of the bare server's",
                1.8,
                self.counts.of_bare(),
                "",
            ),
            Goal::at_least("two workers, of one, by instructions", 1.9, self.counts.of_two_workers(), ""),
            Goal::at_least(
                "hit with `[redis]`, of one without",
                0.97,
                with.per_second / without.per_second,
                "",
            ),
            Goal::at_least("first requests of users, STS in 0 ms", 4000.0, self.cold, "/s"),
        ];
        if let [first, .., last] = self.growth.as_slice() {
            let users = last.users;
            let kept = last.served.per_second / first.served.per_second;
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let memory = last.bytes_per_user as f64 / 1024.0;
            goals.extend([
                Goal::at_most(&format!("memory of a user, of {users}"), 2.2, memory, " KiB"),
                Goal::at_least(
                    &format!("hits with {users} users, of those with {}", first.users),
                    0.85,
                    kept,
                    "",
                ),
                Goal::at_most(&format!("`/metrics` with {users} users"), 50.0, millis(last.scrape), " ms"),
                Goal::at_most(&format!("operators' page with {users} users"), 50.0, millis(last.page), " ms"),
                Goal::at_most("slowest hit meanwhile", 5.0, millis(last.slowest_hit), " ms"),
            ]);
        }
        let Start { many, templates, .. } = self.start;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let binary = self.binary_bytes as f64 / MEBIBYTE;
        goals.extend([
            Goal::at_most(&format!("start with {templates} templates"), 100.0, millis(many), " ms"),
            Goal::at_most("the program", 14.0, binary, " MiB"),
        ]);
        goals
    }

    /// The one whose name begins so. All are measured.
    fn named(&self, name: &str) -> &Served {
        const NONE: &Served =
            &Served { name: String::new(), per_second: f64::NAN, p99: Duration::ZERO, per_request: None };
        self.served.iter().find(|served| served.name.starts_with(name)).unwrap_or(NONE)
    }

    fn text(&self) -> String {
        let mut text = String::from("| | goal | reached | |\n|---|---|---|---|\n");
        for Goal { what, wanted, reached, is_met } in self.goals() {
            let met = if is_met { "" } else { "missed" };
            let _ = writeln!(text, "| {what} | {wanted} | {reached} | {met} |");
        }
        text.push_str(
            "\n| server, on one core | requests/s | 99th percentile, ms | processor time of a request, µs | of it the kernel's |\n\
             |---|---|---|---|---|\n",
        );
        for Served { name, per_second, p99, per_request } in &self.served {
            let times = per_request.map(|time| [time.all(), time.kernel].map(micros)).unwrap_or_default();
            let [all, kernel] = times;
            let _ = writeln!(text, "| {name} | {per_second:.0} | {:.2} | {all} | {kernel} |", millis(*p99));
        }
        text.push_str(&growth_table(&self.growth));
        let _ =
            writeln!(text, "\nStart with one template: {:.0} ms. {}", millis(self.start.one), self.counts);
        text
    }

    /// Bars of the throughput, on a logarithmic scale.
    fn plot(&self) -> String {
        const WIDTH: f64 = 420.0;
        const BAR: usize = 26;
        let height = BAR * self.served.len() + 34;
        let largest = self.served.iter().map(|served| served.per_second).fold(1.0, f64::max);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"720\" height=\"{height}\" fill=\"#fff\"/>\n\
             <text x=\"8\" y=\"18\" fill=\"#222\">Requests per second on one core, logarithmic scale</text>\n"
        );
        for (index, Served { name, per_second, .. }) in self.served.iter().enumerate() {
            let y = 30 + BAR * index;
            let width = WIDTH * per_second.max(1.0).log10() / largest.log10();
            let fill = if name.starts_with("cosbroker") { "#0a7d55" } else { "#8aa0b4" };
            let (middle, end) = (y + 14, 206.0 + width);
            let _ = writeln!(
                svg,
                "<text x=\"192\" y=\"{middle}\" text-anchor=\"end\" fill=\"#222\">{name}</text>\
                 <rect x=\"200\" y=\"{y}\" width=\"{width:.0}\" height=\"18\" fill=\"{fill}\"/>\
                 <text x=\"{end:.0}\" y=\"{middle}\" fill=\"#222\">{per_second:.0}</text>"
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// The broker as users become more.
pub(crate) fn growth_table(growth: &[Growth]) -> String {
    let mut text = String::from(
        "\n| users | hits/s | 99th percentile, ms | bytes a user | `/metrics`, ms | page, ms | slowest hit meanwhile, ms |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for Growth { users, served, bytes_per_user, scrape, page, slowest_hit } in growth {
        let times = [served.p99, *scrape, *page, *slowest_hit].map(millis);
        let [p99, scrape, page, slowest] = times;
        let _ = writeln!(
            text,
            "| {users} | {:.0} | {p99:.2} | {bytes_per_user} | {scrape:.1} | {page:.1} | {slowest:.1} |",
            served.per_second
        );
    }
    text
}
