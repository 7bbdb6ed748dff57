//! What every page of the operators' listener has around it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A page of this title. `live` has it follow the service where scripts may run.
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
                        a href="/" aria-current=[(title == OVERVIEW).then_some("page")] { "Overview" }
                        a href="/keys" aria-current=[(title == KEYS).then_some("page")] { "Keys" }
                        a href="/advise" aria-current=[(title == WHAT_IF).then_some("page")] { "What if" }
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

/// The page before all others, for who has not shown the token.
pub(super) fn auth(login: &str, problem: Option<&str>) -> Markup {
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
                        @if let Some(problem) = problem { p { (badge("bad", "no")) " " (problem) } }
                        form method="post" action=(login) {
                            label { "The token of [admin]"
                                input type="password" name="token" required autofocus autocomplete="current-password";
                            }
                            div.buttons { button.primary { "Open" } }
                        }
                    }
                }
            }
        }
    }
}

pub(super) const OVERVIEW: &str = "Overview";
pub(super) const KEYS: &str = "Keys";
pub(super) const WHAT_IF: &str = "What if";

/// A table that becomes a list of cards where there is little room: each cell has its column's name.
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

/// Text that is a name of something.
pub(super) fn code(text: &str) -> Markup {
    html! { code { (text) } }
}

/// A short word on how something is: `good`, `bad` or plain.
pub(super) fn badge(kind: &str, word: &str) -> Markup {
    html! { span.badge.(kind) { (word) } }
}

/// Nothing to say.
pub(super) fn none() -> Markup {
    PreEscaped("<span class=\"soft\">–</span>".to_owned())
}
