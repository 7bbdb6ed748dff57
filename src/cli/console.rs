//! What a command prints beside its result: notes, colours, and problems drawn at their place in a file.

use std::{
    collections::HashMap,
    io::{self, IsTerminal},
    path::PathBuf,
};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use clap::ValueEnum;

use crate::config::Environment;
use diagnostics::{Diagnostic, Source, to_single_line};

/// How a command prints.
#[derive(Debug, Clone, Copy)]
pub(super) struct Console {
    is_quiet: bool,
    may_color: bool,
}

/// The format of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Human,
    /// For programs.
    Json,
}

impl Console {
    /// Returns the console of this process, without colours if `NO_COLOR` is set (<https://no-color.org>).
    pub(super) fn new(is_quiet: bool, environment: &Environment<'_>) -> Self {
        let may_color = environment.variable("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { is_quiet, may_color }
    }

    /// Whether only results and errors are printed.
    pub(super) fn is_quiet(self) -> bool {
        self.is_quiet
    }

    /// Prints a note beside the result to stderr.
    #[expect(clippy::print_stderr, reason = "the one place that prints notes of a command")]
    pub(super) fn note(self, text: &str) {
        if !self.is_quiet {
            eprintln!("note: {}", to_single_line(text));
        }
    }

    /// Whether a stream is shown in colours.
    pub(super) fn has_colors(self, stream: &impl IsTerminal) -> bool {
        self.may_color && stream.is_terminal()
    }

    /// Draws problems for stdout.
    pub(super) fn renderer(self) -> DiagnosticRenderer {
        DiagnosticRenderer::new(self.has_colors(&io::stdout()))
    }

    /// Draws problems for a terminal on stderr; none if stderr is a file or a pipe, which gets one line for each.
    pub(super) fn error_renderer(self) -> Option<DiagnosticRenderer> {
        io::stderr().is_terminal().then(|| DiagnosticRenderer::new(self.has_colors(&io::stderr())))
    }
}

/// Draws diagnostics with their text underlined.
pub(super) struct DiagnosticRenderer {
    renderer: Renderer,
    /// The files that were read, without secrets; none if one cannot be.
    texts: HashMap<PathBuf, Option<String>>,
}

/// What is drawn with a diagnostic.
#[derive(Debug, Clone)]
pub(super) struct Details<'a> {
    pub(super) level: Level<'a>,
    /// The name of the rule, if it has one.
    pub(super) rule: Option<&'a str>,
    /// An example of what goes wrong.
    pub(super) example: Option<&'a str>,
}

impl DiagnosticRenderer {
    pub(super) fn new(has_colors: bool) -> Self {
        let renderer = if has_colors { Renderer::styled() } else { Renderer::plain() };
        Self { renderer, texts: HashMap::new() }
    }

    /// Draws a diagnostic. A file that cannot be read any more is only named.
    pub(super) fn render(&mut self, diagnostic: &Diagnostic, details: Details<'_>) -> String {
        let text = self
            .texts
            .entry(diagnostic.path.clone())
            .or_insert_with_key(|path| Some(without_secrets(Source::read(path).ok()?.text())))
            .as_ref();
        let message = to_single_line(&diagnostic.message);
        let path = to_single_line(&diagnostic.path.display().to_string());
        let title = details.level.primary_title(message.as_str());
        let title = match details.rule {
            Some(rule) => title.id(rule),
            None => title,
        };
        let mut group = Group::with_title(title);
        match (&diagnostic.place, text) {
            (Some(place), Some(text)) if place.span.end <= text.len() => {
                let snippet = Snippet::source(text.as_str())
                    .path(path.as_str())
                    .annotation(AnnotationKind::Primary.span(place.span.clone()));
                group = group.element(snippet);
            }
            _ => group = group.element(Origin::path(path.as_str())),
        }
        let example = details.example.map(to_single_line);
        if let Some(example) = &example {
            group = group.element(Level::NOTE.with_name("for example").message(example.as_str()));
        }
        let help = to_single_line(&diagnostic.help);
        group = group.element(Level::HELP.message(help.as_str()));
        self.renderer.render(&[group])
    }

