//! The frame of every page, and its small parts.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Renders a page. A `live` page updates itself where scripts are allowed.
pub(super) fn page(title: &str, live: bool, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · cosbroker" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/operators.css";
                @if live { script src="/operators.js" type="module" {} }
            }
            body {
                header {
                    h1 { a href="/" { "cosbroker" } }
                    nav {
                        a href="/" aria-current=[(title == OVERVIEW_TITLE).then_some("page")] { "Overview" }
                        a href="/keys" aria-current=[(title == KEYS_TITLE).then_some("page")] { "Keys" }
                        a href="/advise" aria-current=[(title == WHAT_IF_TITLE).then_some("page")] { "What if" }
                        a href="/metrics" { "Metrics" }
                        a href="/api/status" { "JSON" }
                    }
                    @if live { p #live role="status" {} }
                }
                main { (body) }
            }
        }
    }
}

/// Renders the login page.
pub(super) fn login(path: &str, problem: Option<&str>) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "cosbroker" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/operators.css";
            }
            body {
                main {
                    section.principal {
                        h2 { "cosbroker operators" }
                        @if let Some(problem) = problem { p { (badge("bad", "refused")) " " (problem) } }
                        form method="post" action=(path) {
                            label { "Token of [admin]"
                                input type="password" name="token" required autofocus autocomplete="current-password";
                            }
                            div.buttons { button.primary { "Sign in" } }
                        }
                    }
                }
            }
        }
    }
}

pub(super) const OVERVIEW_TITLE: &str = "Overview";
pub(super) const KEYS_TITLE: &str = "Keys";
pub(super) const WHAT_IF_TITLE: &str = "What if";

/// Renders a table. Each cell names its column, so that a narrow screen can show rows as cards.
pub(super) fn table(columns: &[&str], rows: impl IntoIterator<Item = Vec<Markup>>) -> Markup {
    html! {
        table {
            thead { tr { @for column in columns { th scope="col" { (column) } } } }
            tbody {
                @for row in rows {
                    tr { @for (column, cell) in columns.iter().zip(row) { td data-label=(column) { div { (cell) } } } }
                }
            }
        }
    }
}

/// Renders an identifier.
pub(super) fn code(text: &str) -> Markup {
    html! { code { (text) } }
}

/// Renders a state; `class` is `good`, `bad` or empty.
pub(super) fn badge(class: &str, state: &str) -> Markup {
    html! { span.badge.(class) { (state) } }
}

/// Renders a missing value.
pub(super) fn none() -> Markup {
    PreEscaped("<span class=\"soft\">–</span>".to_owned())
}
