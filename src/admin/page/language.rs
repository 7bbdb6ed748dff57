//! The language of a page: English, or Chinese where the browser prefers it.
//!
//! A text is written in English where it is shown; `chinese` has the translations.

use maud::{Markup, html};

use super::{chinese::chinese, chinese_causes::in_chinese};
use diagnostics::printable;

/// The language of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Chinese,
}

impl Language {
    /// Returns the language that a browser prefers, by its `Accept-Language` (RFC 9110 §12.5.4).
    pub(super) fn of(accept_language: &str) -> Self {
        let mut best = (0.0, Self::English);
        for range in accept_language.split(',') {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim();
            let weight = parts.find_map(|part| part.trim().strip_prefix("q=")?.trim().parse().ok());
            let weight: f64 = weight.unwrap_or(1.0);
            let language = match tag.split('-').next() {
                Some(primary) if primary.eq_ignore_ascii_case("zh") => Self::Chinese,
                Some(primary) if primary.eq_ignore_ascii_case("en") => Self::English,
                _ => continue,
            };
            if weight > best.0 {
                best = (weight, language);
            }
        }
        best.1
    }

    /// Returns the language's tag, for `lang`.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    /// Returns a text in this language.
    pub(super) fn text(self, english: &'static str) -> &'static str {
        match self {
            Self::English => english,
            Self::Chinese => chinese(english).unwrap_or(english),
        }
    }

    /// Returns a text that other parts of the service made, such as the cause of a refusal.
    pub(super) fn cause(self, english: &str) -> String {
        let shown = printable(english);
        match self {
            Self::English => shown,
            Self::Chinese => in_chinese(&shown),
        }
    }

    /// Renders a sentence with values in the places of `{}`.
    pub(super) fn sentence(self, english: &'static str, values: &[Markup]) -> Markup {
        let mut values = values.iter();
        let mut parts = self.text(english).split("{}");
        html! {
            (parts.next().unwrap_or_default())
            @for part in parts {
                @if let Some(value) = values.next() { (value) }
                (part)
            }
        }
    }

    /// Returns a text with values in the places of `{}`.
    pub(super) fn format(self, english: &'static str, values: &[&str]) -> String {
        let mut text = String::new();
        let mut values = values.iter();
        for (index, part) in self.text(english).split("{}").enumerate() {
            if index > 0 {
                text.push_str(values.next().unwrap_or(&""));
            }
            text.push_str(part);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_chooses_the_language() {
        for (accepted, language) in [
            ("", Language::English),
            ("*", Language::English),
            ("zh", Language::Chinese),
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("ZH-Hant-TW", Language::Chinese),
            ("en-GB,en;q=0.9,zh;q=0.8", Language::English),
            ("de-DE,zh;q=0.5", Language::Chinese),
            ("en;q=0.2,zh;q=0.3", Language::Chinese),
            ("zh;q=0", Language::English),
            ("zh;q=x", Language::Chinese),
        ] {
            assert_eq!(Language::of(accepted), language, "{accepted}");
        }
    }

    #[test]
    fn every_text_of_the_pages_is_there_in_chinese() {
        let pages = [
            include_str!("advice.rs"),
            include_str!("chart.rs"),
            include_str!("fleet.rs"),
            include_str!("headline.rs"),
            include_str!("keys.rs"),
            include_str!("layout.rs"),
            include_str!("overview.rs"),
            include_str!("quantity.rs"),
            include_str!("refusals.rs"),
            include_str!("revocation.rs"),
            include_str!("services.rs"),
            include_str!("session.rs"),
            include_str!("template.rs"),
            include_str!("templates.rs"),
            include_str!("traffic.rs"),
        ];
        let mut missing = Vec::new();
        for page in pages {
            let page = page.split("#[cfg(test)]").next().unwrap();
            let calls = [
                "language.text(",
                "language.sentence(",
                "language.format(",
                "self.chart(",
                "self.line(",
                "(tile(",
                "Column::plain(",
                "ordered(",
            ];
            for call in calls {
                let calls = page.split(call).skip(1);
                let texts = calls.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
                missing.extend(texts.filter(|text| chinese(text).is_none()));
            }
        }
        assert!(missing.is_empty(), "{missing:#?}");
    }

    #[test]
    fn a_sentence_takes_values_and_escapes_them() {
        let sentence =
            Language::English.sentence("{} of {} per second", &[html! { "<" }, html! { b { "2" } }]);
        assert_eq!(sentence.into_string(), "&lt; of <b>2</b> per second");
        assert_eq!(Language::English.format("{} of {} per second", &["1", "2"]), "1 of 2 per second");
    }
}
