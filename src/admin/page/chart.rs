//! Line charts of the latest time: lines in SVG, text in HTML.
//!
//! The SVG is stretched to the space there is, so it holds no text. Colours come from the style sheet.

use std::{fmt::Write, time::Duration};

use maud::{Markup, html};

use super::{language::Language, quantity};
use crate::admin::{history::Range, template_history::MarkedEvent};

/// The width of the SVG in its own units.
const WIDTH: f64 = 3600.0;
/// The height of the SVG in its own units.
const HEIGHT: f64 = 1000.0;
/// The possible lengths of the time axis.
const AXIS_SPANS: [Duration; 6] = [
    Duration::from_mins(2),
    Duration::from_mins(15),
    Duration::from_mins(30),
    Duration::from_hours(1),
    Duration::from_hours(6),
    Duration::from_hours(24),
];
/// The possible beginnings of an axis of shares: what matters is often between 98 and 100 %.
const SHARE_BOTTOMS: [f64; 7] = [0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99];

/// A chart of lines with one unit.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    /// Formats a value of the axis.
    pub(super) unit: fn(f64) -> String,
    pub(super) scale: Scale,
    pub(super) lines: Vec<Line<'a>>,
    /// The ages of what happened.
    pub(super) marks: &'a [(Duration, MarkedEvent)],
    pub(super) range: Range,
    pub(super) language: Language,
}

/// The value axis of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// From 0 to the maximum.
    Amount,
    /// To 1, from a round share below the minimum.
    Share,
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
        let axis = self.axis();
        let Self { language, .. } = *self;
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
                    @for value in [axis.top, f64::midpoint(axis.bottom, axis.top), axis.bottom] {
                        span { ((self.unit)(value)) }
                    }
                }
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img"
                    aria-label=(self.description()) {
                    @for share in [0.0, 0.5, 1.0] {
                        line.grid x1="0" x2=(WIDTH) y1=(HEIGHT * share) y2=(HEIGHT * share) {}
                    }
                    @for (age, event) in self.marks.iter().filter(|(age, _)| *age <= axis.span) {
                        @let x = axis.x(*age);
                        line.mark.(event_class(*event)) x1=(x) x2=(x) y1="0" y2=(HEIGHT) {
                            title { (language.text(event_name(*event))) }
                        }
                    }
                    @for line in &self.lines {
                        @for segment in line.segments(self.range) {
                            @if line.class == "filled" { path.area.filled d=(axis.area(&segment)) {} }
                            path.line.(line.class) d=(axis.path(&segment)) {}
                        }
                    }
                }
                div.hours aria-hidden="true" {
                    span { (language.format("{} ago", &[&quantity::span(language, axis.span)])) }
                    span { (quantity::span(language, axis.span / 2)) }
                    span { (language.text("now")) }
                }
            }
        }
    }

    fn axis(&self) -> Axis {
        let (bottom, top) = match self.scale {
            Scale::Amount => (0.0, round_up(self.values().fold(0.0, f64::max))),
            Scale::Share => (share_bottom(self.values().fold(1.0, f64::min)), 1.0),
        };
        Axis { bottom, top, span: self.span() }
    }

    /// Returns the length of the time axis: the shortest that fits the points, and no longer than the range.
    fn span(&self) -> Duration {
        let range = self.range.span();
        let ages = self.lines.iter().filter_map(|line| line.points.first()).map(|(age, _)| *age);
        let oldest = ages.max().unwrap_or_default();
        AXIS_SPANS.into_iter().find(|span| *span >= oldest).map_or(range, |span| span.min(range))
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        let points = self.lines.iter().flat_map(|line| &line.points);
        points.filter(|(age, _)| *age <= self.range.span()).filter_map(|(_, value)| *value)
    }

    fn description(&self) -> String {
        let range = quantity::span(self.language, self.range.span());
        let mut text = format!("{}, {}.", self.title, self.language.format("the last {}", &[&range]));
        for line in &self.lines {
            let mut values: Vec<f64> = line.points.iter().filter_map(|(_, value)| *value).collect();
            values.sort_by(f64::total_cmp);
            let (Some(now), [min, ..], [.., max]) = (line.now(), values.as_slice(), values.as_slice()) else {
                continue;
            };
            let [now, min, max] = [now, *min, *max].map(self.unit);
            let values = self.language.format("{} now, {} to {}", &[&now, &min, &max]);
            // Writing to a string never fails.
            let _ = write!(text, " {}: {values}.", line.name);
        }
        text
    }
}

