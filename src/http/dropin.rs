//! Routes that existing clients call: cossign's, and those of the vendor's demo servers. They serve the default
//! template.
#![expect(unused_qualifications, reason = "utoipa's macros write qualified names")]

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    body,
    call::{Call, CredentialResponse},
    openapi::{self, KeyAndCredentials, ScopeItem},
    query::query,
    refusal::Refusal,
    shape::{Cossign, StsSdk},
};
use crate::credential_cache::ResponseShape;

/// Longest file name extension that is kept.
const MAX_EXTENSION_BYTES: usize = 16;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ObjectKeyQuery {
    /// The file's name. Only its extension is used.
    #[param(required = true, example = "photo.jpg")]
    filename: Option<String>,
}

/// `GET /sign`: cossign's envelope.
#[utoipa::path(
    get,
    path = "/sign",
    operation_id = "sign",
    tag = "drop-in",
    summary = "A temporary key in cossign's envelope",
    description = "Answers clients of `cossign` with a key of the default template.",
    responses((
        status = 200,
        description = "The key in the envelope.",
        body = Cossign<'static>,
        headers(
            ("Cache-Status" = String, description = "RFC 9211, as for `/v1/credentials`."),
        ),
        example = json!(openapi::cossign_example()),
    )),
    security(("bearer" = [])),
)]
pub(super) async fn sign(call: Call) -> HttpResponse {
    let result = default_credential(&call, ResponseShape::Cossign).await;
    call.respond(result)
}

/// `GET /sts`: the STS SDK JSON.
#[utoipa::path(
    get,
    path = "/sts",
    operation_id = "getSts",
    tag = "drop-in",
    summary = "A temporary key as the STS SDKs return it",
    description = "Answers clients of an STS SDK server with a key of the default template.",
    responses((
        status = 200,
        description = "The STS SDK JSON.",
        body = StsSdk<'static>,
        headers(
            ("Cache-Status" = String, description = "RFC 9211, as for `/v1/credentials`."),
        ),
        example = json!(openapi::sts_sdk_example()),
    )),
    security(("bearer" = [])),
)]
pub(super) async fn sts(call: Call) -> HttpResponse {
    let result = default_credential(&call, ResponseShape::StsSdk).await;
    call.respond(result)
}

async fn default_credential(call: &Call, shape: ResponseShape) -> Result<CredentialResponse, Refusal> {
    let (caller, templates) = call.authenticate().await?;
    let grant = templates.grant(None, caller)?;
    let served = call.credential(&grant, None).await?;
    Ok(CredentialResponse { served, shape, object_key: None })
}

/// `POST /sts` with the bare array of the vendor's scope demo.
#[utoipa::path(
    post,
    path = "/sts",
    operation_id = "postSts",
    tag = "drop-in",
    summary = "A temporary key of a narrower scope, as the STS SDKs return it",
    description = "Answers clients of the vendor's scope demo, such as Android's `STSScopeLimitCredentialProvider`.",
    request_body(
        content = Vec<ScopeItem>,
        content_type = "application/json",
        description = "The bare list of scope items.",
        example = json!([openapi::scope_item_example()]),
    ),
    responses((
        status = 200,
        description = "The STS SDK JSON.",
        body = StsSdk<'static>,
        headers(
            ("Cache-Status" = String, description = "RFC 9211, as for `/v1/credentials`."),
        ),
        example = json!(openapi::sts_sdk_example()),
    )),
    security(("bearer" = [])),
)]
pub(super) async fn sts_scoped(call: Call, payload: web::Payload) -> HttpResponse {
    let result = scoped_credential(&call, payload).await;
    call.respond(result)
}

async fn scoped_credential(call: &Call, payload: web::Payload) -> Result<CredentialResponse, Refusal> {
    let (caller, templates) = call.authenticate().await?;
    let scope = body::scope(body::list(payload).await?)?;
    let grant = templates.narrowed(None, caller, &scope)?;
    let served = call.credential(&grant, None).await?;
    Ok(CredentialResponse { served, shape: ResponseShape::StsSdk, object_key: None })
}

/// `GET /getKeyAndCredentials?filename=`: a credential, and the key of a new object in the user's folder.
#[utoipa::path(
    get,
    path = "/getKeyAndCredentials",
    operation_id = "getKeyAndCredentials",
    tag = "drop-in",
    summary = "A temporary key, and the key of a new object",
    description = "Answers clients of the vendor's upload demo. The object's key is random, in the user's folder, with the extension of `filename`.",
    params(ObjectKeyQuery),
    responses((
        status = 200,
        description = "The STS SDK JSON with bucket, region and `key`.",
        body = KeyAndCredentials,
        headers(
            ("Cache-Status" = String, description = "RFC 9211, as for `/v1/credentials`."),
        ),
        example = json!(openapi::key_and_credentials_example()),
    )),
    security(("bearer" = [])),
)]
pub(super) async fn key_and_credentials(call: Call) -> HttpResponse {
    let result = credential_with_object_key(&call).await;
    call.respond(result)
}

async fn credential_with_object_key(call: &Call) -> Result<CredentialResponse, Refusal> {
    let (caller, templates) = call.authenticate().await?;
    let ObjectKeyQuery { filename } = query(&call.request)?;
    let filename = filename.ok_or_else(|| Refusal::missing_parameter("filename"))?;
    let grant = templates.grant(None, caller)?;
    let object_key = format!("{}{}{}", grant.home(), call.api.entropy.hex_id(), extension(&filename));
    let served = call.credential(&grant, None).await?;
    Ok(CredentialResponse { served, shape: ResponseShape::ObjectKey, object_key: Some(object_key) })
}

/// Returns `.jpg` of `photo.jpg`; nothing if there is no extension, or one of other characters than ASCII
/// letters and digits.
fn extension(filename: &str) -> String {
    match filename.rsplit_once('.') {
        Some((_, extension))
            if (1..=MAX_EXTENSION_BYTES).contains(&extension.len())
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
