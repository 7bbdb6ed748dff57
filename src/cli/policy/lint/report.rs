//! A report for programs: JSON and SARIF.

use serde_json::{Value, json};

use templates::{Finding, Level, Note, Report};

/// The report in the format of this command.
pub(super) fn json(report: &Report) -> Value {
    let templates: Vec<Value> =
        report.verdicts.iter().map(|(name, proved)| json!({"name": name, "proved": proved})).collect();
    let findings: Vec<Value> = report.findings.iter().map(finding).collect();
    json!({
        "proved": report.is_proved(),
        "templates": templates,
        "findings": findings,
        "notes": report.notes.iter().map(note).collect::<Vec<_>>(),
        "assumptions": report.assumptions,
    })
}

fn note(note: &Note) -> Value {
    json!({"templates": note.templates, "message": note.text})
}

fn finding(finding: &Finding) -> Value {
    let place = finding.diagnostic.place.as_ref();
    json!({
        "level": finding.level,
        "rule": finding.rule,
        "templates": finding.templates,
        "file": finding.diagnostic.path.display().to_string(),
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "message": finding.diagnostic.message,
        "help": finding.diagnostic.help,
        "counter_example": finding.counter_example,
    })
}

/// SARIF 2.1.0 (OASIS), which CI systems show beside changed lines.
pub(super) fn sarif(report: &Report) -> Value {
    let mut rules: Vec<&str> = report.findings.iter().map(|finding| finding.rule.name()).collect();
    rules.sort_unstable();
    rules.dedup();
    let rules: Vec<Value> = rules.into_iter().map(|name| json!({"id": name})).collect();
    let results: Vec<Value> = report.findings.iter().map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "cosbroker policy lint",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "results": results,
        }],
    })
}

fn result(finding: &Finding) -> Value {
    let diagnostic = &finding.diagnostic;
    let example = finding.counter_example.as_ref().map(|found| format!(" For example, {found}."));
    let file = json!({"uri": diagnostic.path.display().to_string()});
    let location = match &diagnostic.place {
        Some(place) => json!({
            "artifactLocation": file,
            "region": {"startLine": place.line, "startColumn": place.column},
        }),
        None => json!({"artifactLocation": file}),
    };
    json!({
        "ruleId": finding.rule.name(),
        "level": match finding.level {
            Level::Error => "error",
            Level::Warning => "warning",
        },
        "message": {"text": format!("{}; {}.{}", diagnostic.message, diagnostic.help, example.unwrap_or_default())},
        "locations": [{"physicalLocation": location}],
    })
}
