//! `cosbroker check --online` says whether replicas can use the Redis of the configuration.

use crate::{
    fleet::setup,
    redis_server::RedisServer,
    support::{RefusingPort, Setup, cosbroker, emulator, write_secret},
};

/// What `check --online` finds: its exit code, and all that it says.
fn checked(setup: &Setup) -> (Option<i32>, String) {
    let dir = setup.write();
    write_secret(&dir.path().join("redis.key"), &"ab".repeat(32));
    write_secret(&dir.path().join("redis.password"), "password-canary\n");
    let output =
        cosbroker(dir.path()).args(["check", "--online", "--config", "config.toml"]).output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert!(!said.contains("password-canary"), "{said}");
    (output.status.code(), said)
}

fn with_redis(url: &str) -> Setup {
    setup(emulator().0, url, 2)
}

fn with_login(redis: &RedisServer) -> Setup {
    let login = "username = \"broker\"\npassword_file = \"redis.password\"";
    with_redis(&format!("\"{}/2\"\n{login}", redis.url()))
}

#[tokio::test]
async fn a_redis_that_replicas_can_use_passes_and_keeps_nothing() {
    let redis = RedisServer::start();
    let (code, said) = checked(&with_redis(&format!("{:?}", redis.url())));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("online: Redis takes, gives back and deletes an encrypted value"), "{said}");
    assert!(redis.keys("*:check:*").is_empty());
    // Without `--online`, Redis is not asked.
    let setup = with_redis("\"redis://127.0.0.1:1\"");
    let dir = setup.write();
    write_secret(&dir.path().join("redis.key"), &"ab".repeat(32));
    let offline = cosbroker(dir.path()).args(["check", "--config", "config.toml"]).output().unwrap();
    assert_eq!(offline.status.code(), Some(0));
}

#[tokio::test]
async fn what_is_wrong_is_said_with_its_key_and_what_to_do() {
    let refusing = RefusingPort::bind();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (certificate.cert.pem(), certificate.signing_key.serialize_pem());
    let with_tls = RedisServer::start_with_tls(&cert, &key);
    let locked = RedisServer::start();
    locked.cli(&["acl", "setuser", "default", ">other"]);
    let full = RedisServer::start();
    full.cli(&["config", "set", "maxmemory", "1"]);
    let one_database = RedisServer::start_with(&["--databases", "1"]);
    let tls_port = with_tls.tls_port().unwrap();
    for (setup, key, problem, help) in [
        (
            with_redis(&format!("\"redis://{}\"", refusing.address())),
            "redis.url: ",
            "refused",
            "start Redis there, or correct host and port",
        ),
        (with_redis(&format!("{:?}", locked.url())), "redis.password_file: ", "NOAUTH", "wants a password"),
        (with_login(&locked), "redis.password_file: ", "WRONGPASS", "write the password of redis.username"),
        (
            with_redis(&format!("\"rediss://localhost:{tls_port}\"")),
            "network.ca_file: ",
            "certificate",
            "from an authority of this machine or of network.ca_file",
        ),
        (
            with_redis(&format!("\"redis://localhost:{tls_port}\"")),
            "redis.url: ",
            "cannot be used",
            "write rediss:// if the server has TLS",
        ),
        (with_redis(&format!("{:?}", full.url())), "redis.url: ", "OOM", "raise `maxmemory`"),
        (
            with_redis(&format!("\"{}/3\"", one_database.url())),
            "redis.url: ",
            "out of range",
            "have the database whose number ends the address",
        ),
    ] {
        let (code, said) = checked(&setup);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(key) && said.contains(problem) && said.contains(help), "{said}");
    }
}

#[tokio::test]
async fn each_right_that_the_user_lacks_is_named() {
    let redis = RedisServer::start();
    let rights = crate::access::documented_rights();
    let user = ["acl", "setuser", "broker", "reset", "on", ">password-canary"];
    let all: Vec<&str> = user.into_iter().chain(rights.iter().map(String::as_str)).collect();
    assert_eq!(redis.cli(&all), "OK");
    assert_eq!(checked(&with_login(&redis)).0, Some(0), "the documented rights are enough");
    for right in rights.iter().filter(|right| right.starts_with('+')) {
        // Redis 7 allows these to whoever knows the password.
        if ["+auth", "+hello"].contains(&right.as_str()) {
            continue;
        }
        redis.cli(&all);
        redis.cli(&["acl", "setuser", "broker", &right.replace('+', "-")]);
        let (code, said) = checked(&with_login(&redis));
        assert_eq!(code, Some(1), "{right}: {said}");
        assert!(
            said.contains("redis.username: ") && said.contains("docs/operate/replicas.md"),
            "{right}: {said}"
        );
        assert!(said.to_lowercase().contains(&right[1..]), "{right}: {said}");
    }
    redis.cli(&all);
    redis.cli(&["acl", "setuser", "broker", "resetkeys", "~other:*"]);
    let (code, said) = checked(&with_login(&redis));
    assert!(code == Some(1) && said.contains("redis.username: "), "{said}");
    redis.cli(&all);
    redis.cli(&["acl", "setuser", "broker", "resetchannels"]);
    let (code, said) = checked(&with_login(&redis));
    assert!(code == Some(1) && said.contains("redis.username: "), "{said}");
}
