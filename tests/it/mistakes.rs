//! Mistakes on purpose. What is said of each has the place, what is wrong there, and how to fix it.

use crate::support::{Answers, CannedSts, RefusingPort, Setup, cosbroker, write_secret};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What a command that fails says, beside the files of a broker.
fn said(setup: &Setup, arguments: &[&str]) -> String {
    let dir = setup.write();
    std::fs::write(dir.path().join("jwks.json"), "{\"keys\":[]}").unwrap();
    write_secret(&dir.path().join("chain.pem"), "no PEM");
    let output = cosbroker(dir.path()).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{arguments:?}: {said}");
    said
}

#[track_caller]
fn assert_said(said: &str, parts: &[&str]) {
    for part in parts {
        assert_eq!(said.matches(part).count(), 1, "{part} in {said}");
    }
}

#[test]
fn a_mistake_in_the_configuration_is_told_in_words_of_the_configuration() {
    let closed = RefusingPort::bind();
    let issuer = |keys: &str| {
        let setup = Setup::new(closed.address()).with("HS256", "RS256");
        setup.with("secret_env = \"JWT_SECRET\"", keys)
    };
    let setup = || Setup::new(closed.address());
    for (setup, parts) in [
        (
            setup().with("calls_per_second = 600", "calls_per_second = \"600\""),
            ["config.toml:21:20: ", "expected a whole number from 1; write it in digits and without quotes"],
        ),
        (
            setup().with_section("server", "trusted_proxies = [\"10.0.0.0/33\"]"),
            ["config.toml:2:20: ", "`10.0.0.0/33` is not an IP address or network; write a network, like"],
        ),
        (setup().with_section("sts", "call_timeout = \"3 parsecs\""), ["config.toml:", "; "]),
        (
            setup().with_section("server", "drain_delay = \"3 parsecs\"").with("drain_delay = \"0s\"\n", ""),
            ["config.toml:2:15: ", "`3 parsecs` is not a duration; write it like"],
        ),
        (
            setup().with_section("server", "tls_cert_file = \"none.pem\"\ntls_key_file = \"chain.pem\""),
            ["config.toml:2:17: none.pem cannot be read: ", "; create it, or correct its path"],
        ),
        (
            setup().with_section("server", "tls_cert_file = \"chain.pem\"\ntls_key_file = \"chain.pem\""),
            ["config.toml:3:16: tls_key_file cannot be used: it contains no private key", "; give a PEM"],
        ),
        (
            issuer("jwks_file = \"jwks.json\""),
            ["config.toml:7:1: issuer `https://id.test/`: jwks.json holds no keys", "; fix that section"],
        ),
    ] {
        assert_said(&said(&setup, &["check"]), &parts);
    }
}

#[test]
fn what_cannot_be_reached_is_named() {
    let closed = RefusingPort::bind();
    let address = closed.address().to_string();
    let online = &["check", "--online"];
    let sts = said(&Setup::new(closed.address()), online);
    assert_said(&sts, &[&format!("({address}: STS was not reached"), "; check sts.endpoint and the network"]);

    let url = format!("http://{address}/jwks.json");
    let issuer = Setup::new(closed.address()).with("HS256", "RS256");
    let issuer = issuer.with("secret_env = \"JWT_SECRET\"", &format!("jwks_url = \"{url}\""));
    let keys = said(&issuer, online);
    assert_said(
        &keys,
        &[&format!("its key set {url} cannot be fetched: "), "; check the address and the way to it"],
    );
}

#[test]
fn a_mistake_in_an_argument_is_told_with_what_to_write() {
    let closed = RefusingPort::bind();
    for (arguments, parts) in [
        (
            &["keys", "list", "--limit", "many"][..],
            ["--limit <COUNT>", "write a whole number from 1 to 10000"],
        ),
        (&["token", "explain", ""], ["the token is empty; ", "give it as an argument, or on stdin with `-`"]),
        (&["man", "--dir", "config.toml"], ["config.toml cannot be made; ", "give a folder"]),
    ] {
        assert_said(&said(&Setup::new(closed.address()), arguments), &parts);
    }
}

#[cfg(feature = "sandbox")]
#[test]
fn a_sandbox_says_which_folder_of_templates_is_missing() {
    let said = said(&Setup::new(RefusingPort::bind().address()), &["sandbox", "--templates", "nowhere"]);
    assert_said(&said, &["--templates nowhere: is no folder; ", "leave the option out"]);
}

#[test]
fn a_wrong_token_for_the_operators_listener_is_told_apart_from_none() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = Setup::new(sts.address)
        .with_section("admin", "token_file = \"admin.token\"")
        .start_with(|dir| write_secret(&dir.join("admin.token"), TOKEN));
    let url = format!("http://{}", broker.operators);
    for (token, fault) in [("", "it wants a token"), ("another", "the token is not its own")] {
        let mut command = cosbroker(broker.dir());
        let command = command.args(["keys", "list", "--operators", &url]).env("COSBROKER_TOKEN", token);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_said(&said, &[&url, fault, "; name its configuration with --config, or set COSBROKER_TOKEN"]);
    }
}
