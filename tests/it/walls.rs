//! The walls between rooms: what `src/` may use where. A `use` that is not listed here fails.

use std::{collections::BTreeSet, path::Path};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::support::repository;

/// Plain values that every room may use.
const COMMON: [&str; 7] = ["clock", "entropy", "figures", "fingerprint", "json", "source", "units"];

/// A room, and the rooms it may use besides [`COMMON`].
const ROOMS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("entropy", &[]),
    ("figures", &[]),
    ("fingerprint", &[]),
    ("json", &[]),
    ("source", &[]),
    ("units", &[]),
    ("config", &[]),
    ("cos", &[]),
    ("identity", &["config"]),
    ("policy", &["identity"]),
    ("trace", &["config"]),
    ("sts", &["config", "policy", "trace"]),
    ("audit", &["config", "identity", "policy", "sts", "trace"]),
    ("broker", &["audit", "config", "identity", "policy", "sts"]),
    ("canary", &["audit", "config", "cos", "policy", "sts"]),
    ("http", &["audit", "broker", "config", "identity", "policy", "sts", "trace"]),
    ("admin", &["audit", "broker", "canary", "config", "http", "identity", "policy", "sts"]),
    ("sandbox", &["cos", "policy", "sts"]),
    ("app", &["admin", "audit", "broker", "canary", "config", "http", "identity", "policy", "sts", "trace"]),
    ("cli", &["app", "audit", "broker", "canary", "config", "http", "identity", "policy", "sandbox", "sts"]),
    ("main", &["cli"]),
];

/// Crates, and the files or folders that may use them; what is not listed may be used anywhere.
const CRATES: &[(&str, &[&str])] = &[
    ("actix_web", &["http", "http.rs", "admin", "admin.rs", "sandbox", "sandbox.rs", "app.rs"]),
    ("actix_cors", &["http.rs", "sandbox.rs"]),
    ("actix_http", &["sandbox.rs"]),
    ("actix_server", &["sandbox.rs"]),
    ("actix_service", &["sandbox.rs"]),
    ("actix_multipart", &["sandbox/cos/form.rs"]),
    ("crc_fast", &["sandbox/storage/blob.rs"]),
    ("maud", &["admin/page.rs", "admin/page"]),
    ("http_body_util", &["canary/client.rs"]),
    ("hyper", &["canary/client.rs"]),
    ("hyper_rustls", &["canary/client.rs"]),
    ("hyper_util", &["canary/client.rs"]),
    ("memchr", &["sandbox/wire.rs"]),
    ("md5", &["sandbox/storage"]),
    ("quick_xml", &["sandbox/cos/xml.rs"]),
    ("sha1", &["cos/sign.rs", "sandbox/sts/v1.rs"]),
    (
        "reqwest",
        &[
            "identity/jwks.rs",
            "sts/client.rs",
            "sts/own_keys.rs",
            "sts.rs",
            "trace/export.rs",
            "app.rs",
            "cli/operators.rs",
        ],
    ),
    ("opentelemetry", &["trace.rs", "trace"]),
    ("opentelemetry_otlp", &["trace/export.rs"]),
    ("opentelemetry_sdk", &["trace.rs", "trace/export.rs"]),
    ("annotate_snippets", &["cli/policy/lint.rs"]),
    ("arc_swap", &["broker/metrics.rs", "broker/revoked.rs", "policy/store.rs", "identity/jwks.rs"]),
    ("governor", &["sts/quota.rs", "broker/limit.rs", "audit/flood.rs", "clock.rs"]),
    ("moka", &["broker", "broker.rs", "identity/verifier.rs", "policy/set.rs"]),
    ("jsonc_parser", &["policy/import"]),
    ("jsonwebtoken", &["identity", "config.rs", "config", "sandbox/issuer.rs", "sandbox/issuer"]),
    ("aws_lc_rs", &["sandbox/issuer/keys.rs"]),
    ("rand", &["entropy.rs"]),
    ("socket2", &["sandbox/fault"]),
    ("rustls", &["http/tls.rs"]),
    ("clap", &["cli.rs", "cli"]),
    ("anyhow", &["cli.rs", "cli"]),
    (
        "tokio",
        &[
            "app",
            "app.rs",
            "broker",
            "broker.rs",
            "canary.rs",
            "canary/client.rs",
            "cli",
            "cli.rs",
            "clock.rs",
            "http",
            "identity",
            "sandbox.rs",
            "sandbox/storage/blob.rs",
            "sandbox/wire.rs",
            "sts",
            "sts.rs",
            "trace",
            "trace.rs",
        ],
    ),
];

