//! `/faults`: ask for faults, see how often they struck, take them back.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::json;

use super::{Entry, Faults, rule::Fault};
use crate::taking;

const EXAMPLE: &str = r#"{"on": "sts", "fault": "throttle", "times": 1}"#;

/// The routes.
pub(crate) fn control(services: &mut web::ServiceConfig) {
    services
        .service(
            taking("GET, POST, DELETE", "/faults")
                .route(web::get().to(list))
                .route(web::post().to(add))
                .route(web::delete().to(clear)),
        )
        .service(taking("DELETE", "/faults/{id}").route(web::delete().to(remove)));
}

#[derive(Serialize)]
struct List<'a> {
    faults: &'a [Entry],
}

async fn list(faults: web::Data<Faults>) -> HttpResponse {
    HttpResponse::Ok().json(List { faults: &faults.table().entries })
}

async fn add(faults: web::Data<Faults>, body: web::Bytes) -> HttpResponse {
    match serde_json::from_slice::<Fault>(&body) {
        Ok(fault) => {
            let added = faults.table().add(fault);
            tracing::info!(fault = %json!(added), "a fault is asked for");
            HttpResponse::Created().json(added)
        }
        Err(error) => HttpResponse::BadRequest()
            .body(format!("no fault is added: {error}; a fault is written like {EXAMPLE}\n")),
    }
}

async fn clear(faults: web::Data<Faults>) -> HttpResponse {
    faults.table().entries.clear();
    HttpResponse::NoContent().finish()
}

async fn remove(faults: web::Data<Faults>, id: web::Path<String>) -> HttpResponse {
    if id.parse().is_ok_and(|id| faults.table().remove(id)) {
        HttpResponse::NoContent().finish()
    } else {
        HttpResponse::NotFound().body(format!("there is no fault {id}; GET /faults lists them\n"))
    }
}
