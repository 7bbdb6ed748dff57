//! The embedded cloud, for trying and testing: a token issuer, an STS and a COS on loopback.
//!
//! Judges what the broker and its clients send by Tencent's rules, not by the broker's: of the rest of the
//! house it knows CAM's language and the signatures. `serve` never uses it.

mod clock;
mod cos;
mod demo;
mod fault;
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
use actix_web::{App, HttpResponse, Resource, dev::AppConfig, guard, http::header::ALLOW, middleware, web};
use tokio::net::TcpStream;

pub use self::{
    clock::MovableClock,
    demo::Demo,
    issuer::{IssuerFault, Signature, TokenIssuer, UnknownSignature, Wanted},
    session::{Session, SessionKey},
    storage::Storage,
    sts::{Account, StsEmulator},
};

use self::{
    cos::Cos,
    fault::Faults,
    wire::{Cased, Wire},
};
use runtime::{clock::Clock, entropy::Entropy};

/// What a cloud is made of.
#[derive(Debug)]
pub struct EmulatorConfig<'a> {
    /// The name of its token issuer, and the audience of its tokens.
    pub issuer: (&'a str, &'a str),
    /// Whose cloud it is.
    pub account: Account,
    /// What seals its session tokens.
    pub sessions: SessionKey,
    /// Where objects go.
    pub storage: Storage,
    /// Where buckets are whose address does not say.
    pub region: &'a str,
}

/// A cloud: it signs tokens for whoever is named, makes keys, keeps objects, and fails as it is asked to.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// Signs tokens.
    pub issuer: Arc<TokenIssuer>,
    /// Makes keys.
    pub sts: Arc<StsEmulator>,
    cos: Arc<Cos>,
    faults: Arc<Faults>,
    clock: Arc<MovableClock>,
    wire: Wire,
    demo: Option<Arc<Demo>>,
}

impl Cloud {
    /// A cloud that goes by this clock.
    ///
    /// # Errors
    /// When the machine gives no randomness for the issuer's keys.
    pub fn new(
        plan: EmulatorConfig<'_>,
        clock: &Arc<MovableClock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, IssuerFault> {
        let EmulatorConfig { issuer: (name, audience), account, sessions, storage, region } = plan;
        let time: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
        let sessions = Arc::new(sessions);
        let sts =
            StsEmulator::new(account.clone(), Arc::clone(&sessions), Arc::clone(&time), Arc::clone(entropy));
        let cos = Cos::new(account, sessions, storage, region, Arc::clone(&time), Arc::clone(entropy));
        Ok(Self {
            issuer: Arc::new(TokenIssuer::new(name, audience, time)?),
            sts: Arc::new(sts),
            cos: Arc::new(cos),
            faults: Arc::new(Faults::new(Arc::clone(entropy))),
            clock: Arc::clone(clock),
            wire: Wire::new(&entropy.hex_id()),
            demo: None,
        })
    }

    /// With a page at `/` to try it.
    #[must_use]
    pub fn with(self, demo: Demo) -> Self {
        Self { demo: Some(Arc::new(demo)), ..self }
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub fn serve(self, listener: std::net::TcpListener) -> std::io::Result<Server> {
        let server = Server::build().workers(1).shutdown_timeout(1).disable_signals();
        // What `actix_web::HttpServer` does, with a `Wire` between the socket and HTTP.
        let server = server.listen("cloud", listener, move || {
            let app = App::new()
                .configure(|services| routes(services, &self))
                .wrap(middleware::from_fn(fault::strike))
                // Outside the faults: to a page, an answer without these is no answer.
                .wrap(open_to_pages())
                .wrap(self.wire.marks());
            let app = app.into_factory().map_err(|error: actix_web::Error| error.error_response());
            let http = HttpService::build()
                .on_connect_ext(|io: &Cased<TcpStream>, data| fault::connected(io.socket(), data))
                .finish(map_config(app, |()| AppConfig::default()));
            let wire = self.wire.clone();
            let cased = fn_service(move |socket: TcpStream| {
                // A head leaves by itself (`Wire`): held back until it is acknowledged, a body would be 40 ms late.
                if let Err(error) = socket.set_nodelay(true) {
                    tracing::warn!(%error, "answers on this connection are late");
                }
                let peer = socket.peer_addr().ok();
                ready(Ok((wire.cased(socket), Protocol::Http1, peer)))
            });
            cased.and_then(http)
        })?;
        Ok(server.run())
    }
}

fn routes(services: &mut web::ServiceConfig, cloud: &Cloud) {
    let cos_host = guard::fn_guard(cos::has_cos_host);
    services
        .app_data(web::Data::from(Arc::clone(&cloud.issuer)))
        .app_data(web::Data::from(Arc::clone(&cloud.sts)))
        .app_data(web::Data::from(Arc::clone(&cloud.cos)))
        .app_data(web::Data::from(Arc::clone(&cloud.faults)))
        .app_data(web::Data::from(Arc::clone(&cloud.clock)))
        .service(web::scope("").guard(cos_host).default_service(web::to(cos::handle)))
        .configure(fault::control)
        .configure(clock::control)
        .route("/", web::post().to(sts::handle))
        .route("/", web::get().guard(guard::fn_guard(sts::is_call)).to(sts::handle))
        .configure(|services| demo::routes(cloud.demo.as_ref(), services))
        .service(taking("POST", "/presign").route(web::post().to(presign::handle)))
        .service(taking("GET", "/token").route(web::get().to(issuer::token)))
        .service(taking("POST", "/rotate").route(web::post().to(issuer::rotate)))
        .service(taking("GET", "/jwks.json").route(web::get().to(issuer::jwks)))
        .route("/.well-known/openid-configuration", web::get().to(issuer::discovery))
        .default_service(web::to(cos::handle));
}

/// A place of the sandbox's own, which tells who comes by another method what it takes.
fn taking(methods: &'static str, path: &str) -> Resource {
    let refused = move || async move {
        HttpResponse::MethodNotAllowed()
            .insert_header((ALLOW, methods))
            .body(format!("this takes no such method; send {}\n", methods.replace(", ", " or ")))
    };
    web::resource(path.to_owned()).default_service(web::to(refused))
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