/// Names of the standard library that only some may say.
const STD: &[(&str, &[&str])] = &[
    ("env", &["config/secrets.rs"]),
    (
        "fs",
        &[
            "audit/file.rs",
            "config",
            "source.rs",
            "policy/folder.rs",
            "identity/verifier.rs",
            "sandbox/demo.rs",
            "sandbox/storage",
            "cli",
        ],
    ),
];

/// Doors that open on one part of a room only: who uses, whose room, which parts.
const DOORS: &[(&str, &str, &[&str])] = &[
    ("admin", "config", &["RevokedPerson"]),
    ("admin", "http", &["self", "Metrics", "RecentRefusals", "Refused", "query"]),
    ("admin", "identity", &["Verifier"]),
    ("audit", "identity", &["Person"]),
    ("audit", "policy", &["Grant", "Reload", "TemplateSet"]),
    ("audit", "sts", &["TemporaryCredential"]),
    ("audit", "trace", &["Context"]),
    (
        "cli",
        "broker",
        &["Advice", "Alternative", "Figures", "LivingKey", "LivingKeys", "Revocation", "Unknown"],
    ),
    ("canary", "cos", &["sign"]),
    ("cli", "canary", &["Examination", "Examined", "Verdict"]),
    ("sandbox", "cos", &["sign"]),
    ("sandbox", "policy", &["cam", "evaluate"]),
    ("sandbox", "sts", &["sign"]),
    ("http", "sts", &["StsError"]),
    ("policy", "identity", &["Identity", "Person"]),
];

/// Every breach in one file's text.
fn breaches(path: &str, text: &str) -> Vec<String> {
    let room = path.split(['/', '.']).next().unwrap();
    let (_, allowed) = ROOMS
        .iter()
        .find(|(name, _)| *name == room)
        .unwrap_or_else(|| panic!("{path}: a new room needs a row in ROOMS"));
    let depth = path.matches('/').count();
    let tokens = flatten(text.parse().unwrap_or_else(|error| panic!("{path}: {error}")));
    let mut breaches = Vec::new();
    for named in reached(&tokens, &["crate"], room, depth) {
        if named != room && !COMMON.contains(&named.as_str()) && !allowed.contains(&named.as_str()) {
            breaches.push(format!("src/{path}: the room `{room}` may not use `crate::{named}`"));
        }
        if room == "cli" && named == "sandbox" && !["cli.rs", "cli/sandbox.rs"].contains(&path) {
            breaches.push(format!("src/{path}: the sandbox is for its own command, never for `serve`"));
        }
        if COMMON.contains(&room) && !COMMON.contains(&named.as_str()) {
            breaches.push(format!("src/{path}: a plain value may not use `crate::{named}`"));
        }
    }
    for &(user, used, parts) in DOORS.iter().filter(|(user, ..)| *user == room) {
        // In a path from the root, or at the head of a branch of a `use` tree.
        let named = (1..tokens.len().saturating_sub(2))
            .filter(|at| tokens[*at] == used && tokens[*at + 1] == "::")
            .filter(|at| match tokens[*at - 1].as_str() {
                "::" => *at > 1 && tokens[*at - 2] == "crate",
                "{" | "," => in_root_tree(&tokens[..*at]),
                _ => false,
            });
        let behind = named.flat_map(|at| heads(&tokens[at + 2..]));
        for part in behind.filter(|part| !parts.contains(&part.as_str())) {
            breaches.push(format!("src/{path}: `{user}` may use {parts:?} of `{used}`, not `{part}`"));
        }
    }
    let within =
        |places: &[&str]| places.iter().any(|place| path == *place || Path::new(path).starts_with(place));
    for &(name, places) in CRATES {
        let begins_a_path = |at: usize| {
            // In a `use` tree, `{` and `,` stand where a longer path has its `::`.
            let in_tree =
                tokens[..at].iter().rev().take_while(|token| *token != ";").any(|token| token == "use");
            at == 0 || tokens[at - 1] != "::" && !(in_tree && ["{", ","].contains(&tokens[at - 1].as_str()))
        };
        let mut named =
            (0..tokens.len().saturating_sub(1)).filter(|at| tokens[*at] == name && tokens[at + 1] == "::");
        if !within(places) && named.any(begins_a_path) {
            breaches.push(format!("src/{path}: `{name}` belongs to {places:?}"));
        }
    }
    for named in reached(&tokens, &["std"], room, depth) {
        if let Some((name, places)) = STD.iter().find(|(name, _)| *name == named)
            && !within(places)
        {
            breaches.push(format!("src/{path}: `std::{name}` belongs to {places:?}"));
        }
    }
    breaches
}

