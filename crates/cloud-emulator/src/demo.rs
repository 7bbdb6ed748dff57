//! The demo page: a browser signs in as any user, gets a temporary key, and uploads with Tencent's own SDK.
//!
//! The page gets addresses and template names from here, and everything about a key from the broker. The SDK's
//! file is not part of this crate; it is served from where it was installed.

use std::{path::PathBuf, sync::Arc};

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS},
    web,
};
use serde_json::json;

use diagnostics::read_regular_file;

/// What the demo page needs to know.
pub struct DemoPage {
    /// The broker's origin, such as `http://127.0.0.1:5000`.
    pub broker_origin: String,
    /// Returns the names of the active templates.
    pub template_names: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The file of `cos-js-sdk-v5`. It is read at every request, so it can be installed while the sandbox runs.
    pub js_sdk: PathBuf,
}

impl std::fmt::Debug for DemoPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DemoPage")
            .field("broker_origin", &self.broker_origin)
            .field("js_sdk", &self.js_sdk)
            .finish_non_exhaustive()
    }
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CLIENT: &str = include_str!("../../../clients/js/cosbroker.js");
/// The SDK has some hundred kilobytes.
const MAX_SCRIPT_BYTES: u64 = 16 << 20;

/// Adds the page and its files, if there is a demo page.
pub(crate) fn routes(demo: Option<&Arc<DemoPage>>, services: &mut web::ServiceConfig) {
    let Some(demo) = demo else {
        return;
    };
    services
        .app_data(web::Data::from(Arc::clone(demo)))
        .route("/", web::get().to(page))
        .route("/demo.js", web::get().to(script))
        .route("/cosbroker.js", web::get().to(client))
        .route("/demo.css", web::get().to(style))
        .route("/demo.json", web::get().to(settings))
        .route("/cos-js-sdk-v5.js", web::get().to(js_sdk));
}

async fn page(demo: web::Data<DemoPage>) -> HttpResponse {
    with_common_headers(HttpResponse::Ok())
        .insert_header((CONTENT_SECURITY_POLICY, content_security_policy(&demo.broker_origin)))
        .content_type("text/html; charset=utf-8")
        .body(include_str!("demo/index.html"))
}

/// Allows no inline code and no other origin than the page's own and the broker's. The SDK reaches COS by path
/// on the page's own origin.
fn content_security_policy(broker_origin: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
         connect-src 'self' {broker_origin}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

async fn script() -> HttpResponse {
    with_common_headers(HttpResponse::Ok()).content_type(JAVASCRIPT).body(include_str!("demo/demo.js"))
}

/// The client that apps use, too.
async fn client() -> HttpResponse {
    with_common_headers(HttpResponse::Ok()).content_type(JAVASCRIPT).body(CLIENT)
}

async fn style() -> HttpResponse {
    with_common_headers(HttpResponse::Ok())
        .content_type("text/css; charset=utf-8")
        .body(include_str!("demo/demo.css"))
}

async fn settings(demo: web::Data<DemoPage>) -> HttpResponse {
    with_common_headers(HttpResponse::Ok())
        .json(json!({"broker": demo.broker_origin, "templates": (demo.template_names)()}))
}

async fn js_sdk(demo: web::Data<DemoPage>) -> HttpResponse {
    let file = demo.js_sdk.clone();
    let read = web::block(move || read_regular_file(&file, MAX_SCRIPT_BYTES)).await;
    match read.unwrap_or_else(|_| Err(std::io::Error::other("the server is stopping").into())) {
        Ok(text) => with_common_headers(HttpResponse::Ok()).content_type(JAVASCRIPT).body(text),
        // The type of a script, so that the browser's console shows no second error about the type.
        Err(error) => with_common_headers(HttpResponse::NotFound()).content_type(JAVASCRIPT).body(format!(
            "Tencent's SDK for browsers is not installed: {}: {error}. Run `npm install cos-js-sdk-v5` in \
                 the folder where the sandbox was started and load this page again, or start the sandbox \
                 with `--js-sdk FILE`.\n",
            demo.js_sdk.display()
        )),
    }
}

/// Adds the headers of every answer of the page. Nothing is cached, so a restarted sandbox shows its own page.
fn with_common_headers(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    response.insert_header((CACHE_CONTROL, "no-store")).insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_nothing_from_other_hosts() {
        let parts =
            [include_str!("demo/index.html"), include_str!("demo/demo.js"), include_str!("demo/demo.css")];
        for part in parts {
            for other_host in ["http:", "https:", "src=\"//", "href=\"//", "url(", "@import"] {
                assert!(!part.contains(other_host), "{other_host}");
            }
        }
        let [page, ..] = parts;
        for inline in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!page.contains(inline), "{inline}");
        }
        assert_eq!(page.matches("<script").count(), page.matches("<script src=\"/").count());
    }

    #[test]
    fn the_page_may_connect_only_to_itself_and_the_broker() {
        let policy = content_security_policy("http://127.0.0.1:5000");
        assert!(policy.contains("connect-src 'self' http://127.0.0.1:5000;"), "{policy}");
        for loose in ["unsafe", "*", "blob:", "https:"] {
            assert!(!policy.contains(loose), "{policy}");
        }
    }
}
