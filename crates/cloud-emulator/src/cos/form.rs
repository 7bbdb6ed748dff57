//! A form upload, as browsers send it without a script (docs 436/14690): its fields say what headers say
//! elsewhere, and are signed by way of a policy of their own.

use actix_multipart::Multipart;
use actix_web::{
    HttpResponse,
    dev::Payload,
    http::{StatusCode, header},
    mime::{self, Mime},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::StreamExt;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::{
    Cos,
    authority::Claimed,
    call::{Call, once},
    object::{self, stored},
    operation::Operation,
    refusal::Refusal,
    xml,
};
use crate::storage::Object;
use tencent_sign::cos::{Malformed, encoded, form_signature};

/// The most that all fields before the file may have.
const LARGEST_FIELDS: usize = 64 << 10;

/// What the form's policy says, once it is known to be signed.
#[derive(Deserialize)]
struct FormPolicy {
    expiration: Timestamp,
    #[serde(default)]
    conditions: Vec<Value>,
}

impl Cos {
    pub(super) async fn post_object(&self, call: Call, body: &mut Payload) -> Result<HttpResponse, Refusal> {
        let kind = call.header("content-type").filter(|kind| is_form(kind));
        let kind = kind.and_then(|kind| header::HeaderValue::from_str(kind).ok());
        let kind = kind.ok_or(Refusal::MalformedForm)?;
        let headers = header::HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]);
        let mut form = Multipart::new(&headers, body.take());
        let answered = self.answer_form(call, &mut form).await;
        if answered.is_err() {
            while let Some(Ok(mut field)) = form.next().await {
                while let Some(Ok(_)) = field.next().await {}
            }
        }
        answered
    }

    async fn answer_form(&self, call: Call, form: &mut Multipart) -> Result<HttpResponse, Refusal> {
        let malformed = |what: &str| Refusal::InvalidArgument(format!("The form is malformed: {what}."));
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut room = LARGEST_FIELDS;
        let mut file = loop {
            let field = form.next().await.ok_or_else(|| malformed("it has no field `file`"))?;
            let mut field = field.map_err(|error| malformed(&error.to_string()))?;
            let name = field.name().unwrap_or_default().to_ascii_lowercase();
            if name == "file" {
                break field;
            }
            let value = field.bytes(room).await.map_err(|_| malformed("its fields are too long"))?;
            let value = value.map_err(|error| malformed(&error.to_string()))?;
            room -= value.len();
            let value = std::str::from_utf8(&value).map_err(|error| malformed(&error.to_string()))?;
            fields.push((name, value.to_owned()));
        };
        let filename = file.content_disposition().and_then(|disposition| disposition.get_filename());
        let filename = filename.unwrap_or_default().to_owned();
        let call = call.of_form(fields, &filename)?;
        let policy = self.signed_policy(&call)?;
        let range = policy.check(&call)?;
        if call
            .header("success_action_redirect")
            .is_some_and(|page| header::HeaderValue::from_str(page).is_err())
        {
            return Err(Refusal::InvalidArgument(
                "success_action_redirect cannot stand in a header.".to_owned(),
            ));
        }
        self.check_new(&call, &call.address.key)?;
        let headers = call.kept_headers()?;
        let blob = self.storage.receive(&mut file, range.map_or(object::LARGEST, |(_, most)| most)).await?;
        call.check_digest(&blob)?;
        if range.is_some_and(|(least, _)| blob.length < least) {
            return Err(Refusal::FormPolicy("content-length-range".to_owned()));
        }
        drop(file);
        ended(form).await.map_err(|what| malformed(&what))?;
        let (bucket, key) = (&call.address.bucket, &call.address.key);
        let object = self.storage.put(bucket, key, Object::of(headers, blob, call.at))?;
        Ok(posted(&call, &object))
    }

    /// The form's policy, once its signer is known and may put the object.
    fn signed_policy(&self, call: &Call) -> Result<FormPolicy, Refusal> {
        let needed = |name: &'static str| call.header(name).ok_or(Malformed(name));
        let policy = call
            .header("policy")
            .ok_or_else(|| Refusal::AccessDenied("the form is not signed".to_owned()))?;
        let policy = STANDARD.decode(policy).map_err(|_| Malformed("policy"))?;
        let (key_time, given) = (needed("q-key-time")?, needed("q-signature")?);
        let claimed = Claimed {
            secret_id: needed("q-ak")?,
            token: call.header("x-cos-security-token"),
            window: key_time.parse().map_err(|()| Malformed("q-key-time"))?,
        };
        let caller = self.authority.holder(&claimed, call.at, |secret_key| {
            form_signature(secret_key, key_time, &policy).as_bytes().ct_eq(given.as_bytes()).into()
        })?;
        let operation = Operation::PostObject;
        caller.may(operation.action(), &call.resource(operation), &call.context(operation))?;
        serde_json::from_slice(&policy).map_err(|error| Refusal::FormPolicy(error.to_string()))
    }
}

