//! Signs a URL with a key that the broker gave, as an app's SDK does, for those who have but `curl`.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde::Deserialize;

use tencent_sign::cos::{Request, Window, encoded};

/// The broker's answer, as far as it matters here (`GET /v1/credentials`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    bucket: String,
    prefix: String,
    credentials: Credentials,
    start_time: i64,
    expired_time: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    tmp_secret_id: String,
    tmp_secret_key: String,
    session_token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Under the key's own prefix.
    name: String,
    #[serde(default = "put")]
    method: String,
}

fn put() -> String {
    "PUT".to_owned()
}

/// What COS is asked by with a signature.
const METHODS: [&str; 5] = ["PUT", "GET", "HEAD", "POST", "DELETE"];

/// `POST /presign?name=hello.txt[&method=GET]`, with the broker's answer for its body: a URL to use at once.
pub(super) async fn handle(
    request: HttpRequest,
    wanted: web::Query<Wanted>,
    body: web::Bytes,
) -> HttpResponse {
    let Some(Ok(host)) = request.headers().get(header::HOST).map(header::HeaderValue::to_str) else {
        return HttpResponse::BadRequest().body("the request has no Host\n");
    };
    if !METHODS.contains(&wanted.method.as_str()) {
        return HttpResponse::BadRequest().body(format!(
            "COS has no method `{}`; give one of {}, or leave it out for PUT\n",
            wanted.method,
            METHODS.join(", ")
        ));
    }
    match serde_json::from_slice(&body) {
        Ok(answer) => HttpResponse::Ok().content_type("text/plain").body(presigned(host, &wanted, &answer)),
        Err(error) => HttpResponse::BadRequest().body(format!(
            "this is not the answer of /v1/credentials: {error}; was it a refusal? It began: {}\n",
            String::from_utf8_lossy(body.get(..body.len().min(200)).unwrap_or_default()),
        )),
    }
}

fn presigned(host: &str, wanted: &Wanted, answer: &Answer) -> String {
    let path = format!("/{}/{}{}", answer.bucket, answer.prefix, wanted.name);
    let Credentials { tmp_secret_id, tmp_secret_key, session_token } = &answer.credentials;
    let request = Request {
        method: &wanted.method,
        path: &path,
        parameters: &[],
        headers: &[("host".to_owned(), host.to_owned())],
    };
    let window = Window { from: answer.start_time, until: answer.expired_time };
    let fields = request.authorize(tmp_secret_id, tmp_secret_key, window);
    let token = [("x-cos-security-token", session_token.clone())];
    let query: Vec<_> =
        fields.iter().chain(&token).map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    format!("http://{host}{}?{}", encoded(&path).replace("%2F", "/"), query.join("&"))
}
