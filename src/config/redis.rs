//! `[redis]`: the Redis or Valkey through which replicas share keys, the quota and revocations.

use std::{fmt, num::NonZeroU32, ops::RangeInclusive, path::PathBuf, time::Duration};

use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::context::{Context, url_without_credentials};
use diagnostics::{Diagnostic, HumanDuration};

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRedis {
    url: Spanned<RawServers>,
    sentinel_master: Option<Spanned<String>>,
    username: Option<String>,
    password_env: Option<Spanned<String>>,
    password_file: Option<Spanned<PathBuf>>,
    sentinel_password_env: Option<Spanned<String>>,
    sentinel_password_file: Option<Spanned<PathBuf>>,
    #[serde(default = "default_key_prefix")]
    key_prefix: Spanned<String>,
    #[serde(default = "default_timeout")]
    timeout: Spanned<HumanDuration>,
    encryption_key_env: Option<Spanned<String>>,
    encryption_key_file: Option<Spanned<PathBuf>>,
    previous_encryption_key_env: Option<Spanned<String>>,
    previous_encryption_key_file: Option<Spanned<PathBuf>>,
    replicas: Spanned<NonZeroU32>,
}

/// One server, or several in the order in which they are tried.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a URL or a list of URLs")]
enum RawServers {
    One(String),
    Several(Vec<String>),
}

fn default_key_prefix() -> Spanned<String> {
    Spanned::new(0..0, "cosbroker".to_owned())
}

fn default_timeout() -> Spanned<HumanDuration> {
    Spanned::new(0..0, HumanDuration(Duration::from_millis(50)))
}

/// The Redis that replicas share.
#[derive(Debug, Clone)]
pub struct Redis {
    /// The servers or sentinels, in the order in which they are tried; never empty.
    pub servers: Vec<RedisServer>,
    /// The name of the master, if the servers are sentinels.
    pub sentinel_master: Option<String>,
    /// The user of the server's access control list; its default user if absent.
    pub username: Option<String>,
    /// The password of the server.
    pub password: Option<SecretString>,
    /// The password of the sentinels.
    pub sentinel_password: Option<SecretString>,
    /// The beginning of every key and channel, without the braces around it.
    pub key_prefix: String,
    /// How long one call may take.
    pub timeout: Duration,
    /// The key that values are encrypted with.
    pub encryption_key: EncryptionKey,
    /// A key with which values may be encrypted as well, while keys are rotated.
    pub previous_encryption_key: Option<EncryptionKey>,
    /// How many replicas there are at most.
    pub replicas: NonZeroU32,
}

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisServer {
    /// A name, or an IP address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Whether it is reached over TLS.
    pub tls: bool,
    /// The number of the database.
    pub database: i64,
}

/// A key of 32 bytes. It is wiped when dropped.
#[derive(Clone)]
pub struct EncryptionKey(SecretSlice<u8>);

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey")
    }
}

impl EncryptionKey {
    /// The key.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// A key of equal bytes.
    #[cfg(test)]
    pub(crate) fn for_tests(byte: u8) -> Self {
        Self(vec![byte; KEY_BYTES].into())
    }
}

/// AES-256.
const KEY_BYTES: usize = 32;
const DEFAULT_PORT: u16 = 6379;
const DEFAULT_SENTINEL_PORT: u16 = 26379;
const MAX_SERVERS: usize = 16;
const MAX_KEY_PREFIX_BYTES: usize = 64;
/// A shorter time ends calls that are well; a longer one is felt by the users who wait.
const TIMEOUT_RANGE: RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_secs(1);

impl RawRedis {
    pub(super) fn check(section: Spanned<Self>, context: &Context<'_>) -> Result<Redis, Diagnostic> {
        let span = section.span();
        let raw = section.into_inner();
        raw.check_prefix_and_timeout(context)?;
        let servers = raw.servers(context)?;
        let encryption_key =
            encryption_key(raw.encryption_key_env, raw.encryption_key_file, "encryption_key", context)?;
        let Some(encryption_key) = encryption_key else {
            return Err(context.problem(
                span,
                "[redis] has no encryption_key_file or encryption_key_env",
                "write a random key for all replicas: `openssl rand -hex 32`",
            ));
        };
        Ok(Redis {
            servers,
            sentinel_master: raw.sentinel_master.map(Spanned::into_inner),
            username: raw.username,
            password: context.secret(raw.password_env, raw.password_file, "password")?,
            sentinel_password: context.secret(
                raw.sentinel_password_env,
                raw.sentinel_password_file,
                "sentinel_password",
            )?,
            key_prefix: raw.key_prefix.into_inner(),
            timeout: raw.timeout.into_inner().0,
            encryption_key,
            previous_encryption_key: self::encryption_key(
                raw.previous_encryption_key_env,
                raw.previous_encryption_key_file,
                "previous_encryption_key",
                context,
            )?,
            replicas: raw.replicas.into_inner(),
        })
    }

    fn check_prefix_and_timeout(&self, context: &Context<'_>) -> Result<(), Diagnostic> {
        let prefix = self.key_prefix.get_ref();
        let is_plain = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
        if prefix.is_empty() || prefix.len() > MAX_KEY_PREFIX_BYTES || !is_plain {
            return Err(context.problem(
                self.key_prefix.span(),
                "redis.key_prefix is empty, too long, or has more than letters, digits and -_.: in it",
                "write the name of this installation, like \"cosbroker\"",
            ));
        }
        if !TIMEOUT_RANGE.contains(&self.timeout.get_ref().0) {
            return Err(context.problem(
                self.timeout.span(),
                "redis.timeout is shorter than a call takes, or longer than a user should wait",
                "give \"5ms\" to \"1s\"; \"50ms\" is usual",
            ));
        }
        Ok(())
    }

