//! The embedded cloud, for trying and testing: a token issuer and an STS emulator on loopback.
//!
//! Judges what the broker sends by Tencent's rules, not by the broker's: of the rest of the house it
//! knows CAM's language and the signature. `serve` never uses it.

mod issuer;
mod session;
mod sts;

use std::sync::Arc;

use actix_web::{App, HttpResponse, HttpServer, dev::Server, web};

pub use self::{
    issuer::TokenIssuer,
    session::{Session, SessionKey},
    sts::{Account, StsEmulator},
};

/// What the cloud is made of.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// Signs tokens for whoever is named.
    pub issuer: Arc<TokenIssuer>,
    /// Makes keys.
    pub sts: Arc<StsEmulator>,
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
            .route("/", web::post().to(sts::handle))
            .route("/token", web::get().to(issuer::token))
            .route("/jwks.json", web::get().to(issuer::jwks))
            .route("/.well-known/openid-configuration", web::get().to(issuer::discovery))
            .default_service(web::to(nothing))
    })
    .workers(1)
    .shutdown_timeout(1)
    .disable_signals()
    .listen(listener)?;
    Ok(server.run())
}

async fn nothing() -> HttpResponse {
    HttpResponse::NotFound().body("the sandbox has POST / (STS), /token?sub=, /jwks.json\n")
}
