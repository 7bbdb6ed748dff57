//! The operators' page, as it is served.

use serde_json::json;

use crate::support::{Answer, Broker, Setup, emulator, token, write_secret};

const TOKEN: &str = "operators-canary-0123456789abcdef";

/// A broker whose operators' listener requires a token.
fn with_token() -> Broker {
    let setup = Setup::new(emulator().0).with_section("admin", "token_file = \"operators.token\"");
    setup.start_with(|dir| write_secret(&dir.join("operators.token"), TOKEN))
}

/// A browser that follows no redirect, so that the test sees each response.
struct Browser<'a> {
    broker: &'a Broker,
    http: reqwest::Client,
    cookie: String,
}

impl<'a> Browser<'a> {
    fn new(broker: &'a Broker) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Self { broker, http: http.build().unwrap(), cookie: String::new() }
    }

    async fn get(&self, path: &str) -> Answer {
        let request = self.http.get(format!("http://{}{path}", self.broker.operators));
        Answer::of(request.header("accept", "text/html,*/*").header("cookie", &self.cookie)).await
    }

    async fn send(&self, path: &str, form: &[(&str, &str)], from: &str) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.http.post(format!("http://{}{path}", self.broker.operators)).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        Answer::of(request.header("origin", from).header("cookie", &self.cookie)).await
    }

    /// The origin of the page.
    fn origin(&self) -> String {
        format!("http://{}", self.broker.operators)
    }

    async fn log_in(&mut self, token: &str) -> Answer {
        let answer = self.send("/login", &[("token", token)], &self.origin()).await;
        let set = answer.header("set-cookie").to_owned();
        set.split(';').next().unwrap().clone_into(&mut self.cookie);
        answer
    }
}

#[tokio::test]
async fn a_browser_logs_in_with_the_token_and_logs_out() {
    let broker = with_token();
    let mut browser = Browser::new(&broker);
    for path in ["/", "/keys", "/revoke?subject=alice", "/api/status", "/metrics"] {
        let outside = browser.get(path).await;
        assert_eq!(outside.status, 401, "{path}");
        assert!(outside.body.contains("action=\"/login\""), "a browser gets the login page: {path}");
    }
    let program = Answer::of(broker.http.get(format!("http://{}/", broker.operators))).await;
    assert_eq!(
        (program.status, program.header("www-authenticate")),
        (401, "Bearer realm=\"cosbroker operators\"")
    );

    for wrong in ["", "operators", &TOKEN[1..]] {
        let refused = browser.log_in(wrong).await;
        assert_eq!((refused.status, browser.cookie.as_str()), (401, ""), "{wrong}");
        assert!(refused.body.contains("not the token of [admin]"));
    }
    let guess = broker.http.get(format!("http://{}/api/status", broker.operators));
    assert_eq!(Answer::of(guess.bearer_auth("a guess")).await.status, 401);
    broker.says("a wrong token was sent to the operators' listener");
    let any_case = broker.http.get(format!("http://{}/metrics", broker.operators));
    let metrics = Answer::of(any_case.header("authorization", format!("bearer {TOKEN}"))).await.body;
    assert!(
        metrics.contains("cosbroker_admin_auth_failures_total 4\n"),
        "each wrong token is counted: {metrics}"
    );
    let empty = browser.send("/login", &[], &browser.origin()).await;
    assert!(empty.status == 401 && empty.body.contains("action=\"/login\""), "{empty:?}");
    let reloaded = browser.get("/login").await;
    assert_eq!((reloaded.status, reloaded.header("location")), (303, "/"));
    let logged_in = browser.log_in(TOKEN).await;
    assert_eq!((logged_in.status, logged_in.header("location")), (303, "/"));
    let cookie = logged_in.header("set-cookie");
    for part in ["cosbroker_admin=", "HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(TOKEN), "{cookie}");
    for path in ["/", "/keys", "/metrics", "/api/status"] {
        assert_eq!(browser.get(path).await.status, 200, "{path}");
    }
    assert!(browser.get("/").await.body.contains("action=\"/logout\""));

    let logged_out = browser.send("/logout", &[], &browser.origin()).await;
    assert!(logged_out.header("set-cookie").contains("Max-Age=0"), "{logged_out:?}");
    assert_eq!(
        browser.get("/").await.status,
        401,
        "the cookie is not valid any more, wherever it was copied"
    );
    logged_out.header("set-cookie").split(';').next().unwrap().clone_into(&mut browser.cookie);
    assert_eq!(browser.get("/").await.status, 401);
}

#[tokio::test]
async fn a_page_of_another_site_can_neither_frame_this_one_nor_send_its_forms() {
    let broker = with_token();
    let mut browser = Browser::new(&broker);
    assert_eq!(browser.log_in(TOKEN).await.status, 303);
    let page = browser.get("/").await;
    let policy = page.header("content-security-policy");
    for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "script-src 'self'"] {
        assert!(policy.contains(part), "{policy}");
    }
    let alice = [("issuer", "https://id.test/"), ("subject", "alice")];
    let token_typed = [("token", TOKEN)];
    for (path, form) in
        [("/revoke", &alice[..]), ("/restore", &alice), ("/login", &token_typed), ("/logout", &[])]
    {
        for origin in ["http://evil.test", "null"] {
            assert_eq!(browser.send(path, form, origin).await.status, 403, "{path} from {origin}");
        }
    }
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
    assert_eq!(browser.send("/revoke", &alice, &browser.origin()).await.status, 200);
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 403);
}