pub(super) fn event_class(event: MarkedEvent) -> &'static str {
    match event {
        MarkedEvent::Started => "started",
        MarkedEvent::Reloaded => "reloaded",
        MarkedEvent::Rotated => "rotated",
    }
}

/// Returns the name of an event in English.
pub(super) fn event_name(event: MarkedEvent) -> &'static str {
    match event {
        MarkedEvent::Started => "started",
        MarkedEvent::Reloaded => "templates reloaded",
        MarkedEvent::Rotated => "source credentials rotated",
    }
}

impl Line<'_> {
    fn now(&self) -> Option<f64> {
        self.points.last().and_then(|(_, value)| *value)
    }

    /// Returns the points, split where values are missing.
    fn segments(&self, range: Range) -> Vec<Vec<(Duration, f64)>> {
        let mut segments: Vec<Vec<(Duration, f64)>> = Vec::new();
        let mut joined = false;
        for (age, value) in self.points.iter().filter(|(age, _)| *age <= range.span()) {
            let Some(value) = value else {
                joined = false;
                continue;
            };
            match segments.last_mut() {
                Some(segment) if joined && is_joined(segment, *age, range) => segment.push((*age, *value)),
                _ => segments.push(vec![(*age, *value)]),
            }
            joined = true;
        }
        segments
    }
}

/// Returns whether a point of this age continues a segment: samples were taken between them.
fn is_joined(segment: &[(Duration, f64)], age: Duration, range: Range) -> bool {
    let max_distance = match range {
        Range::QuarterHour | Range::Hour => Duration::from_mins(2),
        Range::Day => Duration::from_mins(15),
    };
    segment.last().is_some_and(|(before, _)| before.saturating_sub(age) <= max_distance)
}

/// The axes of a chart.
#[derive(Debug, Clone, Copy)]
struct Axis {
    bottom: f64,
    top: f64,
    span: Duration,
}

impl Axis {
    fn x(self, age: Duration) -> f64 {
        (WIDTH * (1.0 - age.div_duration_f64(self.span))).round()
    }

    fn position(self, &(age, value): &(Duration, f64)) -> (f64, f64) {
        let up = ((value - self.bottom) / (self.top - self.bottom)).clamp(0.0, 1.0);
        (self.x(age), HEIGHT * (1.0 - up))
    }

    fn path(self, segment: &[(Duration, f64)]) -> String {
        let mut path = String::new();
        for (index, point) in segment.iter().enumerate() {
            let (x, y) = self.position(point);
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

    fn area(self, segment: &[(Duration, f64)]) -> String {
        let [first, last] = [segment.first(), segment.last()]
            .map(|point| point.map_or(WIDTH, |point| self.position(point).0));
        format!("{}L{last:.0} {HEIGHT}L{first:.0} {HEIGHT}Z", self.path(segment))
    }
}

/// Renders a small line of values at even distances, without axes.
pub(super) fn sparkline(values: &[f64], description: &str) -> Markup {
    let top = round_up(values.iter().copied().fold(0.0, f64::max));
    let axis =
        Axis { bottom: 0.0, top, span: Duration::from_secs(values.len().saturating_sub(1).max(1) as u64) };
    let ages = (0..values.len() as u64).rev().map(Duration::from_secs);
    let points: Vec<(Duration, f64)> = ages.zip(values.iter().copied()).collect();
    html! {
        svg.spark viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(description) {
            path.area.filled d=(axis.area(&points)) {}
            path.line.filled d=(axis.path(&points)) {}
        }
    }
}

/// Returns the highest beginning of an axis of shares that shows this one.
fn share_bottom(min: f64) -> f64 {
    SHARE_BOTTOMS.into_iter().rev().find(|bottom| *bottom < min).unwrap_or_default()
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

    const HOUR: Duration = Duration::from_hours(1);

    fn line(points: &[(u64, Option<f64>)]) -> Line<'static> {
        let points = points.iter().map(|(age, value)| (Duration::from_secs(*age), *value)).collect();
        Line { name: "requests", class: "filled", points }
    }

    fn chart(points: &[(u64, Option<f64>)]) -> Chart<'static> {
        Chart {
            title: "Requests",
            unit: quantity::number,
            scale: Scale::Amount,
            lines: vec![line(points)],
            marks: &[],
            range: Range::Hour,
            language: Language::English,
        }
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
        .segments(Range::Hour);
        let values: Vec<Vec<f64>> =
            segments.iter().map(|segment| segment.iter().map(|(_, value)| *value).collect()).collect();
        assert_eq!(
            values,
            [vec![1.0, 2.0], vec![3.0], vec![4.0]],
            "points older than the range are left out"
        );
    }

