//! The demo page: anybody's login, their key, and Tencent's own SDK uploading with it, in a browser.
//!
//! Knows addresses and names only; what a key may do, the page asks the broker. The SDK is not ours to
//! ship, so it is served from where it was installed.

use std::{path::PathBuf, sync::Arc};

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS},
    web,
};
use serde_json::json;

/// What the page must be told.
pub struct Demo {
    /// The broker's origin, such as `http://127.0.0.1:5000`.
    pub broker: String,
    /// The templates that serve at the moment.
    pub templates: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The file of `cos-js-sdk-v5`. Read at every request: who installs it need only load the page again.
    pub js_sdk: PathBuf,
}

impl std::fmt::Debug for Demo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Demo")
            .field("broker", &self.broker)
            .field("js_sdk", &self.js_sdk)
            .finish_non_exhaustive()
    }
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The page and what it is made of; nothing if there is no demo.
pub(super) fn routes(demo: Option<&Arc<Demo>>, services: &mut web::ServiceConfig) {
    let Some(demo) = demo else {
        return;
    };
    services
        .app_data(web::Data::from(Arc::clone(demo)))
        .route("/", web::get().to(page))
        .route("/demo.js", web::get().to(script))
        .route("/demo.css", web::get().to(style))
        .route("/demo.json", web::get().to(facts))
        .route("/cos-js-sdk-v5.js", web::get().to(js_sdk));
}

async fn page(demo: web::Data<Demo>) -> HttpResponse {
    guarded(HttpResponse::Ok())
        .insert_header((CONTENT_SECURITY_POLICY, content_security_policy(&demo.broker)))
        .content_type("text/html; charset=utf-8")
        .body(include_str!("demo/index.html"))
}

/// Nothing inline, nothing from elsewhere. The SDK needs no more than this: COS is reached by path on the
/// page's own origin.
fn content_security_policy(broker: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
         connect-src 'self' {broker}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

async fn script() -> HttpResponse {
    guarded(HttpResponse::Ok()).content_type(JAVASCRIPT).body(include_str!("demo/demo.js"))
}

async fn style() -> HttpResponse {
    guarded(HttpResponse::Ok()).content_type("text/css; charset=utf-8").body(include_str!("demo/demo.css"))
}

async fn facts(demo: web::Data<Demo>) -> HttpResponse {
    guarded(HttpResponse::Ok()).json(json!({"broker": demo.broker, "templates": (demo.templates)()}))
}

async fn js_sdk(demo: web::Data<Demo>) -> HttpResponse {
    let file = demo.js_sdk.clone();
    let read = web::block(move || std::fs::read(file)).await;
    match read.unwrap_or_else(|_| Err(std::io::Error::other("the server is stopping"))) {
        Ok(text) => guarded(HttpResponse::Ok()).content_type(JAVASCRIPT).body(text),
        // A script by its type, so that the console of the page that asks for it stays quiet.
        Err(error) => guarded(HttpResponse::NotFound()).content_type(JAVASCRIPT).body(format!(
            "Tencent's SDK for browsers is not installed: {}: {error}. Run `npm install cos-js-sdk-v5` in \
                 the folder where the sandbox was started and load this page again, or start the sandbox \
                 with `--js-sdk FILE`.\n",
            demo.js_sdk.display()
        )),
    }
}

/// What every answer of the page carries: a sandbox that was started anew is seen anew.
fn guarded(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    response.insert_header((CACHE_CONTROL, "no-store")).insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_reaches_nobody_but_the_sandbox() {
        let parts =
            [include_str!("demo/index.html"), include_str!("demo/demo.js"), include_str!("demo/demo.css")];
        for part in parts {
            for elsewhere in ["http:", "https:", "src=\"//", "href=\"//", "url(", "@import"] {
                assert!(!part.contains(elsewhere), "{elsewhere}");
            }
        }
        let [page, ..] = parts;
        for inline in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!page.contains(inline), "{inline}");
        }
        assert_eq!(page.matches("<script").count(), page.matches("<script src=\"/").count());
    }

    #[test]
    fn the_page_may_connect_to_itself_and_the_broker_only() {
        let policy = content_security_policy("http://127.0.0.1:5000");
        assert!(policy.contains("connect-src 'self' http://127.0.0.1:5000;"), "{policy}");
        for loose in ["unsafe", "*", "blob:", "https:"] {
            assert!(!policy.contains(loose), "{policy}");
        }
    }
}
