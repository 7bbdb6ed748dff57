//! Line charts of the last hour: lines in SVG, text in HTML.
//!
//! The SVG is stretched to the space there is, so it holds no text. Colours come from the style sheet.

use std::{fmt::Write, time::Duration};

use maud::{Markup, html};

use super::quantity;
use crate::admin::history::HISTORY_SPAN;

/// The width of the SVG in its own units.
const WIDTH: f64 = 3600.0;
/// The height of the SVG in its own units.
const HEIGHT: f64 = 1000.0;
/// The possible lengths of the time axis.
const AXIS_SPANS: [Duration; 4] =
    [Duration::from_mins(2), Duration::from_mins(10), Duration::from_mins(30), HISTORY_SPAN];
/// The distance above which two points are not joined: no samples were taken between them.
const MAX_JOINED_DISTANCE: Duration = Duration::from_mins(2);

/// A chart of lines with one unit.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    /// Formats a value of the axis.
    pub(super) unit: fn(f64) -> String,
    /// The end of the value axis; if none, it fits the values.
    pub(super) top: Option<f64>,
    pub(super) lines: Vec<Line<'a>>,
}

/// A line of a chart.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    /// The class in the style sheet that sets the colour.
    pub(super) class: &'a str,
    pub(super) points: Vec<Point>,
}

/// The age of a sample, and its value, if there was something to measure.
pub(super) type Point = (Duration, Option<f64>);

impl Chart<'_> {
    pub(super) fn draw(&self) -> Markup {
        let top = self.top.unwrap_or_else(|| round_up(self.max_value()));
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
                    aria-label=(self.description()) {
                    @for share in [0.0, 0.5, 1.0] {
                        line.grid x1="0" x2=(WIDTH) y1=(HEIGHT * share) y2=(HEIGHT * share) {}
                    }
                    @for line in &self.lines {
                        @for segment in line.segments() {
                            @if line.class == "filled" { path.area.filled d=(area(&segment, top, span)) {} }
                            path.line.(line.class) d=(path(&segment, top, span)) {}
                        }
                    }
                }
                div.hours aria-hidden="true" { span { (quantity::span(span)) " ago" } span { (quantity::span(span / 2)) } span { "now" } }
            }
        }
    }

    /// Returns the length of the time axis: the shortest that fits the points.
    fn span(&self) -> Duration {
        let ages = self.lines.iter().filter_map(|line| line.points.first()).map(|(age, _)| *age);
        let oldest = ages.max().unwrap_or_default();
        AXIS_SPANS.into_iter().find(|span| *span >= oldest).unwrap_or(HISTORY_SPAN)
    }

    fn max_value(&self) -> f64 {
        let values = self.lines.iter().flat_map(|line| &line.points).filter_map(|(_, value)| *value);
        values.fold(0.0, f64::max)
    }

    fn description(&self) -> String {
        let mut text = format!("{}, last hour.", self.title);
        for line in &self.lines {
            let mut values: Vec<f64> = line.points.iter().filter_map(|(_, value)| *value).collect();
            values.sort_by(f64::total_cmp);
            let (Some(now), [min, ..], [.., max]) = (line.now(), values.as_slice(), values.as_slice()) else {
                continue;
            };
            let [now, min, max] = [now, *min, *max].map(self.unit);
            // Writing to a string never fails.
            let _ = write!(text, " {}: {now} now, {min} to {max}.", line.name);
        }
        text
    }
}

impl Line<'_> {
    fn now(&self) -> Option<f64> {
        self.points.last().and_then(|(_, value)| *value)
    }

    /// Returns the points, split where values are missing.
    fn segments(&self) -> Vec<Vec<(Duration, f64)>> {
        let mut segments: Vec<Vec<(Duration, f64)>> = Vec::new();
        let mut joined = false;
        for (age, value) in self.points.iter().filter(|(age, _)| *age <= HISTORY_SPAN) {
            let Some(value) = value else {
                joined = false;
                continue;
            };
            match segments.last_mut() {
                Some(segment) if joined && is_joined(segment, *age) => segment.push((*age, *value)),
                _ => segments.push(vec![(*age, *value)]),
            }
            joined = true;
        }
        segments
    }
}

