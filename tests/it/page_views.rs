//! What the operators' page shows: an outage, refusals, templates, keys, in both languages.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{Answer, Answers, Broker, CannedSts, Setup, emulator, token, token_of};

async fn page(broker: &Broker, path: &str) -> String {
    page_in(broker, path, "en").await
}

async fn page_in(broker: &Broker, path: &str, language: &str) -> String {
    let request = broker.http.get(format!("http://{}{path}", broker.operators));
    let answer = Answer::of(request.header("accept-language", language)).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.body
}

async fn send(broker: &Broker, path: &str, form: &[(&str, &str)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = broker.http.post(format!("http://{}{path}", broker.operators)).body(body);
    Answer::of(request.header("content-type", "application/x-www-form-urlencoded")).await
}

/// Returns what is between two parts of a text.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("no {begin} in {text}"));
    rest.split_once(end).unwrap_or_else(|| panic!("no {end} after {begin} in {text}")).0
}

/// Returns the rows of the table after a heading, as HTML.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    let body = between(page.split_once(heading).unwrap().1, "<tbody>", "</tbody>");
    body.split("<tr>").skip(1).collect()
}

#[tokio::test]
async fn an_outage_is_the_first_thing_said_with_how_many_users_fail_and_why() {
    let sts = CannedSts::start(Answers::Key(1800));
    let broker = Setup::new(sts.address).start();
    assert_eq!(broker.get("/v1/credentials", &token("carol")).await.status, 200);
    let good = page(&broker, "/").await;
    assert!(
        between(&good, "<main>", "<ul class=\"tiles\"").contains("Every user who may have a key gets one.")
    );

    sts.answers(Answers::Reset);
    for subject in ["alice", "bob", "alice"] {
        assert_eq!(broker.get("/v1/credentials", &token(subject)).await.status, 503);
    }
    let shown = page(&broker, "/").await;
    let first = between(&shown, "<main>", "<ul class=\"alarms\"");
    assert!(first.starts_with("<div class=\"now failing\">"), "{first}");
    for words in [
        "2 users get no key",
        "75 % of all requests",
        "The latest cause: ",
        "STS cannot be reached or understood",
    ] {
        assert!(first.contains(words), "{words} in {first}");
    }
    assert!(!shown.contains("Every user who may have a key gets one."), "it is not calm");
    let refusals = rows(&shown, "id=\"refusals\"");
    assert!(refusals[0].contains(">503<") && refusals[0].contains("alice"), "{}", refusals[0]);
    assert_eq!(broker.operators_get("/api/status").await.json()["failing_users"], 2);

    let chinese = page_in(&broker, "/", "zh-CN,zh;q=0.9,en;q=0.8").await;
    let first = between(&chinese, "<main>", "<ul class=\"tiles\"");
    for words in [
        "2 个用户取不到密钥",
        "无法访问 STS 或读懂其应答",
        "最近一分钟有 75.0 % 的请求未取得密钥",
        "原因见下方状态码为 500 及以上的拒绝",
    ] {
        assert!(first.contains(words), "{words} in {first}");
    }
    for words in ["got no key", "cannot be reached", "see the refusals"] {
        assert!(!chinese.contains(words), "{words} is English");
    }
}

#[tokio::test]
async fn an_outage_of_the_issuers_keys_is_said_in_requests_because_its_users_are_not_known() {
    let (address, _) = emulator();
    let broker = Setup::new(address)
        .with("HS256", "ES256")
        .with("secret_env = \"JWT_SECRET\"", "jwks_url = \"http://STS/nothing.json\"")
        .start();
    let answer = Answer::of(broker.http.get(format!("http://{address}/token?sub=alice"))).await;
    let _ = broker.get("/v1/credentials", &answer.body.replace("issuer.test", "id.test")).await;
    let shown = page(&broker, "/").await;
    let first = between(&shown, "<main>", "<ul class=\"tiles\"");
    assert!(!first.contains("Every user who may have a key gets one."), "{first}");
    assert!(first.contains("cannot be verified"), "{first}");
}

