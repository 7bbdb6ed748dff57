//! `docs/reference/cli*.md`, from the definition of the command line.

use std::fmt::Write;

use clap::{Arg, Command};

use super::table_cell;

const HEAD: &str = "\
# Command line

Every command prints its result to stdout, and why it failed to stderr: one line for each problem, on a terminal with the place
in the file drawn. Exit codes: 0 success, 1 failure, 2 bad usage. `--quiet` leaves only results and errors; `NO_COLOR` takes the
colours away. `cosbroker <command> --help` shows what is here. This page is generated from the code.

Commands with subcommands have pages of their own: [`cosbroker policy`](cli-policy.md), [`cosbroker keys`](cli-keys.md),
[`cosbroker token`](cli-token.md).
";

/// The pages by their names: one for each command with subcommands, one for the others.
pub(super) fn pages() -> Vec<(&'static str, String)> {
    let mut root = cosbroker::cli::command();
    root.build();
    let mut main = HEAD.to_owned();
    let mut pages = Vec::new();
    for command in root.get_subcommands().filter(|command| command.get_name() != "help") {
        if command.has_subcommands() {
            pages.push((page_name(command.get_name()), group(command)));
        } else {
            main.push_str(&describe(command));
        }
    }
    pages.push(("cli.md", main));
    pages
}

fn page_name(command: &str) -> &'static str {
    match command {
        "policy" => "cli-policy.md",
        "keys" => "cli-keys.md",
        "token" => "cli-token.md",
        other => panic!("give a page to the command {other}, and a link in HEAD"),
    }
}

fn group(command: &Command) -> String {
    let name = command.get_bin_name().unwrap();
    let mut page = format!("# {name}\n\n{} This page is generated from the code.\n", about(command));
    for subcommand in command.get_subcommands().filter(|command| command.get_name() != "help") {
        page.push_str(&describe(subcommand));
    }
    page
}

fn describe(command: &Command) -> String {
    let name = command.get_bin_name().unwrap();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace("\n       ", "\n");
    let mut text = format!("\n## {name}\n\n{}\n\n```sh\n{usage}\n```\n", about(command));
    let arguments: Vec<&Arg> =
        command.get_arguments().filter(|one| !["help", "quiet"].contains(&one.get_id().as_str())).collect();
    if !arguments.is_empty() {
        text.push_str("\n| argument | meaning |\n|---|---|\n");
        for argument in arguments {
            text.push_str(&row(argument));
        }
    }
    text.push_str(&examples(command));
    text
}

fn about(command: &Command) -> String {
    let about = command.get_long_about().or(command.get_about()).unwrap();
    let about = about.to_string();
    if about.ends_with('.') { about } else { format!("{about}.") }
}

fn row(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help()).unwrap().to_string();
    let mut meaning = if help.ends_with('.') { help } else { format!("{help}.") };
    if argument.is_required_set() {
        meaning.push_str(" Required.");
    }
    let values = argument.get_possible_values();
    if argument.get_action().takes_values() && !values.is_empty() {
        let values: Vec<String> = values
            .iter()
            .map(|value| {
                let help = value.get_help().map(|help| format!(" ({help})")).unwrap_or_default();
                format!("`{}`{help}", value.get_name())
            })
            .collect();
        write!(meaning, " Values: {}.", values.join(", ")).unwrap();
    }
    let defaults: Vec<String> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if argument.get_action().takes_values() && !defaults.is_empty() {
        write!(meaning, " Default: `{}`.", defaults.join(" ")).unwrap();
    }
    format!("| `{}` | {} |\n", argument.to_string().replace('|', "\\|"), table_cell(&meaning))
}

/// What stands below the options: lines with two spaces before them are commands.
fn examples(command: &Command) -> String {
    let after = command.get_after_long_help().unwrap().to_string();
    let commands: Vec<&str> = after.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let mut text = format!("\n```sh\n{}\n```\n", commands.join("\n"));
    let notes =
        after.lines().filter(|line| !line.starts_with("  ") && *line != "Example:" && !line.is_empty());
    for note in notes {
        write!(text, "\n{note}\n").unwrap();
    }
    text
}