    #[test]
    fn now_is_at_the_right_and_the_maximum_at_the_top() {
        let axis = Axis { bottom: 0.0, top: 2.0, span: HOUR };
        let segment = [(HOUR, 0.0), (Duration::from_mins(30), 1.0), (Duration::ZERO, 2.0)];
        assert_eq!(axis.path(&segment), "M0 1000L1800 500L3600 0");
        assert_eq!(axis.path(&segment[2..]), "M3600 0h1");
        assert_eq!(axis.area(&segment), "M0 1000L1800 500L3600 0L3600 1000L0 1000Z");
    }

    #[test]
    fn the_time_axis_fits_the_points_and_the_range() {
        for (age, minutes) in [(0, 2), (121, 15), (901, 30), (1801, 60), (9000, 60)] {
            let chart = chart(&[(age, Some(1.0)), (0, Some(1.0))]);
            assert_eq!(chart.span(), Duration::from_mins(minutes), "{age}");
        }
        let quarter = Chart { range: Range::QuarterHour, ..chart(&[(3600, Some(1.0))]) };
        assert_eq!(quarter.span(), Duration::from_mins(15));
    }

    #[test]
    fn the_value_axis_ends_at_a_round_number() {
        for (max, top) in [(0.0, 1.0), (0.03, 0.05), (1.0, 1.0), (7.0, 10.0), (130.0, 200.0)] {
            assert!((round_up(max) - top).abs() < 1e-9, "{max}: {}", round_up(max));
        }
    }

    #[test]
    fn an_axis_of_shares_shows_98_against_99_5() {
        for (min, bottom) in [(1.0, 0.99), (0.995, 0.99), (0.98, 0.95), (0.7, 0.5), (0.0, 0.0)] {
            assert!((share_bottom(min) - bottom).abs() < 1e-9, "{min}");
        }
        let mut chart = chart(&[(60, Some(0.98)), (0, Some(0.995))]);
        chart.scale = Scale::Share;
        assert_eq!(
            chart.axis().path(&[(Duration::ZERO, 0.98), (Duration::ZERO, 0.995)]),
            "M3600 400L3600 100"
        );
    }

    #[test]
    fn a_mark_stands_where_something_happened() {
        let marks = [(Duration::from_mins(1), MarkedEvent::Reloaded), (HOUR, MarkedEvent::Started)];
        let chart = Chart { marks: &marks, ..chart(&[(120, Some(1.0)), (0, Some(1.0))]) };
        let drawn = chart.draw().into_string();
        assert!(drawn.contains("class=\"mark reloaded\" x1=\"1800\""), "{drawn}");
        assert!(!drawn.contains("mark started"), "it is older than the axis: {drawn}");
    }

    #[test]
    fn a_chart_has_a_description_for_screen_readers() {
        let chart = chart(&[(60, Some(10.0)), (30, Some(4.0)), (0, Some(5.0))]);
        assert_eq!(chart.description(), "Requests, the last 1 h. requests: 5 now, 4 to 10.");
    }
}
