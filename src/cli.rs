//! The command line: which command, and how its failure is told.

mod advise;
mod check;
mod keys;
mod operators;
mod policy;
#[cfg(feature = "sandbox")]
mod sandbox;
mod serve;
mod table;
mod verify_isolation;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};

use diagnostics::{nearest, printable, to_single_line};

/// Temporary Tencent Cloud COS keys for logged-in users: each reaches that user's own folder, nothing else.
#[derive(Debug, Parser)]
#[command(name = "cosbroker", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Options),
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::Options),
    Check(check::Options),
    VerifyIsolation(verify_isolation::Options),
    Policy(policy::Options),
    Keys(keys::Options),
    Advise(advise::Options),
}

/// Parses the command line and runs what it names: exit code 0, 1 on failure, 2 on bad usage.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("the runtime cannot start: {error}")),
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Serve(options) => options.run().await,
            #[cfg(feature = "sandbox")]
            Command::Sandbox(options) => options.run().await,
            Command::Check(options) => options.run().await,
            Command::VerifyIsolation(options) => options.run().await,
            Command::Policy(options) => options.run().await,
            Command::Keys(options) => options.run().await,
            Command::Advise(options) => options.run().await,
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough of it.
        Err(error) if error.downcast_ref().is_some_and(is_broken_pipe) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("{error:#}")),
    }
}

/// One line for each problem, to stderr.
#[expect(clippy::print_stderr, reason = "this is where a command's failure is told")]
fn failed(message: &str) -> ExitCode {
    for line in message.lines() {
        eprintln!("cosbroker: {}", printable(line));
    }
    ExitCode::FAILURE
}

/// What a person should know beside the result, to stderr.
#[expect(clippy::print_stderr, reason = "this is where a command's notes are told")]
fn note(text: &str) {
    eprintln!("note: {}", to_single_line(text));
}

/// How to mend the name of a template that is not there.
fn meant<'a>(unknown: &str, there: impl Iterator<Item = &'a str>) -> String {
    let there: Vec<&str> = there.collect();
    let help = match nearest(unknown, there.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if there.is_empty() => format!("there is none; put {unknown}.toml there"),
        None => format!("there are {}", there.join(", ")),
    };
    // Files' names are anybody's.
    to_single_line(&help)
}

fn is_broken_pipe(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}

/// What a command has to tell, to stdout.
fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}

/// Comes when the process is asked to stop, from now on.
fn asked_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

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
