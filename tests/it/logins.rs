//! Tokens of logins that exist: what they look like, the configuration that serves them, and what stays refused.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::{Answer, Broker, JWT_SECRET, Setup, cosbroker, emulator, token_of, write_secret};
use runtime::clock::{Clock, SystemClock};

/// A broker whose issuer section has other lines instead of these.
fn broker(changes: &[(&str, &str)]) -> Broker {
    with_home(changes, "users/${sub}/")
}

/// The same, with one template whose home is this.
fn with_home(changes: &[(&str, &str)], home: &str) -> Broker {
    setup(changes, home).start()
}

fn setup(changes: &[(&str, &str)], home: &str) -> Setup {
    let mut setup = Setup::new(emulator().0);
    setup.templates = vec![("upload.toml".to_owned(), template(home))];
    changes.iter().fold(setup, |setup, (from, to)| setup.with(from, to))
}

fn template(home: &str) -> String {
    format!(
        r#"description = "Own files"
bucket = "examplebucket-1250000000"
region = "ap-guangzhou"
home = "{home}"
duration = "30m"
[[statement]]
effect = "allow"
action = ["@upload"]
resource = ["${{home}}*"]
"#
    )
}

fn now() -> i64 {
    SystemClock::start().now().as_second()
}

/// A token with exactly these claims and an expiry.
fn token(header: &Header, claims: &Value, secret: &[u8]) -> String {
    let mut claims = claims.clone();
    if claims.get("exp").is_none() {
        claims["exp"] = json!(now() + 600);
    }
    jsonwebtoken::encode(header, &claims, &EncodingKey::from_secret(secret)).unwrap()
}

fn plain(claims: &Value) -> String {
    token(&Header::new(Algorithm::HS256), claims, JWT_SECRET.as_bytes())
}

async fn ask(broker: &Broker, token: &str) -> Answer {
    Answer::of(broker.http.get(broker.url("/v1/credentials")).bearer_auth(token)).await
}

/// The home of the user of a token.
async fn home(broker: &Broker, token: &str) -> String {
    let answer = ask(broker, token).await;
    assert_eq!(answer.status, 200, "{}\n{}", answer.body, broker.log());
    answer.json()["prefix"].as_str().unwrap().to_owned()
}

const AUDIENCE: &str = "audience = [\"app\"]";
const ISSUER: &str = "issuer = \"https://id.test/\"";

#[tokio::test]
async fn django_simplejwt_has_neither_issuer_nor_audience_and_its_user_in_user_id() {
    let changes =
        [(AUDIENCE, "audience = \"absent\"\nissuer_claim = \"absent\"\nsubject_claim = \"user_id\"")];
    let broker = with_home(&changes, "users/${sub|integer}/");
    let claims = json!({"token_type": "access", "user_id": 42, "jti": "a"});
    assert_eq!(home(&broker, &plain(&claims)).await, "users/42/");
    for (claims, why) in [
        (json!({"user_id": 42, "aud": "other"}), "a token for an audience is not for one that is not named"),
        (json!({"user_id": 42, "iss": "https://elsewhere.test/"}), "another issuer's"),
    ] {
        assert_eq!(ask(&broker, &plain(&claims)).await.status, 401, "{why}");
    }
    assert_eq!(ask(&broker, &plain(&json!({"sub": "42"}))).await.status, 422, "no user");
    assert_eq!(ask(&broker, &plain(&json!({"user_id": "42"}))).await.status, 422, "the home takes integers");
}

#[tokio::test]
async fn an_integer_sub_is_the_users_id_everywhere() {
    let broker = with_home(&[], "users/${sub|integer}/");
    assert_eq!(home(&broker, &token_of(&json!({"sub": 42}))).await, "users/42/");
    let (code, shown, _) = broker.keys(&["revoke", "--subject", "42", "--yes"]);
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(ask(&broker, &token_of(&json!({"sub": 42}))).await.status, 403, "revoked by the same id");
    for sub in [json!(-1), json!(1.5), json!(true), json!([42])] {
        assert_eq!(ask(&broker, &token_of(&json!({ "sub": sub }))).await.status, 422, "{sub}");
    }
}

#[tokio::test]
async fn a_users_id_may_be_a_member_of_an_object() {
    let broker = broker(&[(AUDIENCE, "audience = [\"app\"]\nsubject_claim = \"user.id\"")]);
    assert_eq!(home(&broker, &token_of(&json!({"user": {"id": "alice"}}))).await, "users/alice/");
    assert_eq!(ask(&broker, &token_of(&json!({"sub": "alice"}))).await.status, 422);
}

