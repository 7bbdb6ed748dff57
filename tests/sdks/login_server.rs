//! A login of another framework that runs beside a test, as the issuer of an app's tokens.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::Value;

/// A program of `tests/sdks/programs` that is a login server, ended with the test. It prints its address, then one JSON
/// line for each line of its input.
pub(crate) struct LoginServer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl LoginServer {
    /// Starts it, and returns it with its address.
    pub(crate) fn start(command: &mut Command) -> (Self, String) {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut server = Self { child, input, output };
        let address = server.answer();
        (server, address.as_str().unwrap().to_owned())
    }

    pub(crate) fn ask(&mut self, command: &str) -> Value {
        writeln!(self.input, "{command}").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

impl Drop for LoginServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
