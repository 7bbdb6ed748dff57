//! The last hour of a figure, as a drawing: lines in SVG, words beside them in HTML.
//!
//! Knows numbers and how they are written. Text stands outside of the drawing, which is stretched to the room
//! there is; colours come from the page's style.

use std::{fmt::Write, time::Duration};

use maud::{Markup, html};

use super::quantity;
use crate::admin::history::KEPT;

/// The drawing's own measures.
const WIDTH: f64 = 3600.0;
const HEIGHT: f64 = 1000.0;
/// How far back a drawing goes.
const SPANS: [Duration; 4] = [Duration::from_mins(2), Duration::from_mins(10), Duration::from_mins(30), KEPT];
/// What lies further apart is not joined: nobody looked meanwhile.
const GAP: Duration = Duration::from_mins(2);

/// Figures of one kind, over the hour.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    /// How a value of the axis is written.
    pub(super) unit: fn(f64) -> String,
    /// The axis' end; what fits the values where there is none.
    pub(super) top: Option<f64>,
    pub(super) lines: Vec<Line<'a>>,
}

/// One of them.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    /// Its colour's name in the style sheet.
    pub(super) class: &'a str,
    pub(super) points: Vec<Point>,
}

/// How long ago, and what it was then; none where there was nothing to measure.
pub(super) type Point = (Duration, Option<f64>);

impl Chart<'_> {
    pub(super) fn draw(&self) -> Markup {
        let top = self.top.unwrap_or_else(|| nice(self.largest()));
        let span = self.span();
        html! {
            figure.chart {
                figcaption {
                    span { (self.title) }
                    ul.legend {
                        @for line in &self.lines {
                            li.(line.class) {
                                (line.name) " " b { (line.now().map_or_else(|| "–".to_owned(), self.unit)) }
                            }
                        }
                    }
                }
                div.axis aria-hidden="true" {
                    span { ((self.unit)(top)) } span { ((self.unit)(top / 2.0)) } span { ((self.unit)(0.0)) }
                }
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img"
                    aria-label=(self.in_words()) {
                    @for share in [0.0, 0.5, 1.0] {
                        line.grid x1="0" x2=(WIDTH) y1=(HEIGHT * share) y2=(HEIGHT * share) {}
                    }
                    @for line in &self.lines {
                        @for run in line.runs() {
                            @if line.class == "filled" { path.area.filled d=(area(&run, top, span)) {} }
                            path.line.(line.class) d=(path(&run, top, span)) {}
                        }
                    }
                }
                div.hours aria-hidden="true" { span { (quantity::span(span)) " ago" } span { (quantity::span(span / 2)) } span { "now" } }
            }
        }
    }

    /// As far back as there is something to show, in round numbers.
    fn span(&self) -> Duration {
        let ages = self.lines.iter().filter_map(|line| line.points.first()).map(|(age, _)| *age);
        let oldest = ages.max().unwrap_or_default();
        SPANS.into_iter().find(|span| *span >= oldest).unwrap_or(KEPT)
    }

    fn largest(&self) -> f64 {
        let values = self.lines.iter().flat_map(|line| &line.points).filter_map(|(_, value)| *value);
        values.fold(0.0, f64::max)
    }

    fn in_words(&self) -> String {
        let mut words = format!("{}, last hour.", self.title);
        for line in &self.lines {
            let mut values: Vec<f64> = line.points.iter().filter_map(|(_, value)| *value).collect();
            values.sort_by(f64::total_cmp);
            let (Some(now), [least, ..], [.., most]) = (line.now(), values.as_slice(), values.as_slice())
            else {
                continue;
            };
            let [now, least, most] = [now, *least, *most].map(self.unit);
            // A `String` takes all that is written to it.
            let _ = write!(words, " {}: {now} now, {least} to {most}.", line.name);
        }
        words
    }
}

impl Line<'_> {
    fn now(&self) -> Option<f64> {
        self.points.last().and_then(|(_, value)| *value)
    }

    /// Values without a gap between them.
    fn runs(&self) -> Vec<Vec<(Duration, f64)>> {
        let mut runs: Vec<Vec<(Duration, f64)>> = Vec::new();
        let mut joined = false;
        for (age, value) in self.points.iter().filter(|(age, _)| *age <= KEPT) {
            let Some(value) = value else {
                joined = false;
                continue;
            };
            match runs.last_mut() {
                Some(run)
                    if joined && run.last().is_some_and(|(before, _)| before.saturating_sub(*age) <= GAP) =>
                {
                    run.push((*age, *value));
                }
                _ => runs.push(vec![(*age, *value)]),
            }
            joined = true;
        }
        runs
    }
}