#[tokio::test]
async fn the_audience_may_stand_in_client_id_or_azp() {
    for claim in ["client_id", "azp"] {
        let lines = format!("audience = [\"app\"]\naudience_claim = \"{claim}\"");
        let broker = broker(&[(AUDIENCE, &lines)]);
        let mut claims = json!({"iss": "https://id.test/", "sub": "alice"});
        claims[claim] = json!("app");
        assert_eq!(home(&broker, &plain(&claims)).await, "users/alice/");
        claims[claim] = json!("other");
        assert_eq!(ask(&broker, &plain(&claims)).await.status, 401);
        let only_aud = json!({"iss": "https://id.test/", "sub": "alice", "aud": "app"});
        assert_eq!(ask(&broker, &plain(&only_aud)).await.status, 401);
    }
}

#[tokio::test]
async fn one_person_under_two_spellings_of_the_issuer_has_one_home() {
    let google = "issuer = \"https://accounts.google.com\"\naliases = [\"accounts.google.com\"]";
    let broker = broker(&[(ISSUER, google)]);
    for iss in ["https://accounts.google.com", "accounts.google.com"] {
        assert_eq!(home(&broker, &token_of(&json!({"iss": iss, "sub": "1077"}))).await, "users/1077/");
    }
    let http = token_of(&json!({"iss": "http://accounts.google.com", "sub": "1077"}));
    assert_eq!(ask(&broker, &http).await.status, 401);
}

#[tokio::test]
async fn an_hmac_secret_may_be_written_in_base64_hex_or_raw_bytes() {
    let secret: Vec<u8> = (0..48_u8).map(|index| index.wrapping_mul(73) ^ 0x5A).collect();
    let claims = json!({"iss": "https://id.test/", "aud": "app", "sub": "alice"});
    let token = token(&Header::new(Algorithm::HS256), &claims, &secret);
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &secret);
    for (encoding, text) in [
        ("base64", base64.clone().into_bytes()),
        ("base64", format!("{}\n", base64.trim_end_matches('=')).into_bytes()),
        ("hex", hex::encode_upper(&secret).into_bytes()),
        ("raw", secret.clone()),
    ] {
        let lines = format!("secret_file = \"jwt.secret\"\nsecret_encoding = \"{encoding}\"");
        let setup = setup(&[("secret_env = \"JWT_SECRET\"", &lines)], "users/${sub}/");
        let broker = setup.start_with(|dir| {
            write_secret(&dir.join("jwt.secret"), "");
            std::fs::write(dir.join("jwt.secret"), &text).unwrap();
        });
        assert_eq!(home(&broker, &token).await, "users/alice/", "{encoding}");
    }
}

#[tokio::test]
async fn a_short_secret_is_taken_only_if_the_operator_says_so_and_is_warned_of() {
    let secret = "q8Zt0vX2mR5nK7pL3wY9aB1c6D";
    let file = "secret_file = \"jwt.secret\"";
    let refused = setup(&[("secret_env = \"JWT_SECRET\"", file)], "users/${sub}/").write();
    write_secret(&refused.path().join("jwt.secret"), secret);
    let check = cosbroker(refused.path()).args(["check", "--config", "config.toml"]).output().unwrap();
    let told = String::from_utf8(check.stderr).unwrap();
    assert!(told.contains("26 bytes") && told.contains("allow_short_secret = true"), "{told}");

    let lines = format!("{file}\nallow_short_secret = true");
    let setup = setup(&[("secret_env = \"JWT_SECRET\"", &lines)], "users/${sub}/");
    let broker = setup.start_with(|dir| write_secret(&dir.join("jwt.secret"), secret));
    let claims = json!({"iss": "https://id.test/", "aud": "app", "sub": "alice"});
    let token = token(&Header::new(Algorithm::HS256), &claims, secret.as_bytes());
    assert_eq!(home(&broker, &token).await, "users/alice/");
    broker.says("fewer than 32 (RFC 7518");
    let status = Answer::of(broker.http.get(format!("http://{}/api/status", broker.operators))).await.json();
    assert!(status["issuers"][0]["warnings"][0].as_str().unwrap().contains("26 bytes"), "{status}");
    let page = Answer::of(broker.http.get(format!("http://{}/", broker.operators))).await.body;
    assert!(page.contains("the HMAC secret has 26 bytes"), "{page}");
}

#[tokio::test]
async fn keys_in_headers_are_ignored_if_the_issuer_puts_them_into_every_token() {
    let claims = json!({"iss": "https://id.test/", "aud": "app", "sub": "alice"});
    let mut header = Header::new(Algorithm::HS256);
    header.jku = Some("https://evil.test/jwks.json".to_owned());
    header.x5c = Some(vec!["A".repeat(5000)]);
    let token = token(&header, &claims, JWT_SECRET.as_bytes());
    assert_eq!(ask(&broker(&[]), &token).await.status, 401);
    let broker = broker(&[(AUDIENCE, "audience = [\"app\"]\nheader_keys = \"ignore\"")]);
    assert_eq!(home(&broker, &token).await, "users/alice/");
}

