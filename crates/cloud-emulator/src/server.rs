//! The emulated cloud as one HTTP server.

use std::{future::ready, sync::Arc};

use actix_http::{HttpService, Protocol};
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{App, dev::AppConfig, guard, middleware, web};
use tokio::net::TcpStream;

use crate::{
    account::Account,
    account_policies::{self, AccountPolicies},
    clock::{self, MovableClock},
    cors::{allow_any_origin, tidy_cors_headers},
    cos::{self, CosEmulator, CosParts},
    demo::{self, DemoPage},
    fault::{self, FaultRegistry},
    header_case::{HeaderCaseRewriter, HeaderCaseStream},
    issuer::{self, IssuerError, TokenIssuer},
    presign::presign,
    routing::resource_allowing,
    session::SessionKey,
    storage::Storage,
    sts::{self, StsEmulator},
    weakness::Weakness,
};
use runtime::{clock::Clock, entropy::Entropy};

/// The settings of an emulated cloud.
#[derive(Debug)]
pub struct EmulatorConfig {
    /// The token issuer's name (`iss`): the URL of the emulator, with a `/` at the end.
    pub issuer_url: String,
    /// The audience (`aud`) of the issuer's tokens.
    pub audience: String,
    /// The account with permanent keys.
    pub account: Account,
    /// Seals the session tokens of temporary credentials.
    pub session_key: SessionKey,
    /// Where objects are stored.
    pub storage: Storage,
    /// The region of buckets whose host name has none.
    pub default_region: String,
    /// A mistake that COS makes, for a test that must find it.
    pub weakness: Option<Weakness>,
}

/// An emulated cloud: a token issuer, an STS, a COS, and injected faults.
#[derive(Debug, Clone)]
pub struct CloudEmulator {
    account_policies: Arc<AccountPolicies>,
    issuer: Arc<TokenIssuer>,
    sts: Arc<StsEmulator>,
    cos: Arc<CosEmulator>,
    faults: Arc<FaultRegistry>,
    clock: Arc<MovableClock>,
    header_case: HeaderCaseRewriter,
    demo_page: Option<Arc<DemoPage>>,
}

impl CloudEmulator {
    /// Creates a cloud that uses this clock.
    ///
    /// # Errors
    /// If the system provides no random bytes for the issuer's keys.
    pub fn new(
        config: EmulatorConfig,
        clock: &Arc<MovableClock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, IssuerError> {
        let EmulatorConfig { issuer_url, audience, account, session_key, storage, default_region, weakness } =
            config;
        let time: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
        let session_key = Arc::new(session_key);
        let account_policies = Arc::<AccountPolicies>::default();
        let issuer = TokenIssuer::new(&issuer_url, &audience, Arc::clone(&time))?;
        let sts = StsEmulator::new(
            account.clone(),
            Arc::clone(&account_policies),
            Arc::clone(&session_key),
            Arc::clone(&time),
            Arc::clone(entropy),
        );
        let parts = CosParts {
            account,
            account_policies: Arc::clone(&account_policies),
            session_key,
            storage,
            default_region,
            weakness,
        };
        let cos = CosEmulator::new(parts, time, Arc::clone(entropy));
        Ok(Self {
            account_policies,
            issuer: Arc::new(issuer),
            sts: Arc::new(sts),
            cos: Arc::new(cos),
            faults: Arc::new(FaultRegistry::new(Arc::clone(entropy))),
            clock: Arc::clone(clock),
            header_case: HeaderCaseRewriter::new(&entropy.hex_id()),
            demo_page: None,
        })
    }

    /// Adds the demo page at `/`.
    #[must_use]
    pub fn with_demo_page(self, demo_page: DemoPage) -> Self {
        Self { demo_page: Some(Arc::new(demo_page)), ..self }
    }

    /// Returns the token issuer.
    pub fn issuer(&self) -> &Arc<TokenIssuer> {
        &self.issuer
    }

    /// Returns the STS emulator.
    pub fn sts(&self) -> &Arc<StsEmulator> {
        &self.sts
    }

    /// Starts to serve on a socket. The server runs until it is stopped or dropped.
    ///
    /// # Errors
    /// If the socket cannot be used.
    pub fn serve(self, listener: std::net::TcpListener) -> std::io::Result<Server> {
        let server = Server::build().workers(1).shutdown_timeout(1).disable_signals();
        // The same as `actix_web::HttpServer`, with the header case rewritten between the socket and HTTP.
        let server = server.listen("cloud", listener, move || {
            let app = App::new()
                .configure(|services| self.routes(services))
                .wrap(middleware::from_fn(fault::inject_faults))
                // Outside of the faults: a web page cannot read a response without these headers.
                .wrap(allow_any_origin())
                .wrap(middleware::from_fn(tidy_cors_headers))
                .wrap(self.header_case.marker_middleware());
            let app = app.into_factory().map_err(|error: actix_web::Error| error.error_response());
            let http = HttpService::build()
                .on_connect_ext(|io: &HeaderCaseStream<TcpStream>, data| {
                    fault::remember_connection(io.get_ref(), data);
                })
                .finish(map_config(app, |()| AppConfig::default()));
            let header_case = self.header_case.clone();
            let connection = fn_service(move |socket: TcpStream| {
                // The head is sent in a packet of its own. With Nagle's algorithm the body would wait 40 ms for
                // its acknowledgement.
                if let Err(error) = socket.set_nodelay(true) {
                    tracing::warn!(%error, "responses on this connection are delayed");
                }
                let peer = socket.peer_addr().ok();
                ready(Ok((header_case.wrap(socket), Protocol::Http1, peer)))
            });
            connection.and_then(http)
        })?;
        Ok(server.run())
    }

    fn routes(&self, services: &mut web::ServiceConfig) {
        services
            .app_data(web::Data::from(Arc::clone(&self.account_policies)))
            .app_data(web::Data::from(Arc::clone(&self.issuer)))
            .app_data(web::Data::from(Arc::clone(&self.sts)))
            .app_data(web::Data::from(Arc::clone(&self.cos)))
            .app_data(web::Data::from(Arc::clone(&self.faults)))
            .app_data(web::Data::from(Arc::clone(&self.clock)))
            .service(
                web::scope("")
                    .guard(guard::fn_guard(cos::has_cos_host))
                    .default_service(web::to(cos::handle)),
            )
            .configure(account_policies::routes)
            .configure(fault::routes)
            .configure(clock::routes)
            .configure(sts::routes)
            .configure(|services| demo::routes(self.demo_page.as_ref(), services))
            .service(resource_allowing("POST", "/presign").route(web::post().to(presign)))
            .configure(issuer::routes)
            .default_service(web::to(cos::handle));
    }
}
