//! `/faults`: adds, lists and removes faults.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::json;

use super::{
    registry::{FaultEntry, FaultRegistry},
    rule::Fault,
};
use crate::routing::resource_allowing;

const EXAMPLE: &str = r#"{"on": "sts", "fault": "throttle", "times": 1}"#;

/// Adds the routes of `/faults`.
pub(crate) fn routes(services: &mut web::ServiceConfig) {
    services
        .service(
            resource_allowing("GET, POST, DELETE", "/faults")
                .route(web::get().to(list))
                .route(web::post().to(add))
                .route(web::delete().to(clear)),
        )
        .service(resource_allowing("DELETE", "/faults/{id}").route(web::delete().to(remove)));
}

#[derive(Serialize)]
struct ListResponse<'a> {
    faults: &'a [FaultEntry],
}

async fn list(registry: web::Data<FaultRegistry>) -> HttpResponse {
    HttpResponse::Ok().json(ListResponse { faults: registry.list().entries() })
}

async fn add(registry: web::Data<FaultRegistry>, body: web::Bytes) -> HttpResponse {
    match serde_json::from_slice::<Fault>(&body) {
        Ok(fault) => {
            let added = registry.list().add(fault);
            tracing::info!(fault = %json!(added), "a fault was added");
            HttpResponse::Created().json(added)
        }
        Err(error) => HttpResponse::BadRequest()
            .body(format!("the fault was not added: {error}; a fault is written like {EXAMPLE}\n")),
    }
}

async fn clear(registry: web::Data<FaultRegistry>) -> HttpResponse {
    registry.list().clear();
    HttpResponse::NoContent().finish()
}

async fn remove(registry: web::Data<FaultRegistry>, id: web::Path<String>) -> HttpResponse {
    if id.parse().is_ok_and(|id| registry.list().remove(id)) {
        HttpResponse::NoContent().finish()
    } else {
        HttpResponse::NotFound().body(format!("there is no fault {id}; GET /faults lists them\n"))
    }
}