#[tokio::test]
async fn a_user_whose_name_ends_with_a_space_is_another_user() {
    let broker = Setup::new(emulator().0).start();
    let browser = Browser::new(&broker);
    let page = browser.get("/keys?subject=alice%20").await;
    assert!(page.body.contains("“alice ”"), "{}", page.body);
    assert!(
        page.body.contains("/revoke?issuer=https%3A%2F%2Fid%2Etest%2F&amp;subject=alice%20\""),
        "{}",
        page.body
    );
    let confirmation = browser.get("/revoke?issuer=https%3A%2F%2Fid%2Etest%2F&subject=alice%20").await;
    assert!(confirmation.body.contains("value=\"alice \""), "{}", confirmation.body);
    let clicked = [("issuer", "https://id.test/"), ("subject", "alice ")];
    assert_eq!(browser.send("/revoke", &clicked, &browser.origin()).await.status, 200);
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
}

#[tokio::test]
async fn a_name_that_is_markup_is_shown_as_text() {
    let hostile = "<script>alert(1)</script>\"'&\u{202e}";
    let broker = Setup::new(emulator().0).with_bare_homes().start();
    let browser = Browser::new(&broker);
    assert_eq!(broker.get("/v1/credentials", &token(hostile)).await.status, 422);
    let alice = [("issuer", "https://id.test/"), ("subject", hostile)];
    assert_eq!(browser.send("/revoke", &alice, &browser.origin()).await.status, 200);
    let query: String = url::form_urlencoded::byte_serialize(hostile.as_bytes()).collect();
    for path in ["/".to_owned(), format!("/keys?subject={query}"), format!("/revoke?subject={query}")] {
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.contains("&lt;script&gt;alert(1)"), "{path}: {}", page.body);
        assert!(!page.body.contains("<script>alert"), "{path}");
        let shown = page.body.split("<form").next().unwrap();
        assert!(!shown.contains('\u{202e}'), "it does not change the text direction: {path}");
    }
}

#[tokio::test]
async fn an_alarm_is_at_the_top_with_its_help() {
    let broker = Setup::new(emulator().0).start();
    let browser = Browser::new(&broker);
    assert!(browser.get("/").await.body.contains("No active alarms."));
    broker.put_template("upload.toml", "bucket = 1");
    assert_eq!(broker.reload().await.0, 409);
    let page = browser.get("/").await.body;
    assert!(
        page.contains("the templates&#39; folder is refused")
            || page.contains("the templates' folder is refused"),
        "{page}"
    );
    assert!(page.contains("policies/upload.toml:1:"), "{page}");
    let status = broker.operators_get("/api/status").await.json();
    let alarm = &status["alarms"][0];
    assert!(alarm["what"].as_str().unwrap().contains("policies/upload.toml:1:"), "{alarm}");
    assert_eq!(alarm["help"], "correct the file");
}