#[tokio::test]
async fn odd_but_harmless_tokens_are_served() {
    let broker = broker(&[]);
    let payload = |more: &str| {
        format!(r#"{{"iss":"https://id.test/","aud":"app","sub":"alice","exp":{}{more}}}"#, now() + 600)
    };
    let long_kid = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(700));
    for (header, payload, what) in [
        (r#"{"alg":"HS256","kid":null,"typ":null}"#, payload(""), "null in the header"),
        (r#"{"alg":"HS256"}"#, payload(r#","nbf":null"#), "null in nbf"),
        (
            r#"{"alg":"HS256"}"#,
            payload(r#","nickname":"a\ud83d""#),
            "half a surrogate pair in a claim nobody uses",
        ),
        (long_kid.as_str(), payload(""), "a long kid"),
    ] {
        assert_eq!(home(&broker, &signed(header, &payload)).await, "users/alice/", "{what}");
    }
    let odd_subject = signed(r#"{"alg":"HS256"}"#, &payload("").replace(r#""alice""#, r#""alice\ud83d""#));
    assert_eq!(ask(&broker, &odd_subject).await.status, 422, "a subject that is no Unicode is no subject");
}

/// Signs exactly these texts with HS256.
fn signed(header: &str, payload: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// Each tenant of Entra is an issuer of its own, and `tid` must say which.
#[tokio::test]
async fn the_tenant_of_a_service_with_many_is_part_of_the_home() {
    let issuer = "issuer = \"https://login.microsoftonline.com/{tenantid}/v2.0\"";
    let broker = with_home(&[(ISSUER, issuer)], "${iss|sha256}/${sub}/");
    let token = |tenant: &str, tid: &str| {
        let iss = format!("https://login.microsoftonline.com/{tenant}/v2.0");
        token_of(&json!({"iss": iss, "tid": tid, "sub": "alice"}))
    };
    let (one, other) = ("9188040d-6c67-4c5b", "72f988bf-86f1-41af");
    assert_ne!(home(&broker, &token(one, one)).await, home(&broker, &token(other, other)).await);
    assert_eq!(ask(&broker, &token(one, other)).await.status, 401, "tid is another tenant");
    assert_eq!(ask(&broker, &token("a/b", "a/b")).await.status, 401);
    let named = setup(&[(ISSUER, issuer)], "tenants/${claim.tid|escape}/${sub|escape}/");
    let named = Setup {
        templates: named
            .templates
            .into_iter()
            .map(|(file, text)| (file, text.replace("home =", "owner = [\"claim.tid\", \"sub\"]\nhome =")))
            .collect(),
        ..named
    };
    assert_eq!(home(&named.start(), &token(one, one)).await, format!("tenants/{one}/alice/"));
    let without_issuer = setup(&[(ISSUER, issuer)], "users/${sub}/").write();
    let check = cosbroker(without_issuer.path()).args(["check", "--config", "config.toml"]).output().unwrap();
    assert!(!check.status.success(), "the home must name the tenant");
}

/// A template that serves the users of one issuer needs no issuer in its home.
#[tokio::test]
async fn a_second_issuer_moves_nobodys_folder() {
    let second = "[[issuer]]\nissuer = \"https://partner.test/\"\naudience = [\"app\"]\nalgorithms = [\"HS256\"]\nsecret_env = \"JWT_SECRET\"\n[templates]";
    let for_issuer = |home: &str, issuer: &str| {
        template(home).replacen("[[statement]]", &format!("[require]\niss = \"{issuer}\"\n[[statement]]"), 1)
    };
    let mut two = setup(&[("[templates]", second)], "users/${sub}/");
    let upload = for_issuer("users/${sub}/", "https://id.test/");
    two.templates = vec![
        ("upload.toml".to_owned(), upload.clone()),
        ("partners.toml".to_owned(), for_issuer("partners/${sub}/", "https://partner.test/")),
    ];
    let broker = two.start();
    let partner = token_of(&json!({"iss": "https://partner.test/", "sub": "alice"}));
    assert_eq!(home(&broker, &token_of(&json!({"sub": "alice"}))).await, "users/alice/");
    assert_eq!(ask(&broker, &partner).await.status, 403, "another issuer's alice");
    let url = broker.url("/v1/credentials/partners");
    let answer = Answer::of(broker.http.get(url).bearer_auth(&partner)).await;
    assert_eq!(answer.json()["prefix"], "partners/alice/", "{}", answer.body);

    let mut shared = setup(&[("[templates]", second)], "users/${sub}/");
    let same_folder = for_issuer("users/${sub}/", "https://partner.test/");
    shared.templates = vec![("upload.toml".to_owned(), upload), ("partners.toml".to_owned(), same_folder)];
    let dir = shared.write();
    let check = cosbroker(dir.path()).args(["check", "--config", "config.toml"]).output().unwrap();
    assert!(!check.status.success(), "both issuers' alice would share users/alice/");
}

/// What the log, the page and the API say of a rejected token, each named as its cause.
#[tokio::test]
async fn a_rejected_token_is_told_as_what_it_is() {
    let broker = broker(&[]);
    let good = token_of(&json!({"sub": "alice"}));
    let later = (now() + 600) * 1000;
    let rejected = [
        (format!("Bearer {}", "a.b.c.d.e"), "an encrypted JWT (JWE)", ""),
        ("Bearer opaque-token".to_owned(), "not a JWT: an opaque token", ""),
        (good.clone(), "no `Bearer ` before the token", ""),
        (format!("Bearer {good}="), "base64url with padding", ""),
        (
            format!("Bearer {}", token_of(&json!({"sub": "a", "exp": later}))),
            "`exp` is in milliseconds",
            "seconds",
        ),
        (
            format!("Bearer {}", token_of(&json!({"sub": "a", "exp": "1900000000"}))),
            "`exp` is a text",
            "1900000000",
        ),
        (
            format!("Bearer {}", token_of(&json!({"sub": "a", "aud": "web"}))),
            "wrong audience",
            "aud: \"web\"",
        ),
        (
            format!("Bearer {}", token_of(&json!({"sub": "a", "iss": "https://x.test/"}))),
            "unknown issuer",
            "iss: \"https://x.test/\"",
        ),
    ];
    for (authorization, cause, says) in rejected {
        let request = broker.http.get(broker.url("/v1/credentials")).header("authorization", authorization);
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, 401, "{cause}");
        let url = format!("http://{}/api/refusals/{}", broker.operators, answer.header("x-request-id"));
        let kept = Answer::of(broker.http.get(url)).await.json();
        assert!(kept["cause"].as_str().unwrap().contains(cause), "{cause}: {kept}");
        assert!(
            kept["comparison"].to_string().contains(&json!(says).to_string().replace('"', ""))
                || says.contains('"'),
            "{says}: {kept}"
        );
    }
    let unknown = Answer::of(broker.http.get(format!("http://{}/api/refusals/x", broker.operators))).await;
    assert_eq!(unknown.status, 404, "{}", unknown.body);
}

#[test]
fn token_explain_names_each_check_and_the_line_to_change() {
    let dir = setup(&[], "users/${sub}/").write();
    let explain = |token: &str, more: &[&str]| {
        let mut command = cosbroker(dir.path());
        let output = command.args(["token", "explain", token]).args(more).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let config = ["--config", "config.toml"];
    let good = token_of(&json!({"sub": "alice"}));
    let (code, shown, _) = explain(&format!("Bearer {good}"), &config);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("\n\naccepted: user `alice` of issuer `https://id.test/`"), "{shown}");
    let signature = good.rsplit('.').next().unwrap();
    assert!(!shown.contains(signature) && !shown.contains(JWT_SECRET), "{shown}");

    let (code, shown, failure) = explain(&token_of(&json!({"sub": "alice", "aud": "web"})), &config);
    assert_eq!(code, Some(1));
    assert!(failure.contains("wrong audience"), "{failure}");
    let line = shown.lines().find(|line| line.starts_with("FAIL")).unwrap();
    assert!(line.contains("aud: \"web\""), "{shown}");
    assert!(
        shown.contains("one of [\"app\"]") && shown.contains("add it to audience (config.toml:7:1)"),
        "{shown}"
    );
    assert_eq!(shown.matches("ok  ").count(), 10, "the other checks are made too: {shown}");

    let (code, _, failure) = explain("opaque", &config);
    assert_eq!(code, Some(1));
    assert!(failure.contains("an opaque token"), "{failure}");

    let (code, shown, _) = explain(&good, &[]);
    assert_eq!(
        (code, shown.contains("accepted: user `alice`")),
        (Some(0), true),
        "config.toml of the folder: {shown}"
    );
    std::fs::remove_file(dir.path().join("config.toml")).unwrap();
    let (code, shown, notes) = explain(&good, &[]);
    assert_eq!(code, Some(0));
    assert!(shown.contains("\"sub\":\"alice\"") && notes.contains("--config"), "{shown}{notes}");
}
