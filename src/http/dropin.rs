//! Routes that existing clients already call: cossign's, and those of the vendor's demo servers. They
//! serve the default template.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::{
    Api,
    ask::{self, Ask},
    body,
    context::RequestId,
    refusal::{Form, Refusal},
    shape::Shape,
    v1,
};
use crate::policy::Scope;

#[derive(Deserialize)]
struct KeyQuery {
    filename: Option<String>,
}

/// `GET /sign`: cossign's envelope.
pub(super) async fn sign(api: web::Data<Api>, request: HttpRequest, id: RequestId) -> HttpResponse {
    let outcome = ask::key(&api, &request, &Ask::default()).await;
    ask::answer(&api, outcome, Shape::Cossign, |_| None, Form::Envelope, &id)
}

/// `GET /sts`: the STS SDK JSON.
pub(super) async fn sts(api: web::Data<Api>, request: HttpRequest, id: RequestId) -> HttpResponse {
    let outcome = ask::key(&api, &request, &Ask::default()).await;
    ask::answer(&api, outcome, Shape::StsSdk, |_| None, Form::Envelope, &id)
}

/// `POST /sts` with the bare array of the vendor's scope demo.
pub(super) async fn sts_scoped(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
    id: RequestId,
) -> HttpResponse {
    match body::json::<Vec<Scope>>(payload).await {
        Ok(scope) => {
            let ask = Ask { scope: Some(scope), ..Ask::default() };
            let outcome = ask::key(&api, &request, &ask).await;
            ask::answer(&api, outcome, Shape::StsSdk, |_| None, Form::Envelope, &id)
        }
        Err(refusal) => refusal.response(Form::Envelope, &id),
    }
}

/// `GET /getKeyAndCredentials?filename=`: a key, and where in the home to put the file.
pub(super) async fn key_and_credentials(
    api: web::Data<Api>,
    request: HttpRequest,
    id: RequestId,
) -> HttpResponse {
    let extension = v1::query(&request).and_then(|KeyQuery { filename }| match filename {
        Some(filename) => Ok(extension(&filename)),
        None => Err(Refusal::BadRequest("the query parameter `filename` is missing".to_owned())),
    });
    let extension = match extension {
        Ok(extension) => extension,
        Err(refusal) => return refusal.response(Form::Envelope, &id),
    };
    let outcome = ask::key(&api, &request, &Ask::default()).await;
    let name = format!("{}{extension}", api.entropy.name());
    let object_key = |grant: &crate::policy::Grant| Some(format!("{}{name}", grant.home()));
    ask::answer(&api, outcome, Shape::Keyed, object_key, Form::Envelope, &id)
}

/// `.jpg` of `photo.jpg`; nothing where there is none, or where it is not plain letters and digits.
fn extension(filename: &str) -> String {
    match filename.rsplit_once('.') {
        Some((_, extension))
            if (1..=16).contains(&extension.len())
                && extension.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
        {
            format!(".{extension}")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_kept_and_nothing_else_of_the_name() {
        for (filename, expected) in [
            ("photo.jpg", ".jpg"),
            ("../../etc/passwd.PNG", ".PNG"),
            ("archive.tar.gz", ".gz"),
            ("photo", ""),
            ("photo.", ""),
            ("a.b/c", ""),
            ("x.j*g", ""),
            ("x.照片", ""),
            ("x.aaaaaaaaaaaaaaaaa", ""),
        ] {
            assert_eq!(extension(filename), expected, "{filename}");
        }
    }
}
