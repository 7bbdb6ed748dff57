//! Tries the configured Redis for `cosbroker check --online`: with the connection, the encryption and each command that
//! replicas use. Changes nothing that they share.

use std::{io, sync::Arc, time::Duration};

use redis::{Cmd, ErrorKind, RedisError, Value, aio::MultiplexedConnection, cmd};
use tokio::time;
use zeroize::Zeroizing;

use super::{
    CannotShare,
    connect::{ConnectError, Connector},
    flight::Sealers,
    names::Names,
    scripts,
    seal::Purpose,
};
use crate::{
    config::{self, Redis},
    network,
};
use runtime::entropy::Entropy;

/// How long what the check writes may stay, if it cannot be deleted.
const LEFTOVER_TTL_MS: u64 = 1000;
/// What the check encrypts, writes and reads.
const TEXT: &[u8] = b"cosbroker check";

const ALLOW_COMMANDS: &str = "give the user of redis.username all rights that docs/operate/replicas.md lists, on its keys and channels";

/// Why replicas could not use the configured Redis.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// TLS or encryption cannot be set up.
    #[error(transparent)]
    CannotShare(#[from] CannotShare),
    /// Redis cannot be reached, or refuses something.
    #[error("{key}: {problem}; {help}")]
    Redis {
        /// The key of the configuration to look at.
        key: &'static str,
        /// What is wrong.
        problem: String,
        /// What to do.
        help: &'static str,
    },
}

/// Connects as replicas do, writes, reads and deletes an encrypted value, and tries each command that they use.
///
/// # Errors
/// The first that fails: what is wrong, which key of the configuration says so, and how to fix it.
pub async fn check(config: Redis, network: &config::Network, entropy: &dyn Entropy) -> Result<(), Unusable> {
    let sealers = Sealers::new(&config)?;
    let names = Names::new(&config.key_prefix);
    let timeout = config.timeout;
    let tls = network::tls(network).map_err(CannotShare::from)?;
    let connector = Connector::new(config, tls, &names);
    let connected = connector.connect(Arc::new(|_| ()), timeout).await;
    let (mut connection, driver) = connected.map_err(|error| unreachable(&error))?;

    let keys = &sealers.present;
    let name = keys.name(Purpose::Replica, &[TEXT]);
    let text = Zeroizing::new(TEXT.to_vec());
    let sealed = keys.seal(Purpose::Replica, name, text, entropy).map_err(|_| CannotShare::Key)?;
    let mut command = cmd("EVAL");
    command.arg(scripts::TRY).arg(4);
    for part in ["text", "hash", "set", "number"] {
        command.arg(names.check(part));
    }
    command.arg(&sealed).arg(LEFTOVER_TTL_MS).arg(names.done_channel());
    let tried = call(&mut connection, &command, timeout).await?;
    let mut read_hash = cmd("HGETALL");
    read_hash.arg(names.check("hash"));
    call(&mut connection, &read_hash, timeout).await?;
    driver.abort();

    let (refused, read) = parse(tried).ok_or_else(|| not_read_back("another answer"))?;
    if let Some(first) = refused.first() {
        return Err(commands_refused(&refused, first));
    }
    let opened = keys.open(Purpose::Replica, name, &read);
    let is_same = opened.is_some_and(|opened| opened.as_slice() == TEXT);
    if is_same { Ok(()) } else { Err(not_read_back("something else")) }
}

async fn call(
    connection: &mut MultiplexedConnection,
    command: &Cmd,
    timeout: Duration,
) -> Result<Value, Unusable> {
    match time::timeout(timeout, command.query_async::<Value>(connection)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let (key, help) = advice_on_answer(&error);
            Err(Unusable::Redis { key, problem: format!("Redis answers {error}"), help })
        }
        Err(_) => Err(unreachable(&ConnectError::Slow)),
    }
}

/// Reads what [`scripts::TRY`] returns: the commands that were refused, each with its error, and the text.
fn parse(answer: Value) -> Option<(Vec<String>, Vec<u8>)> {
    let Value::Array(parts) = answer else { return None };
    let [Value::Array(refused), read] = <[Value; 2]>::try_from(parts).ok()? else { return None };
    let refused = refused.into_iter().map(|one| match one {
        Value::BulkString(text) => String::from_utf8(text).ok(),
        _ => None,
    });
    let read = if let Value::BulkString(read) = read { read } else { Vec::new() };
    Some((refused.collect::<Option<_>>()?, read))
}

fn not_read_back(found: &str) -> Unusable {
    Unusable::Redis {
        key: "redis.url",
        problem: format!("a value was written, and {found} was read"),
        help: "check that this is Redis or Valkey 6 or later, and not a proxy that changes values",
    }
}

/// Tells of commands that scripts may not run.
fn commands_refused(refused: &[String], first: &str) -> Unusable {
    let commands: Vec<&str> = refused.iter().filter_map(|one| one.split(": ").next()).collect();
    let error = first.split_once(": ").map_or(first, |(_, error)| error);
    let problem = format!("Redis refuses {}: {error}", commands.join(", "));
    if first.contains("OOM") {
        let help = "its memory is full: raise `maxmemory`, or set `maxmemory-policy` to volatile-ttl";
        return Unusable::Redis { key: "redis.url", problem, help };
    }
    Unusable::Redis { key: "redis.username", problem, help: ALLOW_COMMANDS }
}

