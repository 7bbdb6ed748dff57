//! The frame of every page, and its small parts.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::language::Language;

/// A page of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Keys,
    WhatIf,
    /// A page that the navigation does not lead to.
    Elsewhere,
}

/// Renders a page. The overview updates itself where scripts are allowed.
pub(super) fn page(language: Language, place: Place, title: &str, body: &Markup) -> Markup {
    let current = |of: Place| (of == place).then_some("page");
    let is_live = place == Place::Overview;
    html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            (head(&format!("{title} · cosbroker"), is_live))
            body {
                header {
                    h1 { a href="/" { "cosbroker" } }
                    nav {
                        a href="/" aria-current=[current(Place::Overview)] { (language.text("Overview")) }
                        a href="/keys" aria-current=[current(Place::Keys)] { (language.text("Keys")) }
                        a href="/advise" aria-current=[current(Place::WhatIf)] { (language.text("What if")) }
                        a href="/metrics" { (language.text("Metrics")) }
                        a href="/api/status" { "JSON" }
                    }
                    @if is_live {
                        p #live role="status" data-live=(language.text("live"))
                            data-unreachable=(language.text("not reachable")) {}
                    }
                }
                main { (body) }
            }
        }
    }
}

fn head(title: &str, is_live: bool) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            title { (title) }
            link rel="icon" href="data:,";
            link rel="stylesheet" href="/operators.css";
            @if is_live { script src="/operators.js" type="module" {} }
        }
    }
}

/// Renders the login page.
pub(super) fn login(language: Language, path: &str, problem: Option<&str>) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            (head("cosbroker", false))
            body {
                main {
                    section.principal {
                        h2 { (language.text("cosbroker operators")) }
                        @if let Some(problem) = problem { p { (badge("bad", language.text("refused"))) " " (problem) } }
                        form method="post" action=(path) {
                            label { (language.text("Token of [admin]"))
                                input type="password" name="token" required autofocus autocomplete="current-password";
                            }
                            div.buttons { button.primary { (language.text("Sign in")) } }
                        }
                    }
                }
            }
        }
    }
}

/// The heading of a column, and where it leads: to the same table in that column's order.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) order: Option<String>,
}

impl Column {
    pub(super) fn plain(name: &'static str) -> Self {
        Self { name, order: None }
    }
}

/// Renders a table. Each cell names its column, so that a phone can show rows as cards.
pub(super) fn table(
    language: Language,
    columns: &[Column],
    rows: impl IntoIterator<Item = Vec<Markup>>,
) -> Markup {
    html! {
        table {
            thead { tr {
                @for Column { name, order } in columns {
                    th scope="col" {
                        @match order {
                            Some(link) => a href=(link) { (language.text(name)) },
                            None => (language.text(name)),
                        }
                    }
                }
            } }
            tbody {
                @for row in rows {
                    tr {
                        @for (column, cell) in columns.iter().zip(row) {
                            td data-label=(language.text(column.name)) { div { (cell) } }
                        }
                    }
                }
            }
        }
    }
}

/// Renders columns that cannot be ordered.
pub(super) fn plain_columns<const N: usize>(names: [&'static str; N]) -> [Column; N] {
    names.map(Column::plain)
}

/// Renders the links to the pages of a long table; pages count from 1.
pub(super) fn pager(language: Language, page: usize, pages: usize, link: impl Fn(usize) -> String) -> Markup {
    let [shown, last] = [page, pages].map(|number| number.to_string());
    html! {
        @if pages > 1 {
            p.pager {
                @if page > 1 { a.button rel="prev" href=(link(page - 1)) { (language.text("Previous")) } }
                span.soft { (language.format("page {} of {}", &[&shown, &last])) }
                @if page < pages { a.button rel="next" href=(link(page + 1)) { (language.text("Next")) } }
            }
        }
    }
}

/// Renders an identifier.
pub(super) fn code(text: &str) -> Markup {
    html! { code { (text) } }
}

/// Renders a state; `class` is `good`, `bad`, `warning` or empty.
pub(super) fn badge(class: &str, state: &str) -> Markup {
    html! { span.badge.(class) { (state) } }
}

/// Renders a missing value.
pub(super) fn none() -> Markup {
    PreEscaped("<span class=\"soft\">–</span>".to_owned())
}
