//! COS on this machine: keeps objects, and lets a request through only as far as the key that signed it
//! goes, by the same rules as the real one.
//!
//! What a key may do is in its session token, sealed there by the sandbox's STS; nothing is asked of the
//! broker.

mod address;
mod authority;
mod call;
mod form;
mod list;
mod object;
mod operation;
mod refusal;
mod upload;
mod xml;

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    dev::Payload,
    guard::GuardContext,
    http::{
        Method,
        header::{self, HeaderName, HeaderValue},
    },
    web,
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use self::{
    address::Address,
    authority::Authority,
    call::{Call, address_of},
    operation::Operation,
    refusal::Refusal,
};
pub(super) use self::{operation::ACTIONS, refusal::error};
use super::{Account, SessionKey, fault, storage::Storage};
use runtime::{clock::Clock, entropy::Entropy};

/// How much of a refused request's body is read, so that its client comes to read the answer.
const MOST_DRAINED: usize = 1 << 30;

/// The emulator.
#[derive(Debug)]
pub(super) struct Cos {
    authority: Authority,
    storage: Storage,
    region: String,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Cos {
    /// A COS that knows an account's keys, and those that this session key sealed. `region` is where
    /// buckets are whose host does not say.
    pub(super) fn new(
        account: Account,
        sessions: Arc<SessionKey>,
        storage: Storage,
        region: &str,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let authority = Authority::new(account, sessions);
        Self { authority, storage, region: region.to_owned(), clock, entropy }
    }

    async fn answer(&self, call: Call, body: &mut Payload) -> Result<HttpResponse, Refusal> {
        call.says_nothing_twice()?;
        let operation = call.operation()?;
        if operation == Operation::PostObject {
            return self.post_object(call, body).await;
        }
        let caller = self.authority.signer(&call)?;
        caller.may(operation.action(), &call.resource(operation), &call.context(operation))?;
        match operation {
            Operation::ListObjects => self.list_objects(&call),
            Operation::ListUploads => self.list_uploads(&call),
            Operation::HeadBucket => Ok(HttpResponse::Ok().finish()),
            Operation::PutObject => self.put_object(&call, body).await,
            Operation::CopyObject => self.copy_object(&call, &caller),
            Operation::GetObject => self.get_object(&call, true),
            Operation::HeadObject => self.get_object(&call, false),
            Operation::DeleteObject => self.delete_object(&call),
            Operation::InitiateUpload => self.initiate(&call),
            Operation::UploadPart => self.upload_part(&call, body).await,
            Operation::ListParts => self.list_parts(&call),
            Operation::CompleteUpload => self.complete(&call, body).await,
            Operation::AbortUpload => self.abort(&call),
            Operation::PostObject => Err(Refusal::NotImplemented("POST".to_owned())),
        }
    }
}

/// Whether the host is COS's: then nothing of the path is the sandbox's own.
pub(super) fn has_cos_host(context: &GuardContext<'_>) -> bool {
    call::host(context.head())
        .is_some_and(|host| host.contains(".myqcloud.com") || Address::of(host, "/", "").is_some())
}

/// What a request wants of COS, as policies call it after `name/cos:`; nothing, if it is not to COS.
pub(super) fn action_of(request: &HttpRequest) -> Option<&'static str> {
    let call = Call::of(request, address_of(request.head(), "")?, jiff::Timestamp::UNIX_EPOCH);
    let action = call.operation().map_or("", Operation::action);
    Some(action.strip_prefix("name/cos:").unwrap_or_default())
}

/// Every request to COS.
pub(super) async fn handle(cos: web::Data<Cos>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let Some(address) = address_of(request.head(), &cos.region) else {
        return nothing(&request, &cos.entropy.hex_id());
    };
    let (now, id) = (fault::now(&request, &*cos.clock), cos.entropy.hex_id());
    let resource = format!("{}/{}", address.bucket, address.key);
    let mut body = payload.into_inner();
    let response = match cos.answer(Call::of(&request, address, now), &mut body).await {
        Ok(response) => response,
        Err(refusal) => {
            drain(&mut body).await;
            refusal.response(&resource, &id)
        }
    };
    headed(response, &id)
}

/// With what every answer of COS carries.
fn headed(mut response: HttpResponse, request_id: &str) -> HttpResponse {
    let headers = response.headers_mut();
    headers.insert(header::SERVER, HeaderValue::from_static("tencent-cos"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(HeaderName::from_static("x-cos-request-id"), id);
    }
    response
}

/// What is said to a request that names no bucket, and nothing else of the sandbox.
fn nothing(request: &HttpRequest, id: &str) -> HttpResponse {
    if request.method() == Method::CONNECT {
        // Clients that get no tunnel seldom show why.
        tracing::info!(
            to = %request.uri(),
            "refused: the sandbox speaks plain HTTP; set your SDK's protocol to http"
        );
        return HttpResponse::NotImplemented()
            .body("the sandbox speaks plain HTTP: set your SDK's protocol to http (`Protocol: 'http:'`, `Scheme='http'`)\n");
    }
    if call::host(request.head()).is_some_and(|host| host.contains(".myqcloud.com")) {
        // Such as the list of all buckets.
        let refusal = Refusal::NotImplemented("a request that names no bucket".to_owned());
        return headed(refusal.response("", id), id);
    }
    HttpResponse::NotFound().body(format!(
        "the sandbox has nothing at {} {}: it is no address of its own, and no bucket is named, by the host (<bucket>-<appid>.cos.localhost) or the path (/<bucket>-<appid>/<key>)\n",
        request.method(),
        request.uri(),
    ))
}

async fn drain(body: &mut Payload) {
    let mut drained = 0;
    while let Some(Ok(chunk)) = body.next().await {
        drained += chunk.len();
        if drained > MOST_DRAINED {
            return;
        }
    }
}

/// A body of at most so many bytes.
async fn collected(body: &mut Payload, most: usize) -> Result<Bytes, Refusal> {
    let mut collected = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| super::storage::Unkept::BrokenOff)?;
        if collected.len() + chunk.len() > most {
            return Err(Refusal::MalformedXml(format!("more than {most} bytes")));
        }
        collected.extend_from_slice(&chunk);
    }
    Ok(collected.freeze())
}
