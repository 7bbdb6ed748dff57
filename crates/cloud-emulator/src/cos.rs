//! The COS emulator: stores objects, and allows a request only if the key that signed it may make it, by the same
//! rules as the real COS.
//!
//! The permissions of a key are in its session token, sealed there by the emulated STS; the broker is not involved.

mod address;
mod append;
mod auth;
mod body;
mod bucket;
mod bucket_policy;
mod condition;
mod content_type;
mod delete;
mod emulator;
mod error;
mod form;
mod form_error;
mod form_policy;
mod list;
mod object;
mod operation;
mod processing;
mod request;
mod response;
mod service;
mod tagging;
mod upload;
mod xml;

use actix_web::{HttpRequest, HttpResponse, dev::Payload, guard::GuardContext, http::Method, web};

use self::{
    address::Address,
    auth::Caller,
    error::CosError,
    operation::Operation,
    request::{CosRequest, address_of},
};
pub(crate) use self::{
    emulator::{CosEmulator, CosParts},
    error::error_response,
    operation::ACTIONS,
};
use crate::{injected, weakness::Weakness};

/// The domains of all COS hosts, and of other services of the vendor.
const COS_DOMAINS: [&str; 2] = [".myqcloud.com", ".tencentcos.cn"];

fn is_in_cos_domain(host: &str) -> bool {
    COS_DOMAINS.iter().any(|domain| host.contains(domain))
}

impl CosEmulator {
    async fn answer(&self, request: CosRequest, body: &mut Payload) -> Result<HttpResponse, CosError> {
        request.refuse_duplicates()?;
        if let Some(response) = self.by_weakness(&request)? {
            return Ok(response);
        }
        let operation = request.operation()?;
        match operation {
            Operation::PostObject => return self.post_object(request, body).await,
            // A complete preflight is answered before it comes here, for every origin.
            Operation::OptionsObject => {
                return Err(CosError::InvalidArgument(
                    "A preflight has the headers Origin and Access-Control-Request-Method.".to_owned(),
                ));
            }
            _ => {}
        }
        let caller = self.authenticator.authenticate(&request)?;
        match operation {
            Operation::PutBucket => return Err(bucket::put_bucket(&caller)),
            Operation::DeleteObjects => return self.delete_objects(&request, &caller, body).await,
            _ => {}
        }
        let resource = request.resource(operation);
        self.authorize(&caller, operation.action(), &resource, &request.context(operation))?;
        let further_writes = self.further_writes(&request, &caller)?;
        let response = self.carry_out(operation, &request, &caller, body).await?;
        self.write_further(operation, &request, &further_writes, response).await
    }

    /// Carries out an operation that the caller may request.
    async fn carry_out(
        &self,
        operation: Operation,
        request: &CosRequest,
        caller: &Caller,
        body: &mut Payload,
    ) -> Result<HttpResponse, CosError> {
        match operation {
            Operation::ListObjects => self.list_objects(request),
            Operation::ListUploads => self.list_uploads(request),
            Operation::HeadBucket => Ok(HttpResponse::Ok().finish()),
            Operation::PutObject => self.put_object(request, body).await,
            Operation::CopyObject => self.copy_object(request, caller),
            Operation::GetObject => self.get_object(request, true),
            Operation::HeadObject => self.get_object(request, false),
            Operation::DeleteObject => self.delete_object(request),
            Operation::InitiateUpload => self.initiate_upload(request),
            Operation::UploadPart => self.upload_part(request, body).await,
            Operation::ListParts => self.list_parts(request),
            Operation::CompleteUpload => self.complete_upload(request, body).await,
            Operation::AbortUpload => self.abort_upload(request),
            Operation::UploadPartCopy => self.upload_part_copy(request, caller).await,
            Operation::AppendObject => self.append_object(request, body).await,
            Operation::ProcessObject => self.process_object(request),
            Operation::PutTagging => self.put_tagging(request, body).await,
            Operation::GetTagging => self.get_tagging(request),
            Operation::DeleteTagging => self.delete_tagging(request),
            Operation::PutBucketPolicy => self.put_bucket_policy(request, body).await,
            Operation::GetBucketPolicy => self.get_bucket_policy(request),
            Operation::DeleteBucketPolicy => Ok(self.delete_bucket_policy(request)),
            Operation::PostObject
            | Operation::OptionsObject
            | Operation::PutBucket
            | Operation::DeleteObjects => Err(CosError::NotImplemented(operation.action().to_owned())),
        }
    }

