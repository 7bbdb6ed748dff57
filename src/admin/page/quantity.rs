//! Numbers, durations and times as the page shows them: short, and not more precise than they are.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

use super::language::Language;
use runtime::clock::time_until;

/// Formats a share, like `98.7 %`.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    // Less than all is not shown as all.
    if percent > 99.9 && share < 1.0 {
        return "> 99.9 %".to_owned();
    }
    format!("{} %", trimmed(format!("{percent:.1}")))
}

/// Formats a figure, like `0.25`, `3.4` or `12,345`.
pub(super) fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value < 0.01 => format!("{value:.3}"),
        value if value < 1.0 => format!("{value:.2}"),
        value if value < 10.0 => trimmed(format!("{value:.1}")),
        value => grouped(&format!("{value:.0}")),
    }
}

/// Formats a count, like `12,345`.
pub(super) fn count(value: impl Into<u64>) -> String {
    grouped(&value.into().to_string())
}

/// Formats seconds, like `180 µs`, `2.3 ms` or `1.2 s`.
pub(super) fn latency(seconds: f64) -> String {
    let (value, unit) = match seconds {
        0.0 => return "0".to_owned(),
        seconds if seconds < 1e-3 => (seconds * 1e6, "µs"),
        seconds if seconds < 1.0 => (seconds * 1e3, "ms"),
        seconds => (seconds, "s"),
    };
    let digits = usize::from(value < 10.0 && unit != "µs");
    format!("{} {unit}", if digits == 1 { trimmed(format!("{value:.1}")) } else { format!("{value:.0}") })
}

/// Formats a duration, like `45 s`, `27 min`, `3 h 5 min` or `2 d 4 h`.
pub(super) fn span(language: Language, span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let [rest_of_hour, rest_of_day] = [minutes % 60, hours % 24].map(|rest| rest.to_string());
    match seconds {
        0..60 => language.format("{} s", &[&seconds.to_string()]),
        60..3600 => language.format("{} min", &[&minutes.to_string()]),
        3600..86_400 if minutes % 60 == 0 => language.format("{} h", &[&hours.to_string()]),
        3600..86_400 => language.format("{} h {} min", &[&hours.to_string(), &rest_of_hour]),
        _ => language.format("{} d {} h", &[&days.to_string(), &rest_of_day]),
    }
}

/// Renders a past time, like `27 min ago`.
pub(super) fn ago(language: Language, at: Timestamp, now: Timestamp) -> Markup {
    relative_time(at, &language.format("{} ago", &[&span(language, time_until(now, at))]))
}

/// Renders a future time, like `in 27 min`.
pub(super) fn future(language: Language, at: Timestamp, now: Timestamp) -> Markup {
    relative_time(at, &language.format("in {}", &[&span(language, time_until(at, now))]))
}

fn relative_time(at: Timestamp, text: &str) -> Markup {
    let clock = at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    html! { time datetime=(at.strftime("%Y-%m-%dT%H:%M:%SZ")) title=(clock) { (text) } }
}

fn trimmed(text: String) -> String {
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// Separates thousands.
fn grouped(digits: &str) -> String {
    let lead = digits.len() % 3;
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && index % 3 == lead {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn numbers_are_as_short_as_they_are_precise() {
        for (share, written) in
            [(0.0, "0 %"), (0.5, "50 %"), (0.9876, "98.8 %"), (0.99999, "> 99.9 %"), (1.0, "100 %")]
        {
            assert_eq!(percent(share), written);
        }
        for (value, written) in [
            (0.0, "0"),
            (0.002, "0.002"),
            (0.254, "0.25"),
            (3.0, "3"),
            (3.44, "3.4"),
            (999.4, "999"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(number(value), written);
        }
        for (seconds, written) in [(0.000_18, "180 µs"), (0.0023, "2.3 ms"), (0.25, "250 ms"), (1.2, "1.2 s")]
        {
            assert_eq!(latency(seconds), written);
        }
        assert_eq!(count(12_u32), "12");
    }

    #[test]
    fn a_time_shows_its_distance_and_in_its_title_the_exact_time() {
        for (seconds, written) in
            [(45, "45 s ago"), (1620, "27 min ago"), (11_100, "3 h 5 min ago"), (187_200, "2 d 4 h ago")]
        {
            let shown = ago(Language::English, at(1_795_468_774), at(1_795_468_774 + seconds)).into_string();
            assert!(shown.contains(&format!(">{written}<")), "{shown}");
            assert!(shown.contains("title=\"2026-11-23 21:19:34 UTC\""), "{shown}");
        }
        assert!(future(Language::English, at(90), at(30)).into_string().contains(">in 1 min<"));
    }
}
