//! The command line: one module per command, and how failures are reported.

mod admin_client;
mod advise;
mod check;
mod config_file;
mod console;
mod hardening;
mod init;
mod keys;
mod listener;
mod log;
mod manual;
mod plan;
mod policy;
#[cfg(feature = "sandbox")]
mod sandbox;
mod schema;
mod serve;
mod table;
mod token;
mod verify_isolation;

use std::{io::Write, process::ExitCode, sync::mpsc, thread};

use clap::{CommandFactory, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use self::console::Console;
use crate::{app::StartError, config::Environment, telemetry::LOG_FLUSH_TIMEOUT};
use diagnostics::{nearest, printable, to_single_line};

/// Issue temporary Tencent Cloud COS keys to logged-in users: each key reaches its user's own folder, nothing else.
#[derive(Debug, Parser)]
#[command(name = "cosbroker", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print only results and errors, without notes and next steps. `NO_COLOR` in the environment takes the colours away.
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Options),
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::Options),
    Init(init::Options),
    Check(check::Options),
    VerifyIsolation(verify_isolation::Options),
    Policy(policy::Options),
    Token(token::Options),
    Keys(keys::Options),
    Advise(advise::Options),
    Plan(plan::Options),
    Schema(schema::Options),
    Completions(manual::CompletionOptions),
    Man(manual::ManOptions),
}

/// Parses the command line and runs the command: exit code 0, 1 on failure, 2 on bad usage.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report_failure(&format!("the runtime cannot start: {error}")),
    };
    let console = Console::new(cli.quiet, &Environment::of_process());
    let result = runtime.block_on(cli.command.run(console));
    // A thread that waits for a file of a stalled mount never ends.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output has closed it, such as `head`.
        Err(error) if error.downcast_ref().is_some_and(is_broken_pipe) => ExitCode::SUCCESS,
        Err(error) => match drawn_problems(&error, console) {
            Some(drawn) => write_failure(drawn),
            None => report_failure(&format!("{error:#}")),
        },
    }
}

/// Draws the problems of files at their places, if a terminal shows them.
fn drawn_problems(error: &anyhow::Error, console: Console) -> Option<String> {
    let Some(StartError::Problems(problems)) = error.downcast_ref() else { return None };
    let mut renderer = console.error_renderer()?;
    let drawn = problems.iter().map(|problem| renderer.render_error(problem) + "\n\n");
    let count = problems.len();
    let noun = if count == 1 { "problem" } else { "problems" };
    Some(drawn.collect::<String>() + &format!("cosbroker: {count} {noun}\n"))
}

/// The definition of the command line, from which its reference is generated.
pub fn command() -> clap::Command {
    Cli::command()
}

impl Command {
    async fn run(self, console: Console) -> anyhow::Result<()> {
        match self {
            Self::Serve(options) => options.run(console).await,
            #[cfg(feature = "sandbox")]
            Self::Sandbox(options) => options.run(console).await,
            Self::Init(options) => options.run(console),
            Self::Check(options) => options.run(console).await,
            Self::VerifyIsolation(options) => options.run(console).await,
            Self::Policy(options) => options.run(console).await,
            Self::Token(options) => options.run(console).await,
            Self::Keys(options) => options.run(console).await,
            Self::Advise(options) => options.run(console).await,
            Self::Plan(options) => options.run(console),
            Self::Schema(options) => options.run(),
            Self::Completions(options) => options.run(),
            Self::Man(options) => options.run(),
        }
    }
}

/// Prints why a command failed to stderr, one line for each problem.
fn report_failure(message: &str) -> ExitCode {
    let lines: Vec<String> =
        message.lines().map(|line| format!("cosbroker: {}\n", printable(line))).collect();
    write_failure(lines.concat())
}

/// Writes a text to stderr. If nobody reads stderr, the process ends without.
fn write_failure(text: String) -> ExitCode {
    let (done, written) = mpsc::channel();
    thread::spawn(move || {
        let _ = std::io::stderr().write_all(text.as_bytes());
        let _ = done.send(());
    });
    let _ = written.recv_timeout(LOG_FLUSH_TIMEOUT);
    ExitCode::FAILURE
}

/// Prints a line of a command's result to stdout.
fn print(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}

/// How to fix the name of a template that does not exist.
fn unknown_template_help<'a>(unknown: &str, existing: impl Iterator<Item = &'a str>) -> String {
    let existing: Vec<&str> = existing.collect();
    let help = match nearest(unknown, existing.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if existing.is_empty() => format!("there is none; put {unknown}.toml there"),
        None => format!("there are {}", existing.join(", ")),
    };
    // The names of files are not trusted.
    to_single_line(&help)
}

fn is_broken_pipe(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}

/// Returns a token that SIGTERM or Ctrl-C cancels, from now on.
fn shutdown_on_signal() -> std::io::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = CancellationToken::new();
    let received = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        received.cancel();
    });
    Ok(shutdown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example_in_its_help() {
        let cli = Cli::command();
        let nested = cli.get_subcommands().flat_map(clap::Command::get_subcommands);
        for command in cli.get_subcommands().chain(nested) {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Example:"), "{help}");
        }
    }
}
