//! `cosbroker plan`: its page shows what it prints, and bad options say how to fix them.

use std::process::Output;

use serde_json::Value;

use crate::support::{cosbroker, repository};

fn plan(arguments: &[&str]) -> Output {
    cosbroker(&repository("")).arg("plan").args(arguments).output().unwrap()
}

const EXAMPLE: [&str; 8] =
    ["--users", "10M", "--lifetime", "30m", "--requests-per-user", "20/h", "--replicas", "6"];

#[test]
fn the_example_of_its_page_is_what_it_prints() {
    let page = std::fs::read_to_string(repository("docs/operate/sizing.md")).unwrap();
    let (_, below) = page.split_once(&format!("```text\n$ cosbroker plan {}\n", EXAMPLE.join(" "))).unwrap();
    let (shown, _) = below.split_once("```").unwrap();
    let printed = String::from_utf8(plan(&EXAMPLE).stdout).unwrap();
    assert_eq!(shown, printed, "write it to docs/operate/sizing.md");
}

#[test]
fn json_has_the_same_figures_for_programs() {
    let printed = plan(&[&EXAMPLE[..], &["--format", "json"]].concat());
    let plan: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(plan["demand"]["users"], 10e6);
    let calls = |column: &str| format!("{:.0}", plan[column]["sts_calls_per_second"].as_f64().unwrap());
    assert_eq!([calls("alone"), calls("redis")], ["25641", "6944"]);
    assert_eq!(plan["alone"]["redis"], Value::Null);
    assert!(plan["redis"]["redis"]["bytes"].as_f64().unwrap() > 1e9);
    assert!(plan["summary"].as_str().unwrap().starts_with("This does not fit."));
}

#[test]
fn a_bad_option_is_named_with_what_to_write() {
    for (option, value, said) in [
        ("--users", "ten", "`ten` is not a count; write it like 250000, 500K or 10M"),
        ("--users", "0", "is not a count"),
        ("--lifetime", "48h", "STS gives no key for longer than 36h; write at most `36h`"),
        ("--requests-per-user", "off", "users who send no requests need no keys; write a rate like `20/h`"),
        ("--replicas", "0", "number would be zero"),
        ("--quota", "-1", "invalid digit"),
    ] {
        let mut arguments: Vec<String> = EXAMPLE.map(str::to_owned).to_vec();
        arguments.extend(["--quota".to_owned(), "600".to_owned()]);
        let at = arguments.iter().position(|argument| argument == option).unwrap();
        arguments[at] = format!("{option}={value}");
        arguments.remove(at + 1);
        let output = plan(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(option) && message.contains(said), "{message}");
    }
}
