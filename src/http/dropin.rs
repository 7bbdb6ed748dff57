//! Routes that existing clients already call: cossign's, and those of the vendor's demo servers. They
//! serve the default template.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::{
    Api,
    ask::{self, Answered},
    body,
    context::RequestState,
    query::query,
    refusal::{Form, Refusal},
    shape::Shape,
};
use templates::{Scope, identity::Identity};

#[derive(Deserialize)]
struct KeyQuery {
    filename: Option<String>,
}

/// `GET /sign`: cossign's envelope.
pub(super) async fn sign(api: web::Data<Api>, request: HttpRequest, state: RequestState) -> HttpResponse {
    whole(&api, &request, Shape::Cossign, &state).await
}

/// `GET /sts`: the STS SDK JSON.
pub(super) async fn sts(api: web::Data<Api>, request: HttpRequest, state: RequestState) -> HttpResponse {
    whole(&api, &request, Shape::StsSdk, &state).await
}

async fn whole(api: &Api, request: &HttpRequest, shape: Shape, state: &RequestState) -> HttpResponse {
    let ask = async |caller: &Identity| {
        let grant = api.templates.current().grant(None, caller)?;
        Ok(Answered {
            served: api.cache.credential_for(&grant, None, state.context()).await?,
            shape,
            object_key: None,
        })
    };
    ask::answer(api, request, None, Form::Envelope, state, ask).await
}

/// `POST /sts` with the bare array of the vendor's scope demo.
pub(super) async fn sts_scoped(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
    state: RequestState,
) -> HttpResponse {
    let ask = async |caller: &Identity| {
        let scope: Vec<Scope> = body::json(payload, "[…], a list of what is wanted").await?;
        let grant = api.templates.current().narrowed(None, caller, &scope)?;
        let served = api.cache.credential_for(&grant, None, state.context()).await?;
        Ok(Answered { served, shape: Shape::StsSdk, object_key: None })
    };
    ask::answer(&api, &request, None, Form::Envelope, &state, ask).await
}

/// `GET /getKeyAndCredentials?filename=`: a key, and where in the home to put the file.
pub(super) async fn key_and_credentials(
    api: web::Data<Api>,
    request: HttpRequest,
    state: RequestState,
) -> HttpResponse {
    let ask = async |caller: &Identity| {
        let KeyQuery { filename } = query(&request).map_err(Refusal::BadRequest)?;
        let filename = filename
            .ok_or_else(|| Refusal::BadRequest("the query parameter `filename` is missing".to_owned()))?;
        let grant = api.templates.current().grant(None, caller)?;
        let object_key = format!("{}{}{}", grant.home(), api.entropy.hex_id(), extension(&filename));
        let served = api.cache.credential_for(&grant, None, state.context()).await?;
        Ok(Answered { served, shape: Shape::Keyed, object_key: Some(object_key) })
    };
    ask::answer(&api, &request, None, Form::Envelope, &state, ask).await
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
