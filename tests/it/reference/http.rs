//! The page of the HTTP API: routes from the `OpenAPI` description, a section for each problem type.

use std::fmt::Write;

use cosbroker::http::{ProblemType, openapi_document};
use serde_json::Value;

const INTRODUCTION: &str = "# HTTP API

This page lists the public API's routes and every error they answer. `GET /openapi.json` describes the bodies, with examples;
[openapi.json](openapi.json) is the same document. The page is generated from the code.

HEAD is answered wherever GET is. Every route but the last three needs `Authorization: Bearer <JWT>`. Every answer has `X-Request-Id` and `Cache-Control: no-store`.
Answers with a key have RFC 9211 `Cache-Status`, for example `cosbroker; hit; ttl=1799`, `cosbroker; fwd=miss; stored; ttl=1800`,
`cosbroker; fwd=miss; collapsed; ttl=1800` or `cosbroker; fwd=stale; ttl=90`. Times are seconds since 1970 by the server's clock.
";

const PROBLEMS: &str = "
## Errors

`/v1` answers RFC 9457 `application/problem+json`: `type` is `urn:cosbroker:problem:<name>` and stable, `detail` says what to do,
`requestId` names the request. The drop-in routes answer `{\"code\":…,\"codeDesc\":…,\"message\":…,\"requestId\":…}` with the same
HTTP status. 401 has `WWW-Authenticate`, 405 has `Allow`, 429 and 503 have `Retry-After`.
";

/// Returns the page.
pub(super) fn page() -> String {
    let document: Value = serde_json::from_str(&openapi_document()).unwrap();
    let mut page = INTRODUCTION.to_owned();
    page += "\n## Routes\n\n| route | answers |\n|---|---|\n";
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = query(operation);
            let summary = super::table_cell(operation["summary"].as_str().unwrap());
            writeln!(page, "| `{} {path}{parameters}` | {summary} |", method.to_uppercase()).unwrap();
        }
    }
    page += "\n## Parameters\n\n| parameter | meaning |\n|---|---|\n";
    for (name, meaning) in parameters(&document) {
        writeln!(page, "| `{name}` | {} |", super::table_cell(&meaning)).unwrap();
    }
    page += PROBLEMS;
    for problem in ProblemType::ALL {
        write!(
            page,
            "\n### {}\n\n{} {}; `{}` {}. {}\n\n- Caller: {}\n",
            problem.name,
            problem.status,
            problem.title,
            problem.code,
            problem.code_desc,
            problem.meaning,
            problem.caller
        )
        .unwrap();
        if problem.operator != "Nothing." {
            writeln!(page, "- Operator: {}", problem.operator).unwrap();
        }
    }
    page
}

/// The names of the query's parameters, such as `?action=&key=`.
fn query(operation: &Value) -> String {
    let names: Vec<String> = in_query(operation).map(|(name, _)| format!("{name}=")).collect();
    if names.is_empty() { String::new() } else { format!("?{}", names.join("&")) }
}

fn in_query(operation: &Value) -> impl Iterator<Item = (&str, &str)> {
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    parameters
        .iter()
        .filter(|parameter| parameter["in"] == "query")
        .map(|parameter| (parameter["name"].as_str().unwrap(), parameter["description"].as_str().unwrap()))
}

/// Every query parameter once, in the order of the routes.
fn parameters(document: &Value) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            for (name, meaning) in in_query(operation) {
                if !found.iter().any(|(known, _)| known == name) {
                    found.push((name.to_owned(), meaning.to_owned()));
                }
            }
        }
    }
    found
}