    /// Draws an error.
    pub(super) fn render_error(&mut self, diagnostic: &Diagnostic) -> String {
        self.render(diagnostic, Details { level: Level::ERROR, rule: None, example: None })
    }
}

/// Words on a line of TOML whose value may be a secret: one that was pasted where its variable or file is named.
const SECRET_WORDS: [&str; 5] = ["secret", "token", "password", "credential", "_env"];

/// Returns the text with every value hidden that may be a secret. Places in it stay the same.
fn without_secrets(text: &str) -> String {
    // A value of several lines is not with its key.
    let hides_all = text.contains("\"\"\"") || text.contains("'''");
    text.split_inclusive('\n').map(|line| without_secret(line, hides_all)).collect()
}

fn without_secret(line: &str, hides_all: bool) -> String {
    let lower = line.to_ascii_lowercase();
    let has_user_in_url = line.contains("://") && line.contains('@');
    if !hides_all && !has_user_in_url && !SECRET_WORDS.iter().any(|word| lower.contains(word)) {
        return line.to_owned();
    }
    let (key, value) = line.split_at(line.find('=').map_or(0, |at| at + 1));
    if key.trim_end_matches([' ', '=']).ends_with("_env") && value.trim().chars().all(is_of_variable) {
        return line.to_owned();
    }
    let hidden = value.chars().map(|character| match character {
        _ if character.is_whitespace() => character.to_string(),
        _ => "*".repeat(character.len_utf8()),
    });
    key.to_owned() + &hidden.collect::<String>()
}

/// Whether a character may stand in the quoted name of a variable, which a problem names anyway.
fn is_of_variable(character: char) -> bool {
    character.is_ascii_uppercase() || character.is_ascii_digit() || matches!(character, '_' | '"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_drawn_at_its_place_with_its_help() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, "[server]\nlisten = 1\n").unwrap();
        let problem = Source::read(&path).unwrap().problem(18..19, "expected a string", "put it in quotes");
        let drawn = DiagnosticRenderer::new(false).render_error(&problem);
        for part in
            ["error: expected a string", "config.toml:2:10", "2 | listen = 1", "^", "help: put it in quotes"]
        {
            assert!(drawn.contains(part), "{drawn}");
        }
        assert!(!drawn.contains('\u{1b}'), "{drawn}");
        assert!(DiagnosticRenderer::new(true).render_error(&problem).contains('\u{1b}'));
        std::fs::remove_file(&path).unwrap();
        assert!(
            DiagnosticRenderer::new(false).render_error(&problem).contains("help: put it in quotes"),
            "without its file"
        );
    }

    #[test]
    fn a_secret_that_was_pasted_into_a_file_is_not_drawn() {
        for line in [
            "secret_env = \"hunter2\"",
            "secret_key = 'hunter2'",
            "proxy = \"http://me:hunter2@proxy/\"",
            "issuer = { token_env = \"hunter2\" }",
            "password = \"\"\"\nhunter2\"\"\"",
        ] {
            let hidden = without_secrets(line);
            assert!(!hidden.contains("hunter2") && hidden.len() == line.len(), "{hidden}");
        }
        for line in
            ["listen = \"127.0.0.1:5000\"\n", "token_env = \"ADMIN_TOKEN\"\n", "action = [\"@upload\"]\n"]
        {
            assert_eq!(without_secrets(line), line);
        }
    }

    #[test]
    fn no_color_takes_the_colours_away() {
        for (value, may_color) in [(None, true), (Some(""), true), (Some("1"), false)] {
            let variable = |name: &str| value.filter(|_| name == "NO_COLOR").map(str::to_owned);
            assert_eq!(Console::new(false, &Environment(&variable)).may_color, may_color, "{value:?}");
        }
    }
}
