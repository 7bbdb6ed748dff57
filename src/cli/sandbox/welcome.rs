//! What a sandbox prints when it has started.

use std::{fmt, net::SocketAddr, path::Path};

use cloud_emulator::Account;

/// The addresses of a sandbox, and commands to paste.
pub(super) struct Welcome<'a> {
    pub(super) broker: SocketAddr,
    pub(super) operators: SocketAddr,
    pub(super) cloud: SocketAddr,
    pub(super) account: &'a Account,
    pub(super) templates: &'a Path,
    /// Alice's token.
    pub(super) token: &'a str,
}

impl fmt::Display for Welcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { broker, operators, cloud, token, .. } = self;
        write!(
            f,
            "\
cosbroker sandbox: the broker and an emulated cloud on this machine. No data leaves it, and nothing in it is real.

  broker      http://{broker}
  operators   http://{operators}  (in your browser: hit rate, quota, active keys; /metrics for Prometheus)
  cloud       http://{cloud}  (token issuer, STS, COS; in your browser: a page to sign in and upload)
  account     SecretId {id}, SecretKey {key}  (the account's permanent keys, which may do anything; no app has them)
  templates   {templates}

Alice has signed in. Her app requests a temporary key:

  curl -i -H 'Authorization: Bearer {token}' http://{broker}/v1/credentials

A second request gets the same key from the cache (Cache-Status: cosbroker; hit):

  curl -si -H 'Authorization: Bearer {token}' http://{broker}/v1/credentials | grep -i ^cache-status

The key uploads a file (an app's SDK signs the upload; for curl, the sandbox signs it):

  curl -fsS -H 'Authorization: Bearer {token}' http://{broker}/v1/credentials | curl -fsS -d @- 'http://{cloud}/presign?name=hello.txt' | xargs -r curl -i -X PUT -d 'Hello, COS'

A token for any user:  curl 'http://{cloud}/token?sub=bob'
Press Ctrl-C to stop.",
            id = self.account.secret_id,
            key = self.account.secret_key,
            templates = self.templates.display(),
        )
    }
}