/// Whether the tokens end at the top level of an open `use crate::{`.
fn in_root_tree(tokens: &[String]) -> bool {
    let mut depth = 0;
    for at in (0..tokens.len()).rev() {
        match tokens[at].as_str() {
            "}" => depth += 1,
            "{" if depth > 0 => depth -= 1,
            "{" => return at > 1 && tokens[at - 1] == "::" && tokens[at - 2] == "crate",
            ";" => return false,
            _ => {}
        }
    }
    false
}

/// What stands directly under a root such as `crate`: in paths, in `use` trees, and by `super` chains that
/// climb out of the room.
fn reached(tokens: &[String], roots: &[&str], room: &str, depth: usize) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let mut index = 0;
    while index < tokens.len() {
        let climbs = tokens[index..].chunks(2).take_while(|pair| *pair == ["super", "::"]).count();
        let start =
            if roots.contains(&tokens[index].as_str()) && tokens.get(index + 1).is_some_and(|t| t == "::") {
                Some(index + 2)
            } else if roots == ["crate"] && climbs > depth {
                Some(index + 2 * climbs)
            } else {
                None
            };
        match start {
            None => index += 1,
            Some(start) => {
                named.extend(heads(&tokens[start..]));
                index = start;
            }
        }
    }
    named.remove(room);
    named
}

