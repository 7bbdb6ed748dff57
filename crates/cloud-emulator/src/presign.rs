//! `POST /presign`: signs a COS URL with a temporary key, as an app's SDK does, for users of plain `curl`.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde::Deserialize;

use tencent_sign::cos::{Request, Window, encoded};

/// The fields of the broker's answer to `GET /v1/credentials` that signing needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BrokerAnswer {
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
pub(crate) struct PresignQuery {
    /// The object's name below the key's prefix.
    name: String,
    #[serde(default = "default_method")]
    method: String,
}

fn default_method() -> String {
    "PUT".to_owned()
}

/// The methods of signed COS requests.
const METHODS: [&str; 5] = ["PUT", "GET", "HEAD", "POST", "DELETE"];

/// `POST /presign?name=hello.txt[&method=GET]` with the broker's answer as the body; returns a URL.
pub(crate) async fn presign(
    request: HttpRequest,
    query: web::Query<PresignQuery>,
    body: web::Bytes,
) -> HttpResponse {
    let Some(Ok(host)) = request.headers().get(header::HOST).map(header::HeaderValue::to_str) else {
        return HttpResponse::BadRequest().body("the request has no Host header\n");
    };
    if !METHODS.contains(&query.method.as_str()) {
        return HttpResponse::BadRequest().body(format!(
            "COS has no method `{}`; give one of {}, or leave it out for PUT\n",
            query.method,
            METHODS.join(", ")
        ));
    }
    match serde_json::from_slice(&body) {
        Ok(answer) => {
            HttpResponse::Ok().content_type("text/plain").body(presigned_url(host, &query, &answer))
        }
        Err(error) => HttpResponse::BadRequest().body(format!(
            "the body is not the answer of /v1/credentials: {error}; did the broker refuse the request? The body starts with: {}\n",
            String::from_utf8_lossy(body.get(..body.len().min(200)).unwrap_or_default()),
        )),
    }
}

fn presigned_url(host: &str, query: &PresignQuery, answer: &BrokerAnswer) -> String {
    let path = format!("/{}/{}{}", answer.bucket, answer.prefix, query.name);
    let Credentials { tmp_secret_id, tmp_secret_key, session_token } = &answer.credentials;
    let request = Request {
        method: &query.method,
        path: &path,
        parameters: &[],
        headers: &[("host".to_owned(), host.to_owned())],
    };
    let window = Window { from: answer.start_time, until: answer.expired_time };
    let fields = request.authorize(tmp_secret_id, tmp_secret_key, window);
    let token = [("x-cos-security-token", session_token.clone())];
    let parameters: Vec<_> =
        fields.iter().chain(&token).map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    format!("http://{host}{}?{}", encoded(&path).replace("%2F", "/"), parameters.join("&"))
}
