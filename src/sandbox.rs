//! The embedded cloud, for trying and testing: a token issuer, an STS and a COS on loopback.
//!
//! Judges what the broker and its clients send by Tencent's rules, not by the broker's: of the rest of the
//! house it knows CAM's language and the signatures. `serve` never uses it.

mod cos;
mod issuer;
mod session;
mod storage;
mod sts;

use std::sync::Arc;

use actix_cors::Cors;
use actix_web::{App, HttpServer, dev::Server, guard, web};

pub use self::{
    cos::Cos,
    issuer::TokenIssuer,
    session::{Session, SessionKey},
    storage::Storage,
    sts::{Account, StsEmulator},
};

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
pub fn serve(cloud: Cloud, listener: std::net::TcpListener) -> std::io::Result<Server> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::from(Arc::clone(&cloud.issuer)))
            .app_data(web::Data::from(Arc::clone(&cloud.sts)))
            .app_data(web::Data::from(Arc::clone(&cloud.cos)))
            // Pages of any origin may come: nothing here is real, and a bucket for browsers is open alike.
            .wrap(
                Cors::default()
                    .allow_any_origin()
                    .allow_any_method()
                    .allow_any_header()
                    .expose_any_header()
                    .send_wildcard()
                    .max_age(600),
            )
            .service(
                web::scope("")
                    .guard(guard::fn_guard(cos::has_bucket_host))
                    .default_service(web::to(cos::handle)),
            )
            .route("/", web::post().to(sts::handle))
            .route("/token", web::get().to(issuer::token))
            .route("/jwks.json", web::get().to(issuer::jwks))
            .route("/.well-known/openid-configuration", web::get().to(issuer::discovery))
            .default_service(web::to(cos::handle))
    })
    .workers(1)
    .shutdown_timeout(1)
    .disable_signals()
    .listen(listener)?;
    Ok(server.run())
}