/// Returns whether a point of this age continues a segment.
fn is_joined(segment: &[(Duration, f64)], age: Duration) -> bool {
    segment.last().is_some_and(|(before, _)| before.saturating_sub(age) <= MAX_JOINED_DISTANCE)
}

fn position(&(age, value): &(Duration, f64), top: f64, span: Duration) -> (f64, f64) {
    let up = if top > 0.0 { (value / top).clamp(0.0, 1.0) } else { 0.0 };
    (WIDTH * (1.0 - age.div_duration_f64(span)), HEIGHT * (1.0 - up))
}

fn path(segment: &[(Duration, f64)], top: f64, span: Duration) -> String {
    let mut path = String::new();
    for (index, point) in segment.iter().enumerate() {
        let (x, y) = position(point, top, span);
        let step = if index == 0 { 'M' } else { 'L' };
        // Writing to a string never fails.
        let _ = write!(path, "{step}{x:.0} {y:.0}");
    }
    // A line of one point would be invisible.
    if segment.len() == 1 {
        path.push_str("h1");
    }
    path
}

fn area(segment: &[(Duration, f64)], top: f64, span: Duration) -> String {
    let [first, last] = [segment.first(), segment.last()]
        .map(|point| point.map_or(WIDTH, |point| position(point, top, span).0));
    format!("{}L{last:.0} {HEIGHT}L{first:.0} {HEIGHT}Z", path(segment, top, span))
}

/// Rounds up to …, 0.1, 0.2, 0.5, 1, 2, …; returns 1 for 0.
fn round_up(value: f64) -> f64 {
    if value == 0.0 {
        return 1.0;
    }
    let steps = (-3..12).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)));
    steps.into_iter().find(|step| *step >= value).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: &[(u64, Option<f64>)]) -> Line<'static> {
        let points = points.iter().map(|(age, value)| (Duration::from_secs(*age), *value)).collect();
        Line { name: "requests", class: "filled", points }
    }

    #[test]
    fn a_missing_value_is_a_gap() {
        let segments = line(&[
            (4000, Some(9.0)),
            (3600, Some(1.0)),
            (3585, Some(2.0)),
            (3570, None),
            (3555, Some(3.0)),
            (900, Some(4.0)),
        ])
        .segments();
        let values: Vec<Vec<f64>> =
            segments.iter().map(|segment| segment.iter().map(|(_, value)| *value).collect()).collect();
        assert_eq!(values, [vec![1.0, 2.0], vec![3.0], vec![4.0]], "points older than an hour are left out");
    }

    #[test]
    fn now_is_at_the_right_and_the_maximum_at_the_top() {
        let segment = [(Duration::from_hours(1), 0.0), (Duration::from_mins(30), 1.0), (Duration::ZERO, 2.0)];
        assert_eq!(path(&segment, 2.0, HISTORY_SPAN), "M0 1000L1800 500L3600 0");
        assert_eq!(path(&segment[2..], 2.0, HISTORY_SPAN), "M3600 0h1");
        assert_eq!(area(&segment, 2.0, HISTORY_SPAN), "M0 1000L1800 500L3600 0L3600 1000L0 1000Z");
    }

    #[test]
    fn the_time_axis_fits_the_points() {
        for (age, minutes) in [(0, 2), (121, 10), (601, 30), (1801, 60), (9000, 60)] {
            let lines = vec![line(&[(age, Some(1.0)), (0, Some(1.0))])];
            let chart = Chart { title: "Requests", unit: quantity::number, top: None, lines };
            assert_eq!(chart.span(), Duration::from_mins(minutes), "{age}");
        }
    }

    #[test]
    fn the_value_axis_ends_at_a_round_number() {
        for (max, top) in [(0.0, 1.0), (0.03, 0.05), (1.0, 1.0), (7.0, 10.0), (130.0, 200.0)] {
            assert!((round_up(max) - top).abs() < 1e-9, "{max}: {}", round_up(max));
        }
    }

    #[test]
    fn a_chart_has_a_description_for_screen_readers() {
        let lines = vec![line(&[(60, Some(10.0)), (30, Some(4.0)), (0, Some(5.0))])];
        let chart = Chart { title: "Requests", unit: quantity::number, top: None, lines };
        assert_eq!(chart.description(), "Requests, last hour. requests: 5 now, 4 to 10.");
    }
}
