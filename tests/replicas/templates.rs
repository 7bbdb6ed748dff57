//! Replicas know each other, and whose templates are older.

use crate::{
    fleet::{fleet, wait_until},
    redis_server::RedisServer,
    support::{Answers, CannedSts},
};

#[tokio::test]
async fn a_replica_with_older_templates_says_so_until_it_has_the_later_ones() {
    let redis = RedisServer::start();
    let sts = CannedSts::start(Answers::Key(1800));
    let brokers = fleet(sts.address, &redis, 2);
    for broker in &brokers {
        wait_until(broker, |shown| shown["fleet"].as_array().is_some_and(|fleet| fleet.len() == 2)).await;
        wait_until(broker, |shown| shown["templates_outdated"] == false).await;
    }
    let text = std::fs::read_to_string(brokers[0].dir().join("policies/upload.toml")).unwrap();
    let later = text.replace("duration = \"30m\"", "duration = \"20m\"");
    assert_ne!(later, text);
    brokers[0].put_template("upload.toml", &later);
    assert_eq!(brokers[0].reload().await.0, 200);
    wait_until(&brokers[1], |shown| shown["templates_outdated"] == true).await;
    brokers[1].says("another replica serves a later version of the templates");
    assert_eq!(brokers[1].figure(&["cosbroker_replica_templates_outdated"]).await, 1);
    wait_until(&brokers[0], |shown| shown["templates_outdated"] == false).await;
    brokers[1].put_template("upload.toml", &later);
    assert_eq!(brokers[1].reload().await.0, 200);
    wait_until(&brokers[1], |shown| shown["templates_outdated"] == false).await;
}
