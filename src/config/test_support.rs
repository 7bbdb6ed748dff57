//! Helpers for the tests of all sections.

use super::{Config, Environment};
use diagnostics::{Diagnostic, Source};

/// A configuration without optional keys.
pub(super) const MINIMAL: &str = r#"
[[issuer]]
issuer = "https://id.example.com/"
audience = ["app"]
algorithms = ["HS256"]
secret_env = "JWT_SECRET"
[templates]
dir = "policies"
[sts]
region = "ap-guangzhou"
secret_id_env = "ID"
secret_key_env = "KEY"
"#;

fn variable(name: &str) -> Option<String> {
    match name {
        "JWT_SECRET" | "APP_JWT_SECRET" => Some("0123456789abcdef-0123456789abcdef".to_owned()),
        "WITH_LINE_BREAK" => Some("0123456789abcdef-0123456789abcdef\n".to_owned()),
        // The key of a much copied tutorial for Spring Boot, which decodes it.
        "PUBLISHED" => Some("404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970".to_owned()),
        "REDIS_KEY" => Some("ab".repeat(32)),
        "SHORT" => Some("secret".to_owned()),
        "PROXY" => Some("me:canary-password".to_owned()),
        "ID" | "KEY" | "TENCENTCLOUD_SECRET_ID" | "TENCENTCLOUD_SECRET_KEY" => Some(format!("the-{name}")),
        _ => None,
    }
}

pub(super) fn parse(text: &str) -> Result<Config, Vec<Diagnostic>> {
    Config::parse(&Source::new("config.toml", text), &Environment(&variable))
}

/// The problems of a text, one per line.
pub(super) fn problem(text: &str) -> String {
    let problems = parse(text).expect_err("a problem");
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Asserts that [`MINIMAL`] with one more section is refused with this message.
pub(super) fn assert_refused(section: &str, message: &str) {
    let text = problem(&format!("{MINIMAL}\n{section}"));
    assert!(text.contains(message), "{section}: {text}");
}
