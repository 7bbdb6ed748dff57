//! Routes with a helpful answer to a wrong HTTP method.

use std::future::ready;

use actix_web::{HttpResponse, Resource, http::header::ALLOW, web};

/// A resource that answers other methods than `methods` with 405 and the list of allowed ones.
pub(crate) fn resource_allowing(methods: &'static str, path: &str) -> Resource {
    web::resource(path.to_owned()).default_service(web::to(move || ready(method_not_allowed(methods))))
}

fn method_not_allowed(methods: &'static str) -> HttpResponse {
    HttpResponse::MethodNotAllowed()
        .insert_header((ALLOW, methods))
        .body(format!("this method is not allowed here; send {}\n", methods.replace(", ", " or ")))
}
