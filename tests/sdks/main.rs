//! Tencent's own SDKs, curl, browsers and logins of other frameworks as the judges. `make test` installs them.
#![expect(clippy::unwrap_used, reason = "a failed helper should stop the test")]
#![expect(clippy::panic, reason = "a failed helper should stop the test")]
#![expect(clippy::indexing_slicing, reason = "a missing part should stop the test")]

use cosbroker_test_support as support;

mod android;
mod client;
mod curl;
mod demo;
mod deny;
mod login_server;
mod openid;
mod oracle;
mod page;
mod sdks;
mod simplejwt;
mod tools;
