//! The commands that `cosbroker sandbox` prints.

use std::process::Command;

use crate::support::sandbox::Sandbox;

#[test]
fn the_printed_curl_commands_work_as_shown() {
    let sandbox = Sandbox::start();
    let curls: Vec<&str> =
        sandbox.printed.iter().map(|line| line.trim()).filter(|line| line.starts_with("curl ")).collect();
    let token = sandbox.printed.iter().map(|line| line.trim()).find(|line| line.starts_with("T='")).unwrap();
    let [first, second, third] = [0, 1, 2].map(|at| run_in_shell(&format!("{token}; {}", curls[at])));
    let status = sandbox.interrupt();
    assert!(first.contains("cache-status: cosbroker; fwd=miss") && first.contains("tmpsecretid"), "{first}");
    assert!(second.contains("cache-status: cosbroker; hit"), "{second}");
    assert!(third.starts_with("http/1.1 200 ok") && third.contains("etag: "), "{third}");
    assert!(status.success(), "Ctrl-C stops it cleanly: {status}");
}

/// Runs a command in a shell, and returns its output in lower case.
fn run_in_shell(command: &str) -> String {
    let output = Command::new("bash").args(["-c", command]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().to_lowercase()
}
