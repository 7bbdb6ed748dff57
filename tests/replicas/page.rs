//! Each replica shows all of them, on its page and in its status.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    fleet::{fleet, request_all, setup, shown, start, wait_until},
    redis_server::RedisServer,
    support::{Answer, Answers, Broker, CannedSts, DEADLINE, token, write_secret},
};

/// The section of the page that shows the replicas.
async fn section(broker: &Broker, language: &str) -> String {
    let request = broker.http.get(format!("http://{}/", broker.operators));
    let page = Answer::of(request.header("accept-language", language)).await.body;
    let (_, rest) = page.split_once("<section id=\"replicas\">").unwrap();
    rest.split_once("</section>").unwrap().0.to_owned()
}

/// The replica of a broker among those that a status shows.
fn member<'a>(shown: &'a Value, broker: &Broker) -> Option<&'a Value> {
    let port = format!(":{}", broker.public.port());
    shown["fleet"].as_array()?.iter().find(|member| member["name"].as_str().unwrap().ends_with(&port))
}

async fn wait_until_all_are_shown(brokers: &[Broker]) {
    for broker in brokers {
        wait_until(broker, |shown| brokers.iter().all(|other| member(shown, other).is_some())).await;
    }
}

#[tokio::test]
async fn the_page_of_any_replica_shows_all_and_says_who_is_heard_of_no_more() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let mut brokers = fleet(sts.address, &redis, 2);
    assert_eq!(brokers[0].get("/v1/credentials", &token("alice")).await.status, 200);
    wait_until_all_are_shown(&brokers).await;
    for broker in &brokers {
        wait_until(broker, |shown| member(shown, &brokers[0]).unwrap()["active_keys"] == 1).await;
        let shown = shown(broker).await;
        for other in &brokers {
            let member = member(&shown, other).unwrap();
            assert_eq!(member["this"], other.public == broker.public, "{member}");
            assert!(member["present"] == true && member["ready"] == true, "{member}");
            assert!(member["breaker"] == "closed" && member["templates_outdated"] == false, "{member}");
            assert!(member["alarm"].is_null(), "{member}");
            assert_eq!((&member["sts_calls_allowed"], &member["quota_shared"]), (&600.into(), &true.into()));
        }
        let page = section(broker, "en").await;
        for other in &brokers {
            assert!(page.contains(&format!(":{}</b>", other.public.port())), "{page}");
        }
        assert_eq!(page.matches("this one").count(), 1, "{page}");
        assert!(page.contains(">ready<") && !page.contains("not heard of"), "{page}");
        assert!(section(broker, "zh-CN").await.contains("本副本"));
    }

    brokers[1].signal(Signal::KILL);
    let killed = brokers.pop().unwrap();
    let [left] = brokers.as_slice() else { unreachable!() };
    wait_until(left, |shown| member(shown, &killed).is_some_and(|member| member["present"] == false)).await;
    let page = section(left, "en").await;
    assert!(page.contains("not heard of"), "{page}");
    assert_eq!(left.figure(&["cosbroker_replicas"]).await, 1);
    wait_until(left, |shown| member(shown, &killed).is_none()).await;
    // What it told is removed from Redis as well.
    let entries = redis.keys("*:replicas:*")[0].clone();
    wait_until(left, |_| redis.cli(&["hlen", &entries]) == "1").await;
}

#[tokio::test]
async fn a_replica_that_stops_leaves_the_page_of_the_others() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let mut brokers = fleet(sts.address, &redis, 2);
    wait_until_all_are_shown(&brokers).await;
    brokers[1].signal(Signal::TERM);
    let took = wait_until(&brokers[0], |shown| member(shown, &brokers[1]).is_none()).await;
    assert!(took < Duration::from_secs(25), "{took:?}, as if it had been killed");
    assert_eq!(brokers[1].ended(), Some(0));
    assert!(!section(&brokers[0], "en").await.contains("not heard of"));
}

#[tokio::test]
async fn a_replica_with_older_templates_or_an_alarm_is_marked_on_every_page() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let brokers = fleet(sts.address, &redis, 2);
    wait_until_all_are_shown(&brokers).await;
    let text = std::fs::read_to_string(brokers[0].dir().join("policies/upload.toml")).unwrap();
    brokers[0].put_template("upload.toml", &text.replace("duration = \"30m\"", "duration = \"20m\""));
    assert_eq!(brokers[0].reload().await.0, 200);
    for broker in &brokers {
        wait_until(broker, |shown| {
            let outdated = |of| member(shown, of).unwrap()["templates_outdated"] == true;
            !outdated(&brokers[0]) && outdated(&brokers[1])
        })
        .await;
        assert_eq!(section(broker, "en").await.matches(">older<").count(), 1);
    }
    // The others learn of an alarm once its replica has looked at its alarms, as for its own page.
    wait_until(&brokers[0], |shown| member(shown, &brokers[1]).unwrap()["alarm"] == "warning").await;
    assert_eq!(section(&brokers[0], "en").await.matches(">warning<").count(), 1);
}