fn place(&(age, value): &(Duration, f64), top: f64, span: Duration) -> (f64, f64) {
    let up = if top > 0.0 { (value / top).clamp(0.0, 1.0) } else { 0.0 };
    (WIDTH * (1.0 - age.div_duration_f64(span)), HEIGHT * (1.0 - up))
}

fn path(run: &[(Duration, f64)], top: f64, span: Duration) -> String {
    let mut path = String::new();
    for (at, point) in run.iter().enumerate() {
        let (x, y) = place(point, top, span);
        let step = if at == 0 { 'M' } else { 'L' };
        // A `String` takes all that is written to it.
        let _ = write!(path, "{step}{x:.0} {y:.0}");
    }
    // A line of one point would not be seen.
    if run.len() == 1 {
        path.push_str("h1");
    }
    path
}

fn area(run: &[(Duration, f64)], top: f64, span: Duration) -> String {
    let end = |point: Option<&(Duration, f64)>| point.map_or(WIDTH, |point| place(point, top, span).0);
    let (first, last) = (end(run.first()), end(run.last()));
    format!("{}L{last:.0} {HEIGHT}L{first:.0} {HEIGHT}Z", path(run, top, span))
}

/// The least of …, 0.1, 0.2, 0.5, 1, 2, … that is not below; 1 where there is nothing.
fn nice(largest: f64) -> f64 {
    if largest == 0.0 {
        return 1.0;
    }
    let steps = (-3..12).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)));
    steps.into_iter().find(|step| *step >= largest).unwrap_or(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: &[(u64, Option<f64>)]) -> Line<'static> {
        let points = points.iter().map(|(age, value)| (Duration::from_secs(*age), *value)).collect();
        Line { name: "asks", class: "filled", points }
    }

    #[test]
    fn what_was_not_measured_is_a_gap() {
        let runs = line(&[
            (4000, Some(9.0)),
            (3600, Some(1.0)),
            (3585, Some(2.0)),
            (3570, None),
            (3555, Some(3.0)),
            (900, Some(4.0)),
        ])
        .runs();
        let values: Vec<Vec<f64>> =
            runs.iter().map(|run| run.iter().map(|(_, value)| *value).collect()).collect();
        assert_eq!(values, [vec![1.0, 2.0], vec![3.0], vec![4.0]], "what is older than an hour is left out");
    }

    #[test]
    fn now_is_at_the_right_and_the_most_at_the_top() {
        let run = [(Duration::from_hours(1), 0.0), (Duration::from_mins(30), 1.0), (Duration::ZERO, 2.0)];
        assert_eq!(path(&run, 2.0, KEPT), "M0 1000L1800 500L3600 0");
        assert_eq!(path(&run[2..], 2.0, KEPT), "M3600 0h1");
        assert_eq!(area(&run, 2.0, KEPT), "M0 1000L1800 500L3600 0L3600 1000L0 1000Z");
    }

    #[test]
    fn a_young_service_fills_its_drawing() {
        for (age, minutes) in [(0, 2), (121, 10), (601, 30), (1801, 60), (9000, 60)] {
            let lines = vec![line(&[(age, Some(1.0)), (0, Some(1.0))])];
            let chart = Chart { title: "Asks", unit: quantity::number, top: None, lines };
            assert_eq!(chart.span(), Duration::from_mins(minutes), "{age}");
        }
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        for (largest, top) in [(0.0, 1.0), (0.03, 0.05), (1.0, 1.0), (7.0, 10.0), (130.0, 200.0)] {
            assert!((nice(largest) - top).abs() < 1e-9, "{largest}: {}", nice(largest));
        }
    }

    #[test]
    fn a_drawing_says_in_words_what_it_shows() {
        let lines = vec![line(&[(60, Some(10.0)), (30, Some(4.0)), (0, Some(5.0))])];
        let chart = Chart { title: "Asks", unit: quantity::number, top: None, lines };
        assert_eq!(chart.in_words(), "Asks, last hour. asks: 5 now, 4 to 10.");
    }
}
