//! The embedded cloud, for trying and testing: a token issuer, an STS and a COS on loopback.
//!
//! Judges what the broker and its clients send by Tencent's rules, not by the broker's: of the rest of the
//! house it knows CAM's language and the signatures. `serve` never uses it.

mod cos;
mod issuer;
mod presign;
mod session;
mod storage;
mod sts;
mod wire;

use std::{future::ready, sync::Arc};

use actix_cors::Cors;
use actix_http::{HttpService, Protocol};
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{App, dev::AppConfig, guard, web};
use tokio::net::TcpStream;

pub use self::{
    cos::Cos,
    issuer::{IssuerFault, Signature, TokenIssuer, UnknownSignature, Wanted},
    session::{Session, SessionKey},
    storage::Storage,
    sts::{Account, StsEmulator},
};

use self::wire::Wire;
use crate::entropy::Entropy;

/// What the cloud is made of.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// Signs tokens for whoever is named.
    pub issuer: Arc<TokenIssuer>,
    /// Makes keys.
    pub sts: Arc<StsEmulator>,
    /// Keeps objects.
    pub cos: Arc<Cos>,
}

/// Starts the cloud.
///
/// # Errors
/// When the socket cannot be used.
pub fn serve(
    cloud: Cloud,
    listener: std::net::TcpListener,
    entropy: &dyn Entropy,
) -> std::io::Result<Server> {
    let wire = Wire::new(&entropy.name());
    let server = Server::build().workers(1).shutdown_timeout(1).disable_signals();
    // What `actix_web::HttpServer` does, with a `Wire` between the socket and HTTP.
    let server = server.listen("cloud", listener, move || {
        let app = App::new()
            .configure(|services| routes(services, &cloud))
            .wrap(open_to_pages())
            .wrap(wire.marks());
        let app = app.into_factory().map_err(|error: actix_web::Error| error.error_response());
        let wire = wire.clone();
        fn_service(move |socket: TcpStream| {
            let peer = socket.peer_addr().ok();
            ready(Ok((wire.cased(socket), Protocol::Http1, peer)))
        })
        .and_then(HttpService::build().finish(map_config(app, |()| AppConfig::default())))
    })?;
    Ok(server.run())
}

fn routes(services: &mut web::ServiceConfig, cloud: &Cloud) {
    let cos_host = guard::fn_guard(cos::has_cos_host);
    services
        .app_data(web::Data::from(Arc::clone(&cloud.issuer)))
        .app_data(web::Data::from(Arc::clone(&cloud.sts)))
        .app_data(web::Data::from(Arc::clone(&cloud.cos)))
        .service(web::scope("").guard(cos_host).default_service(web::to(cos::handle)))
        .route("/", web::post().to(sts::handle))
        .route("/", web::get().guard(guard::fn_guard(sts::is_call)).to(sts::handle))
        .route("/presign", web::post().to(presign::handle))
        .route("/token", web::get().to(issuer::token))
        .route("/rotate", web::post().to(issuer::rotate))
        .route("/jwks.json", web::get().to(issuer::jwks))
        .route("/.well-known/openid-configuration", web::get().to(issuer::discovery))
        .default_service(web::to(cos::handle));
}

/// Pages of any origin may come: nothing here is real, and a bucket that browsers upload to is as open.
fn open_to_pages() -> Cors {
    Cors::default()
        .allow_any_origin()
        .allow_any_method()
        .allow_any_header()
        .expose_any_header()
        .send_wildcard()
        .max_age(600)
}