    /// Answers a request that only a COS with a weakness answers so.
    fn by_weakness(&self, request: &CosRequest) -> Result<Option<HttpResponse>, CosError> {
        if let Some(shown) = self.unchecked_watermark(request) {
            let caller = self.authenticator.authenticate(request)?;
            let operation = Operation::GetObject;
            let resource = request.resource(operation);
            self.authorize(&caller, operation.action(), &resource, &request.context(operation))?;
            return self.get_object(&request.at(shown), true).map(Some);
        }
        let is_of_slashes = request.path.len() > 1 && request.path.bytes().all(|byte| byte == b'/');
        if self.weakness == Some(Weakness::UncheckedSlashes) && is_of_slashes {
            return self.list_objects(request).map(Some);
        }
        Ok(None)
    }
}

/// Whether the host is a COS host. Then no path is one of the sandbox's own.
pub(crate) fn has_cos_host(context: &GuardContext<'_>) -> bool {
    request::host(context.head())
        .is_some_and(|host| is_in_cos_domain(host) || Address::parse(host, "/", "").is_some())
}

/// Whether a request names a bucket, by its host or its path.
pub(crate) fn names_bucket(request: &HttpRequest) -> bool {
    address_of(request.head(), "").is_some()
}

/// Returns the CAM action of a request, without `name/cos:`; `None` if the emulator does not have the operation.
pub(crate) fn action_of(request: &HttpRequest) -> Option<&'static str> {
    let address = address_of(request.head(), "")?;
    let request = CosRequest::new(request, address, jiff::Timestamp::UNIX_EPOCH);
    request.operation().ok()?.action().strip_prefix("name/cos:")
}

/// Handles every request that is to COS or to no other part of the sandbox.
pub(crate) async fn handle(
    cos: web::Data<CosEmulator>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let request_id = cos.entropy.hex_id();
    let now = injected::now(&request, &*cos.clock);
    let mut body = payload.into_inner();
    if let Some(service) = request::host(request.head()).and_then(address::other_service) {
        body::drain(&mut body).await;
        let error = CosError::NotImplemented(format!("the service `{service}`"));
        return error.response(None, &request_id, now);
    }
    let Some(address) = address_of(request.head(), &cos.default_region) else {
        return without_bucket(&cos, &request, &request_id, now);
    };
    let resource = format!("{}/{}", address.bucket, address.key);
    let response = match cos.answer(CosRequest::new(&request, address, now), &mut body).await {
        Ok(response) => response,
        Err(error) => {
            body::drain(&mut body).await;
            error.response(Some(&resource), &request_id, now)
        }
    };
    response::with_common_headers(response, &request_id)
}

/// Answers a request that names no bucket and no route of the sandbox.
fn without_bucket(
    cos: &CosEmulator,
    request: &HttpRequest,
    request_id: &str,
    now: jiff::Timestamp,
) -> HttpResponse {
    if request.method() == Method::CONNECT {
        // Clients seldom show why a proxy refused a tunnel, so it is logged.
        tracing::info!(
            to = %request.uri(),
            "refused CONNECT: the sandbox speaks plain HTTP; set your SDK's protocol to http"
        );
        return HttpResponse::NotImplemented()
            .body("the sandbox speaks plain HTTP: set your SDK's protocol to http (`Protocol: 'http:'`, `Scheme='http'`)\n");
    }
    if let Some(host) = request::host(request.head()).filter(|host| is_in_cos_domain(host)) {
        let listed = if request.method() == Method::GET && request.path() == "/" {
            let address = Address::of_service(host, &cos.default_region);
            cos.list_buckets(&CosRequest::new(request, address, now))
        } else {
            Err(CosError::NotImplemented("a request that names no bucket".to_owned()))
        };
        return match listed {
            Ok(response) => response::with_common_headers(response, request_id),
            Err(error) => error.response(None, request_id, now),
        };
    }
    HttpResponse::NotFound().body(format!(
        "the sandbox has nothing at {} {}: this is none of its own routes, and neither the host (<bucket>-<appid>.cos.localhost) nor the path (/<bucket>-<appid>/<key>) names a bucket\n",
        request.method(),
        request.uri(),
    ))
}
