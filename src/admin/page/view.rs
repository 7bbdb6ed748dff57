//! What an operator chose to see of the overview, in its address.

use serde::Deserialize;

use crate::admin::history::Range;

/// The choices, as the address has them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Choices {
    range: String,
    sort: String,
    page: String,
}

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    pub(super) range: Range,
    pub(super) order: TemplateOrder,
    /// The page of the templates' table, counted from 1.
    pub(super) page: usize,
}

/// The order of the templates' table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TemplateOrder {
    Name,
    Requests,
    HitRate,
    Latency,
    Refused,
}

impl Choices {
    /// Returns the view. A choice that does not exist is as none.
    pub(super) fn view(&self) -> View {
        let range = Range::ALL.into_iter().find(|range| range_name(*range) == self.range);
        let order = TemplateOrder::ALL.into_iter().find(|order| order.name() == self.sort);
        View {
            range: range.unwrap_or_default(),
            // Of many templates, those in use are the ones to look at.
            order: order.unwrap_or(TemplateOrder::Requests),
            page: self.page.parse().unwrap_or(1).max(1),
        }
    }
}

impl View {
    /// Returns the address of this view.
    pub(super) fn link(self) -> String {
        format!("/?range={}&sort={}&page={}", range_name(self.range), self.order.name(), self.page)
    }
}

impl TemplateOrder {
    const ALL: [Self; 5] = [Self::Name, Self::Requests, Self::HitRate, Self::Latency, Self::Refused];

    fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Requests => "requests",
            Self::HitRate => "hits",
            Self::Latency => "p99",
            Self::Refused => "refused",
        }
    }
}

/// Returns the name of a range, in addresses and on the page.
pub(super) fn range_name(range: Range) -> &'static str {
    match range {
        Range::QuarterHour => "15min",
        Range::Hour => "1h",
        Range::Day => "24h",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_view_that_it_was_made_of() {
        let view = View { range: Range::Day, order: TemplateOrder::Latency, page: 3 };
        assert_eq!(view.link(), "/?range=24h&sort=p99&page=3");
        let choices = Choices { range: "24h".to_owned(), sort: "p99".to_owned(), page: "3".to_owned() };
        assert_eq!(choices.view(), view);
        let unknown = Choices { range: "1y".to_owned(), sort: "x".to_owned(), page: "0".to_owned() };
        assert_eq!(unknown.view(), View { range: Range::Hour, order: TemplateOrder::Requests, page: 1 });
    }
}
