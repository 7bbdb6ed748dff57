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
    /// Whether heads are bold.
    pub(super) has_colors: bool,
}

/// SGR 1 and 0 (ECMA-48 §8.3.117).
const BOLD: [&str; 2] = ["\u{1b}[1m", "\u{1b}[0m"];

impl fmt::Display for Welcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { broker, operators, cloud, token, .. } = self;
        let [bold, plain] = if self.has_colors { BOLD } else { ["", ""] };
        write!(
            f,
            "\
{bold}cosbroker sandbox{plain}: the broker and an emulated cloud on this machine. No data leaves it, and nothing in it is real.

  page        http://{cloud}  (in your browser: sign in, upload, see what is refused)
  operators   http://{operators}  (in your browser: hit rate, quota, active keys; /metrics for Prometheus)
  broker      http://{broker}
  cloud       http://{cloud}  (token issuer, STS, COS)
  account     SecretId {id}, SecretKey {key}  (the account's permanent keys, which may do anything; no app has them)
  templates   {templates}

{bold}Alice has signed in.{plain} Her token, for the commands below:

  T='{token}'

{bold}Her app requests a temporary key:{plain}

  curl -si -H \"Authorization: Bearer $T\" http://{broker}/v1/credentials | tr , '\\n'

{bold}A second request gets the same key from the cache{plain} (Cache-Status: cosbroker; hit):

  curl -si -H \"Authorization: Bearer $T\" http://{broker}/v1/credentials | grep -i ^cache-status

{bold}The key uploads a file{plain} (an app's SDK signs the upload; for curl, the sandbox signs it):

  curl -fsS -H \"Authorization: Bearer $T\" http://{broker}/v1/credentials | curl -fsS -d @- 'http://{cloud}/presign?name=hello.txt' | xargs -r curl -i -X PUT -d 'Hello, COS'

A token for any user:  T=$(curl -s 'http://{cloud}/token?sub=bob')
A page of yours gets no key?  Start with --allow-origin and its origin.
Press Ctrl-C to stop.",
            id = self.account.secret_id,
            key = self.account.secret_key,
            templates = self.templates.display(),
        )
    }
}