#[tokio::test]
async fn a_replica_that_cannot_call_sts_is_not_ready_on_the_page_of_the_others() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let replica = || setup(sts.address, &format!("{:?}", redis.url()), 2).with("\"1m\"", "\"2s\"");
    let brokers = [start(replica()), start(replica())];
    wait_until_all_are_shown(&brokers).await;
    sts.answers(Answers::Reset);
    request_all(&brokers[1..], (0..30).map(|user| format!("user{user}"))).await;
    let started = Instant::now();
    loop {
        // A circuit that has been open for a while lets a call through: this one fails as well, and opens it again.
        request_all(&brokers[1..], ["another".to_owned()].into_iter()).await;
        // A look at its alarms, of which it then tells.
        shown(&brokers[1]).await;
        let page = section(&brokers[0], "en").await;
        if [">not ready<", ">critical<", "the circuit to STS is open"].iter().all(|part| page.contains(part))
        {
            break;
        }
        assert!(started.elapsed() < DEADLINE, "{page}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(member(&shown(&brokers[0]).await, &brokers[0]).unwrap()["ready"], true);
}

#[tokio::test]
async fn a_forged_or_altered_entry_is_not_shown_and_is_counted() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let brokers = fleet(sts.address, &redis, 2);
    wait_until_all_are_shown(&brokers).await;
    let entries = redis.keys("*:replicas:*")[0].clone();
    let ids = redis.cli(&["hkeys", &entries]);
    let id = ids.lines().next().unwrap();
    let forged = ["cosbroker_redis_values_refused_total", "forged"];
    assert_eq!(brokers[0].figure(&forged).await, 0);
    // One made up, and one of another replica under a name of its own.
    let made_up = r#"{"beat":1,"id":"mallory","name":"mallory:1","version":"9","templates":"x"}"#;
    redis.cli(&["hset", &entries, "mallory", made_up]);
    redis.cli(&[
        "eval",
        "redis.call('HSET', KEYS[1], 'copied', redis.call('HGET', KEYS[1], ARGV[1]))",
        "1",
        &entries,
        id,
    ]);
    let mut counted = 0;
    wait_until(&brokers[0], |_| redis.cli(&["hlen", &entries]) == "2").await;
    for broker in &brokers {
        let shown = shown(broker).await;
        assert_eq!(shown["fleet"].as_array().unwrap().len(), 2, "{shown}");
        assert!(!section(broker, "en").await.contains("mallory"));
        counted += broker.figure(&forged).await;
    }
    assert!(counted >= 2, "{counted}");
}

#[tokio::test]
async fn without_redis_the_page_says_that_the_fleet_is_unknown_and_since_when() {
    let mut redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let brokers = fleet(sts.address, &redis, 2);
    wait_until_all_are_shown(&brokers).await;
    assert!(shown(&brokers[0]).await["fleet_unknown_since"].is_null());
    redis.kill();
    wait_until(&brokers[0], |shown| shown["fleet_unknown_since"].is_string()).await;
    let first = shown(&brokers[0]).await;
    assert_eq!(first["fleet"], Value::Array(Vec::new()));
    let page = section(&brokers[0], "en").await;
    assert!(page.contains("The other replicas are unknown since") && page.contains("<time"), "{page}");
    assert!(section(&brokers[0], "zh").await.contains("不知道其他副本的情况"));
    // Meanwhile, it tries again and again to tell of itself.
    let mut seconds = BTreeSet::new();
    while seconds.len() < 3 {
        let now = brokers[0].operators_get("/api/status").await.json()["now"].as_str().unwrap().to_owned();
        seconds.insert(now.get(..19).unwrap().to_owned());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let later = shown(&brokers[0]).await;
    assert_eq!(later["fleet_unknown_since"], first["fleet_unknown_since"], "since the loss");
    redis.start_again();
    wait_until_all_are_shown(&brokers).await;
    assert!(shown(&brokers[0]).await["fleet_unknown_since"].is_null());
}

#[tokio::test]
async fn replicas_see_each_other_while_the_encryption_key_is_replaced() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let url = format!("{:?}", redis.url());
    let keys = |present: &str, previous: &str| {
        let both =
            format!("encryption_key_file = \"{present}\"\nprevious_encryption_key_file = \"{previous}\"");
        setup(sts.address, &url, 2).with("encryption_key_file = \"redis.key\"", &both)
    };
    let brokers = [keys("redis.key", "new.key"), keys("new.key", "redis.key")].map(|setup| {
        let broker = setup.start_with(|dir| {
            write_secret(&dir.join("redis.key"), &"ab".repeat(32));
            write_secret(&dir.join("new.key"), &"cd".repeat(32));
        });
        broker.says("Redis is used");
        broker
    });
    wait_until_all_are_shown(&brokers).await;
    // Who has neither knows nothing of them, and takes them for no forgery.
    let other =
        setup(sts.address, &url, 2).start_with(|dir| write_secret(&dir.join("redis.key"), &"ef".repeat(32)));
    wait_until(&other, |shown| shown["fleet"].as_array().is_some_and(|fleet| fleet.len() == 1)).await;
    assert_eq!(shown(&other).await["values_refused"], 0);
}

#[tokio::test]
async fn every_member_of_the_status_is_described() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let brokers = fleet(sts.address, &redis, 1);
    wait_until_all_are_shown(&brokers).await;
    let document = brokers[0].operators_get("/openapi.json").await.json();
    let shown = shown(&brokers[0]).await;
    for (schema, value) in [("ReplicasBody", &shown), ("ReplicaBody", &shown["fleet"][0])] {
        let described = document["components"]["schemas"][schema]["properties"].as_object().unwrap();
        let mut described: Vec<&String> = described.keys().collect();
        let mut answered: Vec<&String> = value.as_object().unwrap().keys().collect();
        described.sort();
        answered.sort();
        assert_eq!(described, answered, "{schema}");
    }
}
