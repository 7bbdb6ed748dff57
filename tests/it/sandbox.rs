//! `cosbroker sandbox`, as a newcomer tries it: paste what it prints.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crate::support::{cosbroker, repository};

#[test]
fn the_printed_curls_work_as_shown() {
    let mut sandbox = cosbroker(&repository(""))
        .args([
            "sandbox",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--cloud-listen",
            "127.0.0.1:0",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(sandbox.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut printed = Vec::new();
    for line in lines {
        let last = line.contains("Ctrl-C");
        printed.push(line);
        if last {
            break;
        }
    }
    let curls: Vec<&str> =
        printed.iter().map(|line| line.trim()).filter(|line| line.starts_with("curl ")).collect();
    let paste = |command: &str| {
        let output = Command::new("bash").args(["-c", command]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().to_lowercase()
    };
    let first = paste(curls[0]);
    let second = paste(curls[1]);
    let stopped = Command::new("kill").args(["-INT", &sandbox.id().to_string()]).status().unwrap();
    let ended = sandbox.wait().unwrap();
    assert!(first.contains("cache-status: cosbroker; fwd=miss") && first.contains("tmpsecretid"), "{first}");
    assert!(second.contains("cache-status: cosbroker; hit"), "{second}");
    assert!(stopped.success() && ended.success(), "Ctrl-C ends it cleanly: {ended}");
}