impl Call {
    /// The same call with what the form's fields say: they are to a form what headers are to a `PUT`.
    fn of_form(self, fields: Vec<(String, String)>, filename: &str) -> Result<Self, Refusal> {
        let key = fields
            .iter()
            .find(|(name, _)| name == "key")
            .map(|(_, key)| key.replace("${filename}", filename));
        let key = key.filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| Refusal::InvalidArgument("The form has no field `key`.".to_owned()))?;
        let own = ["host", "content-length"];
        let mut headers = fields;
        // A form sent in chunks has no length, and no field gives it one.
        headers.retain(|(name, _)| !own.contains(&name.as_str()));
        for (name, _) in &mut headers {
            if name == "acl" {
                "x-cos-acl".clone_into(name);
            }
        }
        once("field", headers.iter().map(|(name, _)| name.as_str()))?;
        headers.extend(self.headers.into_iter().filter(|(name, _)| own.contains(&name.as_str())));
        let mut address = self.address;
        address.key = key;
        Ok(Self { address, headers, ..self })
    }
}

impl FormPolicy {
    /// The least and the most bytes that a file may have, if every other condition holds.
    fn check(&self, call: &Call) -> Result<Option<(u64, u64)>, Refusal> {
        if self.expiration <= call.at {
            return Err(Refusal::FormPolicy("it has expired".to_owned()));
        }
        let mut range = None;
        for condition in &self.conditions {
            let unmet = || Refusal::FormPolicy(condition.to_string());
            let holds = match condition {
                Value::Object(map) => map.iter().all(|(name, value)| value.as_str() == call.field(name)),
                Value::Array(parts) => match parts.as_slice() {
                    [Value::String(kind), least, most] if kind == "content-length-range" => {
                        range = least.as_u64().zip(most.as_u64());
                        range.is_some()
                    }
                    [Value::String(kind), Value::String(name), Value::String(value)] => {
                        let found = call.field(name.trim_start_matches('$'));
                        match kind.as_str() {
                            "eq" => found == Some(value),
                            "starts-with" => found.is_some_and(|found| found.starts_with(value.as_str())),
                            _ => false,
                        }
                    }
                    _ => false,
                },
                _ => false,
            };
            if !holds {
                return Err(unmet());
            }
        }
        Ok(range)
    }
}

impl Call {
    /// What a form's policy may speak of.
    fn field(&self, name: &str) -> Option<&str> {
        match name.to_ascii_lowercase().as_str() {
            "bucket" => Some(&self.address.bucket),
            "key" => Some(&self.address.key),
            "acl" => self.header("x-cos-acl"),
            // The policy calls it by its other name (docs 436/14690).
            "q-sign-time" => self.header("q-key-time"),
            name => self.header(name),
        }
    }
}

/// Whether a body of this type can be read as a form: its parts are told apart by a boundary (RFC 7578 §4.1).
fn is_form(kind: &str) -> bool {
    kind.parse::<Mime>().is_ok_and(|kind| {
        kind.essence_str() == "multipart/form-data"
            && kind.get_param(mime::BOUNDARY).is_some_and(|boundary| !boundary.as_str().is_empty())
    })
}

/// Reads to the form's end, so that one that broke off is not taken for whole.
async fn ended(form: &mut Multipart) -> Result<(), String> {
    match form.next().await {
        None => Ok(()),
        Some(Ok(_)) => Err("`file` is not its last field".to_owned()),
        Some(Err(error)) => Err(error.to_string()),
    }
}

/// The answer that the form asks for.
fn posted(call: &Call, object: &Object) -> HttpResponse {
    let (bucket, key) = (&call.address.bucket, &call.address.key);
    let host = call.header("host").unwrap_or_default();
    let location = format!("http://{host}{}{}", call.path, encoded(key).replace("%2F", "/"));
    if let Some(page) = call.header("success_action_redirect").filter(|page| page.starts_with("http")) {
        let joint = if page.contains('?') { '&' } else { '?' };
        let told = format!("bucket={bucket}&key={}&etag={}", encoded(key), encoded(&object.etag));
        return HttpResponse::SeeOther()
            .insert_header((header::LOCATION, format!("{page}{joint}{told}")))
            .finish();
    }
    match call.header("success_action_status") {
        Some("201") => {
            let (etag, location) = (object.etag.clone(), location);
            let told = xml::Posted { bucket: bucket.clone(), location, key: key.clone(), etag };
            xml::answer(StatusCode::CREATED, &told)
        }
        wanted => {
            let response = if wanted == Some("200") { HttpResponse::Ok() } else { HttpResponse::NoContent() };
            stored(response, object).insert_header((header::LOCATION, location)).finish()
        }
    }
}
