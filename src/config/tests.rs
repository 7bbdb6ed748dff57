use super::*;

const MINIMAL: &str = r#"
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

fn parse(text: &str) -> Result<Config, Vec<Diagnostic>> {
    let environment = |name: &str| match name {
        "JWT_SECRET" => Some("0123456789abcdef0123456789abcdef".to_owned()),
        "SHORT" => Some("secret".to_owned()),
        "ID" | "KEY" => Some(format!("the-{name}")),
        _ => None,
    };
    Config::parse(&Source::new("config.toml", text), &Environment(&environment))
}

fn problem(text: &str) -> String {
    let problems = parse(text).expect_err("a problem");
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_minimal_file_gets_the_documented_defaults() {
    let config = parse(MINIMAL).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:5000");
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:5001");
    assert_eq!(config.sts.action, StsAction::GetFederationToken);
    assert_eq!(config.sts.endpoint.as_str(), "https://sts.tencentcloudapi.com/");
    assert_eq!(config.sts.calls_per_second.get(), 100);
    assert_eq!((config.cache.max_bytes, config.cache.advice_bytes), (256 << 20, Some(4 << 20)));
    assert_eq!(config.cache.min_remaining(Duration::from_mins(30)), Duration::from_mins(5));
    assert_eq!(config.cache.min_remaining(Duration::from_mins(1)), Duration::from_secs(20));
    assert_eq!(config.issuers[0].leeway, Duration::from_secs(30));
}

#[test]
fn an_audit_log_is_kept_only_if_it_is_asked_for_and_has_a_bound() {
    assert!(parse(MINIMAL).unwrap().audit.is_none());
    let target = |extra: &str| {
        let audit = parse(&format!("{MINIMAL}\n[audit]\n{extra}")).unwrap().audit.unwrap();
        assert!(!audit.hits);
        match audit.target {
            AuditTarget::Stdout => None,
            AuditTarget::File { path, rotation, .. } => Some((path.display().to_string(), rotation)),
        }
    };
    let bound = |max_bytes, keep: u32| Some(Rotation { max_bytes, keep: keep.try_into().unwrap() });
    assert_eq!(target("path = \"a.jsonl\""), Some(("a.jsonl".to_owned(), bound(64 << 20, 5))));
    assert_eq!(
        target("path = \"/a\"\nmax_bytes = \"1MiB\"\nkeep = 1"),
        Some(("/a".to_owned(), bound(1 << 20, 1)))
    );
    assert_eq!(target("path = \"a\"\nmax_bytes = \"off\""), Some(("a".to_owned(), None)));
    assert_eq!(target("path = \"-\""), None);
}

#[test]
fn spans_are_exported_only_if_a_collector_is_named() {
    assert_eq!(parse(MINIMAL).unwrap().tracing, None);
    let named = format!("{MINIMAL}\n[tracing]\notlp_endpoint = \"http://otel:4318/v1/traces\"");
    let tracing = parse(&named).unwrap().tracing.unwrap();
    assert_eq!(tracing.otlp_endpoint.as_str(), "http://otel:4318/v1/traces");
    assert_eq!((tracing.service_name.as_str(), tracing.sample), ("cosbroker", 0.01));
}

#[test]
fn a_canary_runs_only_if_it_is_asked_for_every_five_minutes_on_the_default_template() {
    assert!(parse(MINIMAL).unwrap().canary.is_none());
    let text = MINIMAL.replace("dir = \"policies\"", "dir = \"policies\"\ndefault = \"upload\"");
    let canary = parse(&format!("{text}\n[canary]")).unwrap().canary.unwrap();
    assert_eq!((canary.every, canary.template.as_str()), (Duration::from_mins(5), "upload"));
    assert!(canary.endpoint.is_none() && canary.place.starts_with("config.toml:"));
}

#[test]
fn each_mistake_is_one_line_that_says_where_and_how_to_mend_it() {
    let with = |from: &str, to: &str| problem(&MINIMAL.replace(from, to));
    for (text, line, said) in [
        (with("region =", "regoin ="), 10, "did you mean `region`?"),
        (with("secret_env = \"JWT_SECRET\"", "secret = \"inline\""), 6, "unknown key `secret`"),
        (with("JWT_SECRET", "NOT_SET"), 6, "NOT_SET is not set"),
        (with("JWT_SECRET", "Gu5t9xGARNpq86cd98jo"), 6, "not the name of an environment variable"),
        (with("JWT_SECRET", "SHORT"), 6, "fewer than 32 (RFC 7518 §3.2)"),
        (with("\"HS256\"", "\"RS25\""), 5, "did you mean `RS256`?"),
        (with("\"HS256\"", "\"HS256\", \"RS256\""), 5, "mixes families"),
        (with("\"HS256\"", "\"RS256\""), 5, "do not fit the key"),
        (with("\"HS256\"", "\"none\""), 5, "unknown algorithm `none`"),
        (with("[\"app\"]", "[]"), 4, "audience is empty"),
        (with("secret_env = \"JWT_SECRET\"", "public_key_file = \"no.pem\""), 6, "no.pem cannot be read"),
        (with("secret_env = \"JWT_SECRET\"", "jwks_url = \"http://id.example.com/\""), 6, "not a safe URL"),
        (with("secret_env = \"JWT_SECRET\"", ""), 2, "exactly one source of keys"),
        (with("region = \"ap-guangzhou\"", "region = \"\""), 10, "not a region"),
        (with("secret_id_env = \"ID\"", ""), 9, "only one half"),
    ] {
        assert!(text.starts_with(&format!("config.toml:{line}:")), "{text}");
        assert!(text.contains(said), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn values_out_of_range_are_refused() {
    for (extra, said) in [
        ("[cache]\nrefresh_at = 1.0", "not a share"),
        ("[cache]\nrefresh_at = nan", "not a share"),
        ("[cache]\nmin_remaining = \"5\"", "not a duration"),
        ("[cache]\nadvice_bytes = \"63KiB\"", "holds too few asks"),
        ("[cache]\nadvice_bytes = \"65MiB\"", "more than can be replayed"),
        ("[cache]\nadvice_bytes = \"none\"", "or \"off\""),
        ("[limits]\nper_user = \"many\"", "not a rate"),
        ("[limits]\nrevoked_file = \"nowhere/revoked.toml\"", "there is no folder for nowhere/revoked.toml"),
        ("[admin]\nlisten = \"0.0.0.0:5001\"", "has no token"),
        ("[server]\ncors_origins = [\"*\"]", "not an origin"),
        ("[server]\ntls_cert_file = \"a.pem\"", "one of tls_cert_file and tls_key_file"),
        ("[server]\nworkers = 0", "serve nobody"),
        ("[server]\nworkers = 513", "more than 512"),
        ("[server]\nlisten = \"127.0.0.1:5001\"", "are both 127.0.0.1:5001"),
        ("[audit]\npath = \"\"", "audit.path is empty"),
        ("[audit]\nhits = true", "missing"),
        ("[audit]\npath = \"-\"\nmax_bytes = \"1MiB\"", "never turned over"),
        ("[audit]\npath = \"-\"\nkeep = 2", "makes none"),
        ("[audit]\npath = \"a\"\nmax_bytes = \"off\"\nkeep = 2", "makes none"),
        ("[audit]\npath = \"a\"\nmax_bytes = \"1KiB\"", "less than some lines take"),
        ("[audit]\npath = \"a\"\nkeep = 1001", "more than 1000"),
        ("[audit]\npath = \"a\"\nkeep = 0", "nonzero"),
        ("[tracing]\nsample = 0.5", "missing"),
        ("[tracing]\notlp_endpoint = \"collector\"", "not a URL"),
        ("[tracing]\notlp_endpoint = \"http://127.0.0.1:4318\"", "has no path"),
        ("[tracing]\notlp_endpoint = \"grpc://127.0.0.1:4317/v1/traces\"", "neither http:// nor https://"),
        ("[tracing]\notlp_endpoint = \"https://me:pw@otel.test/v1/traces\"", "credentials in it"),
        ("[tracing]\notlp_endpoint = \"http://otel/v1/traces\"\nsample = 1.5", "not a share"),
        ("[tracing]\notlp_endpoint = \"http://otel/v1/traces\"\nsample = nan", "not a share"),
        (
            "[tracing]\notlp_endpoint = \"http://otel/v1/traces\"\nservice_name = \" \"",
            "service_name is empty",
        ),
        ("[canary]", "there is no default"),
        ("[canary]\ntemplate = \"upload\"\nevery = \"59s\"", "less than a minute"),
        ("[canary]\ntemplate = \"upload\"\nendpoint = \"http://cos.example.com\"", "not a safe URL"),
        ("[canary]\ntemplate = \"upload\"\nendpoint = \"https://cos.example.com/b\"", "has a path"),
        ("[redis]\nurl = \"redis://127.0.0.1\"", "not built yet"),
    ] {
        let text = problem(&format!("{MINIMAL}\n{extra}"));
        assert!(text.contains(said), "{extra}: {text}");
    }
    assert!(problem(&MINIMAL.replace("[sts]", "[sts]\ncalls_per_second = 601")).contains("quota of 600"));
    assert!(problem(&MINIMAL.replace("[sts]", "[sts]\naction = \"AssumeRole\"")).contains("needs role_arn"));
    assert!(problem(&MINIMAL.replace("[sts]", "[sts]\nrole_arn = \"x\"")).contains("takes no role"));
    for (more, said) in [
        ("action = \"AssumeRole\"\nrole_arn = \"uploader\"", "not a role's ARN"),
        ("endpoint = \"https://sts.example.com/v3\"", "has a path"),
        ("endpoint = \"https://me:pw@sts.example.com\"", "credentials in it"),
        ("endpoint = \"http://sts.example.com\"", "not a safe URL"),
        ("timeout = \"1ns\"", "too short"),
    ] {
        let text = problem(&MINIMAL.replace("[sts]", &format!("[sts]\n{more}")));
        assert!(text.contains(said), "{more}: {text}");
    }
}

#[test]
fn problems_of_several_sections_are_all_told() {
    let text =
        problem(&format!("{}\n[admin]\nlisten = \"0.0.0.0:1\"\n", MINIMAL.replace("JWT_SECRET", "NOT_SET")));
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn one_issuer_configured_twice_is_refused() {
    let again = MINIMAL.split("[templates]").next().unwrap();
    assert!(problem(&format!("{MINIMAL}{again}")).contains("configured twice"));
}

#[test]
fn no_secret_shows_in_the_debug_of_a_configuration() {
    let shown = format!("{:?}", parse(MINIMAL).unwrap());
    assert!(!problem(&MINIMAL.replace("JWT_SECRET", "Gu5t9xGAR")).contains("Gu5t9"), "a misplaced secret");
    for secret in ["0123456789abcdef", "the-ID", "the-KEY"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