#[tokio::test]
async fn the_status_counts_what_the_metrics_count() {
    let broker = Setup::new(emulator().0).start();
    for subject in ["alice", "alice", "bob"] {
        assert_eq!(broker.get("/v1/credentials", &token(subject)).await.status, 200);
    }
    assert_eq!(broker.get("/v1/credentials", "junk").await.status, 401);
    let status = broker.operators_get("/api/status").await.json();
    for outcome in ["hit", "fetched", "refused", "stale", "coalesced", "refreshed", "shared"] {
        let label = format!("outcome=\"{outcome}\"");
        assert_eq!(
            status["requests"][outcome],
            broker.figure(&["cosbroker_credential_requests_total", &label]).await,
            "{outcome}"
        );
    }
    assert_eq!(status["misses"]["cold"], 2);
    assert_eq!((&status["sts"]["calls"], &status["sts"]["failed"]), (&json!(2), &json!(0)));
    assert_eq!((&status["keys"]["active"], &status["keys"]["revoked"]), (&json!(2), &json!(0)));
    let refused = &status["refusals"][0];
    assert_eq!((&refused["status"], &refused["outcome"]), (&json!(401), &json!("unauthenticated")));
    assert!(refused["cause"].as_str().unwrap().contains("opaque"), "{refused}");
    let rates = status["hour"].as_array().unwrap().last().unwrap();
    assert_eq!(rates["hit_rate"], 1.0 / 3.0, "one hit of three lookups: {rates}");
}

#[tokio::test]
async fn a_viewer_sees_everything_and_changes_nothing() {
    let setup = Setup::new(emulator().0)
        .with_section("admin", "token_file = \"operators.token\"\nviewer_token_file = \"viewers.token\"");
    let viewers_token = "viewers-canary-0123456789abcdef01";
    let broker = setup.start_with(|dir| {
        write_secret(&dir.join("operators.token"), TOKEN);
        write_secret(&dir.join("viewers.token"), viewers_token);
    });
    let mut browser = Browser::new(&broker);
    assert_eq!(browser.log_in(viewers_token).await.status, 303);
    for path in ["/", "/keys", "/api/status", "/metrics"] {
        assert_eq!(browser.get(path).await.status, 200, "{path}");
    }
    let revoked = browser.send("/revoke", &[("subject", "alice")], &browser.origin()).await;
    assert_eq!(revoked.status, 403);
    assert!(revoked.body.contains("the viewer's token of [admin] changes nothing"), "{}", revoked.body);
    let reload = |token: &'static str| {
        broker.http.post(format!("http://{}/api/reload", broker.operators)).bearer_auth(token)
    };
    assert_eq!(Answer::of(reload(viewers_token)).await.status, 403);
    assert_eq!(Answer::of(reload(TOKEN)).await.status, 200);
    let asked = [("claims", "{\"sub\":\"alice\"}")];
    let granted = browser.send("/templates/upload", &asked, &browser.origin()).await;
    assert_eq!(granted.status, 200, "a viewer may ask what a template grants");
    let out = browser.send("/logout", &[], &browser.origin()).await;
    assert_eq!(out.status, 303, "a viewer may log out");
}

#[tokio::test]
async fn whoever_guesses_tokens_has_to_wait_and_others_do_not() {
    let broker = with_token();
    let mut browser = Browser::new(&broker);
    assert_eq!(browser.log_in(TOKEN).await.status, 303);
    let url = format!("http://{}/api/keys", broker.operators);
    let from = |address: [u8; 4]| {
        let local = std::net::IpAddr::from(address);
        reqwest::Client::builder().no_proxy().local_address(local).build().unwrap()
    };
    let (guesser, other) = (from([127, 0, 0, 2]), from([127, 0, 0, 3]));
    for guess in 0..6 {
        let answer = Answer::of(guesser.get(&url).bearer_auth(format!("guess {guess}"))).await;
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    let held_up = Answer::of(guesser.get(&url).bearer_auth(TOKEN)).await;
    assert_eq!(held_up.status, 429, "also with the right token: {held_up:?}");
    assert!((1..=11).contains(&held_up.header("retry-after").parse().unwrap()), "{held_up:?}");
    assert_eq!(Answer::of(other.get(&url).bearer_auth(TOKEN)).await.status, 200);
    assert_eq!(browser.get("/keys").await.status, 200, "a session is not held up");
    let metrics =
        Answer::of(other.get(format!("http://{}/metrics", broker.operators)).bearer_auth(TOKEN)).await;
    assert!(metrics.body.contains("cosbroker_admin_auth_failures_total 7\n"), "{}", metrics.body);
}