/// The first names of a path, or of each path of a `use` tree's group.
fn heads(tokens: &[String]) -> Vec<String> {
    if tokens.first().is_none_or(|token| token != "{") {
        return tokens.first().cloned().into_iter().collect();
    }
    let (mut depth, mut heads, mut at_head) = (0, Vec::new(), true);
    for token in tokens {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => at_head = true,
            name if depth == 1 && at_head => {
                heads.push(name.to_owned());
                at_head = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

/// All tokens in order, test modules left out.
fn flatten(stream: TokenStream) -> Vec<String> {
    let mut flat: Vec<String> = Vec::new();
    let mut trees = stream.into_iter().peekable();
    let mut skipping = false;
    while let Some(tree) = trees.next() {
        match tree {
            TokenTree::Group(group) => {
                let text = group.stream().to_string().replace(' ', "");
                if group.delimiter() == Delimiter::Bracket && text == "cfg(test)" {
                    skipping = true;
                } else if skipping && group.delimiter() == Delimiter::Brace {
                    skipping = false;
                } else if !skipping {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Brace => ("{", "}"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::Parenthesis | Delimiter::None => ("(", ")"),
                    };
                    flat.push(open.to_owned());
                    flat.extend(flatten(group.stream()));
                    flat.push(close.to_owned());
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => {
                skipping = false;
                flat.push(";".to_owned());
            }
            _ if skipping => {}
            TokenTree::Punct(punct) if punct.as_char() == ':' => {
                let doubled = matches!(trees.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':');
                if doubled {
                    trees.next();
                }
                flat.push(if doubled { "::" } else { ":" }.to_owned());
            }
            other => flat.push(other.to_string()),
        }
    }
    flat
}

fn sources(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(repository("src")).unwrap().to_str().unwrap().to_owned();
            // `lib.rs` is the map; `tests.rs` files are test modules.
            if name != "lib.rs" && !name.ends_with("tests.rs") {
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
}

#[test]
fn every_arrow_between_rooms_runs_where_the_map_says() {
    let mut files = Vec::new();
    sources(&repository("src"), &mut files);
    assert!(files.len() > 40);
    let breaches: Vec<String> = files.iter().flat_map(|(path, text)| breaches(path, text)).collect();
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn a_forbidden_use_is_seen_however_it_is_written() {
    for (path, text) in [
        ("policy/render.rs", "use crate::sts::Sts;"),
        ("policy/render.rs", "use crate::{identity::Identity, sts::{Sts, Urgency}};"),
        ("policy/render.rs", "fn f() { let x = crate::broker::Broker::new(); }"),
        ("policy/render.rs", "use super::super::sts::Sts;"),
        ("policy/render.rs", "use tokio::time::sleep;"),
        ("policy/render.rs", "fn f() { reqwest::Client::new(); }"),
        ("policy/render.rs", "fn f() { std::env::var(\"X\"); }"),
        ("policy/render.rs", "use std::{env, io};"),
        ("policy.rs", "use super::http;"),
        ("broker.rs", "use actix_web::web;"),
        ("sts/client.rs", "use crate::broker::Broker;"),
        ("http/v1.rs", "use crate::sandbox;"),
        ("http/v1.rs", "use moka::sync::Cache;"),
        ("admin.rs", "use crate::identity::Identity;"),
        ("clock.rs", "use crate::config::Config;"),
        ("config.rs", "use crate::policy::TemplateSet;"),
        ("app.rs", "use crate::sandbox::Cloud;"),
        ("cli/serve.rs", "use crate::sandbox::Cloud;"),
        ("sandbox/sts.rs", "use crate::policy::TemplateSet;"),
        ("sandbox/sts.rs", "use crate::{clock::Clock, policy::TemplateSet};"),
        ("sandbox/sts.rs", "use crate::{sts::{TencentSts, sign}};"),
        ("sandbox/sts.rs", "fn f() { crate::sts::TencentSts::new(); }"),
        ("policy/store.rs", "use crate::identity::Verifier;"),
        ("policy/store.rs", "use crate::identity::{Identity, Verifier};"),
        ("cli/keys.rs", "use crate::{broker::{Broker, LivingKey}};"),
        ("policy/store.rs", "use crate::audit::Audit;"),
        ("sts.rs", "use crate::audit::Audit;"),
        ("audit.rs", "use crate::broker::Broker;"),
        ("audit/event.rs", "use crate::identity::Verifier;"),
        ("audit/event.rs", "use crate::sts::TencentSts;"),
        ("audit/event.rs", "use crate::trace::Tracer;"),
        ("policy/store.rs", "use crate::trace::Context;"),
    ] {
        assert!(!breaches(path, text).is_empty(), "{path}: {text}");
    }
    for (path, text) in [
        ("policy/render.rs", "use super::cam; use crate::{identity::Identity, json};"),
        ("policy/render.rs", "use crate::{identity::{Identity, Person}, json};"),
        ("policy/render.rs", "#[cfg(test)] mod tests { use crate::sts::Sts; }"),
        ("broker.rs", "use crate::{policy::Grant, sts::Sts};"),
        (
            "sandbox/sts.rs",
            "use crate::{clock::Clock, policy::cam::Policy, sts::sign::Signing}; use super::sts;",
        ),
        ("cli/sandbox.rs", "use crate::sandbox::Cloud;"),
        ("cli/keys.rs", "use crate::{broker::{LivingKey, LivingKeys}, config};"),
    ] {
        assert_eq!(breaches(path, text), Vec::<String>::new(), "{path}: {text}");
    }
}