    fn servers(&self, context: &Context<'_>) -> Result<Vec<RedisServer>, Diagnostic> {
        let urls = match self.url.get_ref() {
            RawServers::One(url) => std::slice::from_ref(url),
            RawServers::Several(urls) => urls.as_slice(),
        };
        if urls.is_empty() || urls.len() > MAX_SERVERS {
            return Err(context.problem(
                self.url.span(),
                format!("redis.url takes from one to {MAX_SERVERS} servers"),
                "name one server, the sentinels, or some nodes of the cluster",
            ));
        }
        let default_port = if self.sentinel_master.is_some() { DEFAULT_SENTINEL_PORT } else { DEFAULT_PORT };
        urls.iter()
            .map(|url| {
                server(url, default_port).ok_or_else(|| {
                    // A URL with a password must not be repeated.
                    context.problem(
                        self.url.span(),
                        "redis.url is not the address of a Redis, or has credentials in it",
                        "write it like \"redis://host:6379/0\", or \"rediss://host:6379/0\" for TLS; a password belongs into password_env or password_file",
                    )
                })
            })
            .collect()
    }
}

fn server(text: &str, default_port: u16) -> Option<RedisServer> {
    let url: Url = url_without_credentials(text).ok()?;
    let tls = match url.scheme() {
        "redis" => false,
        "rediss" => true,
        _ => return None,
    };
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let database = match url.path().trim_start_matches('/') {
        "" => 0,
        number => number.parse::<u16>().ok()?.into(),
    };
    if url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    Some(RedisServer {
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: url.port().unwrap_or(default_port),
        tls,
        database,
    })
}

fn encryption_key(
    env: Option<Spanned<String>>,
    file: Option<Spanned<PathBuf>>,
    name: &str,
    context: &Context<'_>,
) -> Result<Option<EncryptionKey>, Diagnostic> {
    let span = env.as_ref().map(Spanned::span).or_else(|| file.as_ref().map(Spanned::span));
    let Some(written) = context.secret(env, file, name)? else { return Ok(None) };
    let mut key = vec![0; KEY_BYTES];
    if hex::decode_to_slice(written.expose_secret().trim(), &mut key).is_err() {
        return Err(context.problem(
            span.unwrap_or_default(),
            format!("the {name} of [redis] is not {} hexadecimal digits", KEY_BYTES * 2),
            "write a random one: `openssl rand -hex 32`",
        ));
    }
    Ok(Some(EncryptionKey(key.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::test_support::{MINIMAL, parse, problem};

    const SECTION: &str =
        "[redis]\nurl = \"redis://127.0.0.1\"\nencryption_key_env = \"REDIS_KEY\"\nreplicas = 4\n";

    fn redis(section: &str) -> Redis {
        parse(&format!("{MINIMAL}\n{section}")).unwrap().into_parts().redis.unwrap()
    }

    #[test]
    fn a_server_a_key_and_the_number_of_replicas_are_enough() {
        let redis = redis(SECTION);
        let server = RedisServer { host: "127.0.0.1".to_owned(), port: 6379, tls: false, database: 0 };
        assert_eq!(redis.servers, [server]);
        assert_eq!((redis.key_prefix.as_str(), redis.timeout.as_millis()), ("cosbroker", 50));
        assert_eq!((redis.encryption_key.bytes().len(), redis.replicas.get()), (32, 4));
        assert!(!format!("{redis:?}").contains("abab"));
    }

    #[test]
    fn sentinels_have_their_own_port_and_the_master_its_name() {
        let urls = "[\"rediss://[::1]\", \"rediss://b.internal:7000/3\"]\nsentinel_master = \"keys\"";
        let redis = redis(&SECTION.replace("\"redis://127.0.0.1\"", urls));
        assert_eq!(redis.sentinel_master.as_deref(), Some("keys"));
        let servers: Vec<_> =
            redis.servers.iter().map(|s| (s.host.as_str(), s.port, s.tls, s.database)).collect();
        assert_eq!(servers, [("::1", 26379, true, 0), ("b.internal", 7000, true, 3)]);
    }

    #[test]
    fn each_mistake_is_told() {
        for (from, to, message) in [
            ("redis://127.0.0.1", "http://127.0.0.1", "not the address of a Redis"),
            ("redis://127.0.0.1", "redis://me:canary-password@a", "has credentials in it"),
            ("redis://127.0.0.1", "redis://a/x", "not the address of a Redis"),
            ("\"redis://127.0.0.1\"", "[]", "from one to 16 servers"),
            ("encryption_key_env = \"REDIS_KEY\"\n", "", "has no encryption_key_file"),
            ("REDIS_KEY", "SHORT", "is not 64 hexadecimal digits"),
            ("replicas = 4", "replicas = 0", "expected a whole number from 1"),
            ("replicas = 4", "replicas = 4\ntimeout = \"1ms\"", "shorter than a call takes"),
            ("replicas = 4", "replicas = 4\nkey_prefix = \"a{b\"", "more than letters"),
            ("replicas = 4", "replicas = 4\npassword_env = \"NONE\"", "NONE is not set"),
        ] {
            let text = problem(&format!("{MINIMAL}\n{}", SECTION.replace(from, to)));
            assert!(text.contains(message) && !text.contains("canary-password"), "{to}: {text}");
        }
    }
}
