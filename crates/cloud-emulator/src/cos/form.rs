//! Form uploads, as browsers send them without a script (docs 436/14690). The form's fields take the place of
//! headers, and are signed by a policy of the form.

use std::ops::RangeInclusive;

use actix_multipart::{Field, Multipart};
use actix_web::{
    HttpResponse,
    dev::Payload,
    http::{StatusCode, header},
    mime::{self, Mime},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::StreamExt;
use subtle::ConstantTimeEq;

use super::{
    address::Address,
    auth::{Caller, ClaimedKey},
    emulator::CosEmulator,
    error::CosError,
    form_error::FormError,
    form_policy::FormPolicy,
    object::{MAX_OBJECT_BYTES, with_checksums},
    operation::Operation,
    processing::RULES_HEADER,
    request::{CosRequest, refuse_duplicates_of},
    response, xml,
};
use crate::storage::{Object, UploadError};
use tencent_sign::cos::{Authorization, Malformed, encoded, form_signature};

/// The maximum size of all fields before the file.
const MAX_FIELDS_BYTES: usize = 64 << 10;

impl CosEmulator {
    pub(super) async fn post_object(
        &self,
        request: CosRequest,
        body: &mut Payload,
    ) -> Result<HttpResponse, CosError> {
        let content_type = request.header("content-type").filter(|content_type| is_form(content_type));
        let content_type = content_type.and_then(|text| header::HeaderValue::from_str(text).ok());
        let content_type = content_type.ok_or(CosError::NotAForm)?;
        let headers = header::HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
        let mut form = Multipart::new(&headers, body.take());
        let result = self.store_form(request, &mut form).await;
        if result.is_err() {
            drain(&mut form).await;
        }
        result
    }

    async fn store_form(&self, request: CosRequest, form: &mut Multipart) -> Result<HttpResponse, CosError> {
        let (fields, mut file) = read_fields(form).await?;
        let filename = file.content_disposition().and_then(|disposition| disposition.get_filename());
        let filename = filename.unwrap_or_default().to_owned();
        let http_headers = request.headers.clone();
        let request = request.with_form_fields(fields, &filename)?;
        Operation::PostObject.refuse_unknown(&request.query, &request.headers)?;
        let (caller, policy) = self.form_signer(&request, http_headers)?;
        let operation = Operation::PostObject;
        let resource = request.resource(operation);
        self.authorize(&caller, operation.action(), &resource, &request.context(operation))?;
        let further_writes = self.further_writes(&request, &caller)?;
        let range = policy.map_or(Ok(None), |policy| policy.check(&request))?;
        if request
            .header("success_action_redirect")
            .is_some_and(|page| header::HeaderValue::from_str(page).is_err())
        {
            return Err(CosError::InvalidArgument(
                "success_action_redirect is not a valid header value.".to_owned(),
            ));
        }
        self.check_new_key(&request, &request.address.key)?;
        let headers = request.stored_headers()?;
        let max_bytes = range.as_ref().map_or(MAX_OBJECT_BYTES, |range| *range.end());
        let blob = self.storage.receive(&mut file, max_bytes).await?;
        request.check_digest(&blob.md5)?;
        if range.is_some_and(|range: RangeInclusive<u64>| blob.length < *range.start()) {
            return Err(UploadError::EntityTooSmall.into());
        }
        drop(file);
        expect_end(form).await?;
        let object = Object::new(headers, blob, request.received_at);
        let object = self.storage.put(&request.address.bucket, &request.address.key, object)?;
        self.write_further(operation, &request, &further_writes, posted(&request, &object)).await
    }

    /// Returns who signed a form: its policy, or else the request, with the authorization in the field `Signature`.
    fn form_signer(
        &self,
        request: &CosRequest,
        http_headers: Vec<(String, String)>,
    ) -> Result<(Caller, Option<FormPolicy>), CosError> {
        if request.header("policy").is_some() {
            return self.signed_policy(request).map(|(caller, policy)| (caller, Some(policy)));
        }
        // The SDK for mini-programs: it signs `POST /` with the headers that it sends as fields (`lib/request.js`).
        let authorization = request
            .header("signature")
            .ok_or_else(|| CosError::AccessDenied("the form is not signed".to_owned()))?;
        let caller = self
            .authenticator
            .signer(&Authorization::parse(authorization)?, &request.as_signed_without_policy(http_headers))?;
        Ok((caller, None))
    }

    /// Returns the form's policy and the caller who signed it.
    fn signed_policy(&self, request: &CosRequest) -> Result<(Caller, FormPolicy), CosError> {
        let policy = request.header("policy").unwrap_or_default();
        let policy = STANDARD.decode(policy).map_err(|_| Malformed("policy"))?;
        let key_time = required_field(request, "q-key-time")?;
        let signature = required_field(request, "q-signature")?;
        let claimed = ClaimedKey {
            secret_id: required_field(request, "q-ak")?,
            token: request.header("x-cos-security-token"),
            window: key_time.parse().map_err(|_| Malformed("q-key-time"))?,
        };
        let caller = self.authenticator.caller(&claimed, request.received_at, |secret_key| {
            let expected = form_signature(secret_key, key_time, &policy);
            let is_signed: bool = expected.as_bytes().ct_eq(signature.as_bytes()).into();
            if is_signed { Ok(()) } else { Err(CosError::WrongFormSignature) }
        })?;
        Ok((caller, FormPolicy::parse(&policy)?))
    }
}

fn required_field<'a>(request: &'a CosRequest, name: &'static str) -> Result<&'a str, Malformed> {
    request.header(name).ok_or(Malformed(name))
}

/// Reads the fields before the file, and returns the file's field unread.
async fn read_fields(form: &mut Multipart) -> Result<(Vec<(String, String)>, Field), FormError> {
    let mut fields = Vec::new();
    let mut remaining_bytes = MAX_FIELDS_BYTES;
    loop {
        let mut field = form.next().await.ok_or(FormError::NoFile)??;
        let name = field.name().unwrap_or_default().to_ascii_lowercase();
        if name == "file" {
            return Ok((fields, field));
        }
        let value = field.bytes(remaining_bytes).await.map_err(|_| FormError::FieldsTooLong)??;
        remaining_bytes -= value.len();
        fields.push((name, std::str::from_utf8(&value)?.to_owned()));
    }
}

/// Reads to the form's end, so that an incomplete form is not taken for a complete one.
async fn expect_end(form: &mut Multipart) -> Result<(), FormError> {
    match form.next().await {
        None => Ok(()),
        Some(Ok(_)) => Err(FormError::FileNotLast),
        Some(Err(error)) => Err(error.into()),
    }
}

async fn drain(form: &mut Multipart) {
    while let Some(Ok(mut field)) = form.next().await {
        while let Some(Ok(_)) = field.next().await {}
    }
}

/// The headers that a form's fields do not replace. A form sent in chunks has no length, and no field sets one.
const KEPT_HEADERS: [&str; 2] = ["host", "content-length"];

impl CosRequest {
    /// Returns the request with the form's fields in place of headers.
    fn with_form_fields(self, fields: Vec<(String, String)>, filename: &str) -> Result<Self, CosError> {
        let key = fields
            .iter()
            .find(|(name, _)| name == "key")
            .map(|(_, key)| key.replace("${filename}", filename))
            .filter(|key| !key.is_empty())
            .ok_or_else(|| {
                CosError::InvalidArgument(
                    "The form has no field `key` before `file`, which is its last field.".to_owned(),
                )
            })?;
        let mut headers = fields;
        headers.retain(|(name, _)| !KEPT_HEADERS.contains(&name.as_str()));
        for (name, _) in &mut headers {
            if name == "acl" {
                "x-cos-acl".clone_into(name);
            }
        }
        let kept = |name: &str| KEPT_HEADERS.contains(&name) || name == RULES_HEADER;
        headers.extend(self.headers.into_iter().filter(|(name, _)| kept(name)));
        refuse_duplicates_of("field", headers.iter().map(|(name, _)| name.as_str()))?;
        let mut address = self.address;
        address.key = key;
        Ok(Self { address, headers, ..self })
    }

    /// Returns the request as its authorization covers it: at the bucket, with fields in place of their headers.
    fn as_signed_without_policy(&self, http_headers: Vec<(String, String)>) -> Self {
        let mut headers = self.headers.clone();
        headers.extend(http_headers.into_iter().filter(|(name, _)| self.header(name).is_none()));
        Self {
            method: self.method.clone(),
            address: Address { key: String::new(), ..self.address.clone() },
            path: self.path.clone(),
            signed_path: self.signed_path.clone(),
            headers,
            query: self.query.clone(),
            ..*self
        }
    }
}

/// Whether a content type is a form with a boundary between its parts (RFC 7578 §4.1).
fn is_form(content_type: &str) -> bool {
    content_type.parse::<Mime>().is_ok_and(|content_type| {
        content_type.essence_str() == "multipart/form-data"
            && content_type.get_param(mime::BOUNDARY).is_some_and(|boundary| !boundary.as_str().is_empty())
    })
}

/// Returns the response that the form selects: a redirect, or a status.
fn posted(request: &CosRequest, object: &Object) -> HttpResponse {
    let (bucket, key) = (&request.address.bucket, &request.address.key);
    let host = request.header("host").unwrap_or_default();
    let location = format!("http://{host}{}{}", request.path, encoded(key).replace("%2F", "/"));
    if let Some(page) = request.header("success_action_redirect").filter(|page| page.starts_with("http")) {
        let separator = if page.contains('?') { '&' } else { '?' };
        let query = format!("bucket={bucket}&key={}&etag={}", encoded(key), encoded(&object.etag));
        return HttpResponse::SeeOther()
            .insert_header((header::LOCATION, format!("{page}{separator}{query}")))
            .finish();
    }
    let status = match request.header("success_action_status") {
        Some("201") => {
            let (bucket, key, etag) = (bucket.clone(), key.clone(), object.etag.clone());
            return response::xml(StatusCode::CREATED, &xml::Posted { bucket, location, key, etag });
        }
        Some("200") => StatusCode::OK,
        _ => StatusCode::NO_CONTENT,
    };
    with_checksums(HttpResponse::build(status), object).insert_header((header::LOCATION, location)).finish()
}
