//! `cosbroker sandbox` as a newcomer tries it: paste what it prints.

use std::process::Command;

use crate::support::sandbox::Sandbox;

#[test]
fn the_printed_curls_work_as_shown() {
    let sandbox = Sandbox::start();
    let curls: Vec<&str> =
        sandbox.printed.iter().map(|line| line.trim()).filter(|line| line.starts_with("curl ")).collect();
    let paste = |command: &str| {
        let output = Command::new("bash").args(["-c", command]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().to_lowercase()
    };
    let first = paste(curls[0]);
    let second = paste(curls[1]);
    let third = paste(curls[2]);
    let ended = sandbox.interrupt();
    assert!(first.contains("cache-status: cosbroker; fwd=miss") && first.contains("tmpsecretid"), "{first}");
    assert!(second.contains("cache-status: cosbroker; hit"), "{second}");
    assert!(third.starts_with("http/1.1 200 ok") && third.contains("etag: "), "{third}");
    assert!(ended.success(), "Ctrl-C ends it cleanly: {ended}");
}