#[tokio::test]
async fn the_browser_chooses_the_language_of_every_page() {
    let broker = Setup::new(emulator().0).start();
    for path in ["/", "/keys", "/advise", "/templates/upload", "/revoke?subject=alice"] {
        let request = |language: &str| {
            let request = broker.http.get(format!("http://{}{path}", broker.operators));
            request.header("accept-language", language.to_owned())
        };
        let chinese = Answer::of(request("zh-CN,zh;q=0.9,en;q=0.8")).await;
        assert!(chinese.body.contains("<html lang=\"zh-CN\">") && chinese.body.contains("总览"), "{path}");
        assert_eq!(chinese.header("vary"), "accept-language");
        let english = Answer::of(request("en-GB,zh;q=0.5")).await;
        assert!(english.body.contains("<html lang=\"en\">") && english.body.contains("Overview"), "{path}");
        assert!(!english.body.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{path}");
    }
}

#[tokio::test]
async fn a_refusal_leads_to_its_user_the_grant_the_cause_and_the_log() {
    let broker = Setup::new(emulator().0)
        .with("audience = [\"app\"]", "audience = [\"app\"]\nsubject_claim = \"account.id\"")
        .start();
    let alices = token_of(&json!({"sub": "someone else", "account": {"id": "alice"}}));
    assert_eq!(broker.get("/v1/credentials", &alices).await.status, 200);
    let revoked = json!({"issuer": "https://id.test/", "subject": "alice"});
    assert_eq!(broker.operators_post("/api/revoke", &revoked).await.status, 200);
    for _ in 0..30 {
        assert_eq!(broker.get("/v1/credentials", &alices).await.status, 403);
    }

    let shown = page(&broker, "/").await;
    let row = rows(&shown, "id=\"refusals\"")[0].to_owned();
    assert!(row.contains("<div>30</div>"), "all are counted, also those that are not kept: {row}");
    let user = between(&row, "<a href=\"/keys", "\"").replace("&amp;", "&");
    let keys = page(&broker, &format!("/keys{user}")).await;
    assert!(keys.contains("1</b> active key, expires"), "{keys}");

    let action = between(&row, "action=\"", "\"").split('#').next().unwrap().to_owned();
    let claims = between(&row, "name=\"claims\" value=\"", "\"").replace("&quot;", "\"");
    assert_eq!(claims, r#"{"account":{"id":"alice"},"iss":"https://id.test/"}"#);
    let asked = [("claims", claims.as_str()), ("action", "PutObject"), ("key", "users/bob/x")];
    let granted = send(&broker, &action, &asked).await.body;
    assert!(
        granted.contains("examplebucket-1250000000/users/alice/*"),
        "the subject_claim counts: {granted}"
    );
    assert!(granted.contains("no statement grants it on `users/bob/x`"), "{granted}");

    let id = between(&row, "/api/refusals/", "\"").to_owned();
    let refusal = broker.operators_get(&format!("/api/refusals/{id}")).await.json();
    assert_eq!((&refusal["cause"], &refusal["count"]), (&json!("this user is revoked"), &json!(30)));
    broker.says(&id);
}

/// The shipped template `upload` with a long lifetime, which lint warns of, and a shadow that also lets users read.
fn with_shadow() -> Setup {
    let mut setup = Setup::new(emulator().0);
    let upload = setup.templates[0].1.clone();
    setup.templates[0].1 = upload.replace("\"30m\"", "\"3h\"");
    setup.templates.push((
        "upload.next.toml".to_owned(),
        upload.replace("[\"@upload\"]", "[\"@upload\", \"@download\"]"),
    ));
    setup
}

#[tokio::test]
async fn a_template_is_shown_with_its_findings_its_grant_and_what_its_shadow_changes() {
    let broker = with_shadow().start();
    let shown = page(&broker, "/templates/upload").await;
    let line = shown.split("<li>").find(|line| line.contains("duration = &quot;3h&quot;")).unwrap();
    assert!(line.contains("class=\"badge warning\""), "the finding is at its line: {line}");
    assert!(shown.contains("upload.next.toml") && shown.contains("<form class=\"search\" method=\"post\""));

    let claims = ("claims", r#"{"sub": "alice", "secret": "canary-of-a-claim"}"#);
    let ask = |key: &'static str, size: &'static str| {
        let form = [claims, ("action", "PutObject"), ("key", key), ("size", size)];
        let broker = &broker;
        async move { send(broker, "/templates/upload", &form).await.body }
    };
    let granted = ask("users/alice/cat.jpg", "10").await;
    assert!(granted.contains("a statement allows it"), "{granted}");
    let policy = between(&granted, "The policy</h3><pre>", "</pre>");
    assert!(policy.contains("examplebucket-1250000000/users/alice/*"), "{policy}");
    let change = between(&granted, "What the shadow template would change in it</h3><pre>", "</pre>");
    assert!(
        change.contains("<ins>+ ") && change.contains("GetObject") && !change.contains("<del>"),
        "{change}"
    );
    assert!(ask("users/alice/cat.jpg", "99999999").await.contains("against its"), "a condition is explained");
    assert!(ask("users/bob/cat.jpg", "10").await.contains(">denied<"));
    let junk = send(&broker, "/templates/upload", &[("claims", "[]")]).await.body;
    assert!(junk.contains("no key") && junk.contains("not a JSON object"), "{junk}");
    let stranger =
        send(&broker, "/templates/upload", &[("claims", r#"{"iss":"x","sub":"alice"}"#)]).await.body;
    assert!(stranger.contains("the issuer `x`, which is not configured"), "{stranger}");

    let in_address = page(&broker, "/templates/upload?claims=%7B%22sub%22%3A%22alice%22%7D").await;
    assert!(!in_address.contains("The policy"), "claims do not belong into an address");
    assert!(!broker.log().contains("canary-of-a-claim"), "claims are not logged");
    assert_eq!(send(&broker, "/templates/nothing", &[claims]).await.status, 404);
    let foreign =
        broker.http.post(format!("http://{}/templates/upload", broker.operators)).body("claims=%7B%7D");
    let foreign = foreign.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(Answer::of(foreign.header("origin", "http://evil.test")).await.status, 403);
}

/// Follows the links to the next page, and returns the users of all pages, in their order, and the number of pages.
async fn all_users(broker: &Broker, first: &str) -> (Vec<String>, usize) {
    let (mut users, mut pages, mut path) = (Vec::new(), 0, first.to_owned());
    loop {
        let shown = page(broker, &path).await;
        pages += 1;
        let names =
            shown.split("&amp;subject=").filter_map(|rest| rest.split_once("\">")?.1.split('<').next());
        users.extend(names.filter(|name| name.starts_with("user")).map(str::to_owned));
        match shown.split_once("rel=\"next\" href=\"") {
            Some((_, rest)) => path = rest.split('"').next().unwrap().replace("&amp;", "&"),
            None => return (users, pages),
        }
    }
}

#[tokio::test]
async fn the_pages_of_keys_hold_every_key_in_either_order() {
    let broker = Setup::new(emulator().0).start();
    let all: BTreeSet<String> = (10..70).map(|n| format!("user{n}")).collect();
    for user in &all {
        assert_eq!(broker.get("/v1/credentials", &token(user)).await.status, 200);
    }
    let (last_first, pages) = all_users(&broker, "/keys").await;
    assert_eq!((last_first.len(), pages), (60, 3));
    assert_eq!(last_first.iter().cloned().collect::<BTreeSet<_>>(), all);
    let (mut first_first, _) = all_users(&broker, "/keys?sort=first").await;
    first_first.reverse();
    assert_eq!(first_first, last_first);
    let (folder, pages) = all_users(&broker, "/keys?prefix=users%2Fuser1").await;
    assert_eq!((folder.len(), pages), (10, 1), "user10 to user19");
    let shown = page(&broker, "/keys?after=nonsense").await;
    assert!(shown.contains("60</b> active keys, the last expires"), "{shown}");
}

#[tokio::test]
async fn a_table_of_templates_is_sorted_by_use_and_has_pages() {
    let mut setup = Setup::new(emulator().0);
    let upload = setup.templates[0].1.clone();
    setup.templates.extend((10..40).map(|n| (format!("t{n}.toml"), upload.clone())));
    let broker = setup.start();
    for _ in 0..3 {
        assert_eq!(broker.get("/v1/credentials/t39", &token("alice")).await.status, 200);
    }
    let names = |shown: &str| -> Vec<String> {
        let names = rows(shown, "id=\"templates\"").into_iter();
        names.map(|row| between(row, "/templates/", "\"").to_owned()).collect()
    };
    assert_eq!(names(&page(&broker, "/").await)[0], "t39", "those in use are first");
    let first = names(&page(&broker, "/?sort=name").await);
    assert_eq!((first.len(), first[0].as_str()), (20, "files"), "by name, twenty on a page: {first:?}");
    let second = names(&page(&broker, "/?sort=name&page=2").await);
    assert_eq!((second.len(), second.last().unwrap().as_str()), (12, "upload"));
    assert_eq!(names(&page(&broker, "/?sort=name&page=99").await), second, "the last page");
    assert_eq!(names(&page(&broker, "/?sort=requests").await)[0], "t39");
    assert_eq!(names(&page(&broker, "/?sort=hits").await)[0], "t39");
}

#[tokio::test]
async fn metrics_come_in_the_format_that_the_client_accepts() {
    let broker = Setup::new(emulator().0).start();
    let scrape = |accept: &str| {
        let request = broker.http.get(format!("http://{}/metrics", broker.operators));
        Answer::of(request.header("accept", accept.to_owned()))
    };
    let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    for accept in [prometheus, "application/openmetrics-text", "*/*"] {
        let answer = scrape(accept).await;
        assert_eq!(
            answer.header("content-type"),
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        assert!(
            answer.body.ends_with("# EOF\n") && answer.body.contains("# TYPE cosbroker_cache_hits counter\n")
        );
        assert_eq!(answer.header("vary"), "accept");
    }
    let older = scrape("text/plain;version=0.0.4").await;
    assert_eq!(older.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(older.body.contains("# TYPE cosbroker_cache_hits_total counter\ncosbroker_cache_hits_total"));
    assert!(!older.body.contains("# EOF") && !older.body.contains("# UNIT"), "{}", older.body);
}