fn unreachable(error: &ConnectError) -> Unusable {
    let (key, help) = advice(error);
    Unusable::Redis { key, problem: format!("Redis cannot be used: {error}"), help }
}

/// Returns the key of the configuration that an error concerns, and what to do.
fn advice(error: &ConnectError) -> (&'static str, &'static str) {
    match error {
        ConnectError::At { error, .. } => advice(error),
        ConnectError::Io(error) if is_of_tls(error) => (
            "network.ca_file",
            "the server's certificate must be for the host in redis.url, from an authority of this machine or of network.ca_file; write redis:// if the server has no TLS",
        ),
        ConnectError::Io(_) => {
            ("redis.url", "start Redis there, or correct host and port; check its `bind` and firewalls")
        }
        ConnectError::Slow => (
            "redis.url",
            "check host, port and firewalls; if Redis is far away, raise redis.timeout, or use a nearer one",
        ),
        ConnectError::Name(_) => ("redis.url", "write a host name or an IP address"),
        ConnectError::UnknownMaster(_) => {
            ("redis.sentinel_master", "write a name that `redis-cli -p 26379 sentinel masters` shows")
        }
        ConnectError::Redirections => ("redis.url", "name other nodes of the cluster, or repair it"),
        ConnectError::Redis(error) => advice_on_answer(error),
    }
}

fn is_of_tls(error: &io::Error) -> bool {
    let cause = error.get_ref().map(|cause| cause as &dyn std::error::Error);
    cause.is_some_and(<dyn std::error::Error>::is::<rustls::Error>)
}

fn advice_on_answer(error: &RedisError) -> (&'static str, &'static str) {
    match error.code() {
        Some("NOAUTH") => (
            "redis.password_file",
            "the server wants a password: set password_file or password_env, and for sentinels sentinel_password_file or sentinel_password_env",
        ),
        Some("WRONGPASS") => (
            "redis.password_file",
            "write the password of redis.username, or of the server's default user if that is not set",
        ),
        Some(code) if code == "NOPERM" || error.to_string().contains("no permissions") => {
            ("redis.username", ALLOW_COMMANDS)
        }
        Some("READONLY") => (
            "redis.url",
            "this server is a replica: name the master, or the sentinels with redis.sentinel_master",
        ),
        Some("CLUSTERDOWN" | "MASTERDOWN" | "LOADING") => {
            ("redis.url", "wait until Redis is up, or repair it")
        }
        Some(_) => (
            "redis.url",
            "it must be Redis or Valkey 6 or later, and have the database whose number ends the address; a cluster has only 0",
        ),
        None if error.kind() == ErrorKind::Parse || error.is_io_error() => {
            ("redis.url", "write rediss:// if the server has TLS, and a port where Redis listens")
        }
        None => ("redis.url", "check that Redis listens there"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: ConnectError) -> String {
        let error = ConnectError::At { server: "keys.internal:6379".to_owned(), error: Box::new(error) };
        unreachable(&error).to_string()
    }

    #[test]
    fn each_failure_names_the_server_the_key_and_what_to_do() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let tls = || io::Error::new(io::ErrorKind::InvalidData, rustls::Error::DecryptError);
        for (error, key, help) in [
            (ConnectError::Io(refused()), "redis.url", "start Redis there"),
            (ConnectError::Io(tls()), "network.ca_file", "certificate must be for the host"),
            (ConnectError::Slow, "redis.url", "raise redis.timeout"),
            (ConnectError::UnknownMaster("keys".to_owned()), "redis.sentinel_master", "sentinel masters"),
        ] {
            let told = told(error);
            assert!(
                told.starts_with(&format!("{key}: Redis cannot be used: keys.internal:6379: ")),
                "{told}"
            );
            assert!(told.contains(help), "{told}");
        }
    }

    #[test]
    fn all_refused_commands_are_named_with_the_first_error() {
        let refused = ["ZADD: ERR no".to_owned(), "INCR: ERR not that".to_owned()];
        let told = commands_refused(&refused, &refused[0]).to_string();
        assert!(
            told.starts_with("redis.username: Redis refuses ZADD, INCR: ERR no; give the user"),
            "{told}"
        );
        let full = ["SET: OOM command not allowed".to_owned()];
        assert!(commands_refused(&full, &full[0]).to_string().contains("raise `maxmemory`"));
    }

    #[test]
    fn an_answer_that_is_none_is_not_taken_for_one() {
        for answer in [Value::Nil, Value::Array(vec![]), Value::Array(vec![Value::Nil, Value::Nil])] {
            assert!(parse(answer).is_none());
        }
        let nothing_read = Value::Array(vec![Value::Array(vec![]), Value::Nil]);
        assert_eq!(parse(nothing_read), Some((Vec::new(), Vec::new())));
    }
}
