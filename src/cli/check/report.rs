//! What `cosbroker check` found: printed at once for people, or as one JSON document at the end for programs.

use std::io;

use annotate_snippets::Level;
use serde_json::{Value, json};

use crate::{
    app::StartError,
    cli::{
        console::{Console, Details, Format},
        print,
    },
};
use diagnostics::{Diagnostic, to_single_line};

/// A report in the making.
pub(super) struct Report {
    format: Format,
    console: Console,
    found: Vec<Value>,
}

impl Report {
    pub(super) fn new(format: Format, console: Console) -> Self {
        Self { format, console, found: Vec::new() }
    }

    /// Adds a line of some kind, such as `proved`. With `--quiet`, only warnings are printed.
    pub(super) fn add(&mut self, kind: &'static str, text: &str) -> anyhow::Result<()> {
        if self.format == Format::Json {
            self.found.push(json!({"kind": kind, "message": text}));
        } else if kind == "warning" || !self.console.is_quiet() {
            print(&format!("{kind}: {}", to_single_line(text)))?;
        }
        Ok(())
    }

    /// Adds a warning of a place in a file, which is drawn on a terminal.
    pub(super) fn add_finding(&mut self, warning: &Diagnostic) -> anyhow::Result<()> {
        if self.format == Format::Json {
            self.found.push(described("warning", warning));
        } else if io::IsTerminal::is_terminal(&io::stdout()) {
            let details = Details { level: Level::WARNING, rule: None, example: None };
            print(&self.console.renderer().render(warning, details))?;
        } else {
            print(&format!("warning: {warning}"))?;
        }
        Ok(())
    }

    /// Prints the JSON document, with the problems that prevent a start.
    pub(super) fn finish(self, error: Option<&anyhow::Error>) -> anyhow::Result<()> {
        if self.format == Format::Human {
            return Ok(());
        }
        let problems = match error.map(|error| (error, error.downcast_ref())) {
            None => Vec::new(),
            Some((_, Some(StartError::Problems(problems)))) => {
                problems.iter().map(|one| described("problem", one)).collect()
            }
            Some((error, _)) => vec![json!({"kind": "problem", "message": format!("{error:#}")})],
        };
        let report = json!({"ok": problems.is_empty(), "problems": problems, "found": self.found});
        print(&serde_json::to_string_pretty(&report)?)?;
        Ok(())
    }
}

fn described(kind: &str, found: &Diagnostic) -> Value {
    let place = found.place.as_ref();
    json!({
        "kind": kind,
        "file": found.path.display().to_string(),
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "message": found.message,
        "help": found.help,
    })
}
