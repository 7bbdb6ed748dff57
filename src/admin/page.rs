//! The operators' page: what a person sees in a browser, drawn here, whole without a script.
//!
//! Asks for what [`Status`](super::status) and the broker tell, and changes what the API changes, the same
//! way.

mod advice;
mod chart;
mod layout;
mod overview;
mod people;
mod quantity;
mod refusals;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
    },
    web,
};
use maud::{Markup, html};
use serde::{Deserialize, de::DeserializeOwned};

use self::{
    advice::Question,
    people::{Act, Search},
};
use super::{
    AdminState,
    api::client,
    auth,
    keys::{Named, Refused},
    taking,
};
use crate::http::query;
use diagnostics::printable;

pub(super) fn routes(services: &mut web::ServiceConfig) {
    services
        .service(taking("GET", "/").route(web::get().to(overview)))
        .service(taking("GET", "/keys").route(web::get().to(keys)))
        .service(
            taking("GET, POST", "/revoke")
                .route(web::get().to(about_to_revoke))
                .route(web::post().to(revoke)),
        )
        .service(
            taking("GET, POST", "/restore")
                .route(web::get().to(about_to_restore))
                .route(web::post().to(restore)),
        )
        .service(taking("GET", "/advise").route(web::get().to(advise)))
        .service(taking("GET, POST", LOGIN).route(web::get().to(home)).route(web::post().to(login)))
        .service(taking("POST", LOGOUT).route(web::post().to(logout)))
        .service(taking("GET", STYLE).route(web::get().to(style)))
        .service(taking("GET", "/operators.js").route(web::get().to(script)));
}

/// Where the token is shown.
const LOGIN: &str = "/login";
/// Where that is taken back.
const LOGOUT: &str = "/logout";
/// How every page looks, this side of the door and the other.
const STYLE: &str = "/operators.css";

/// What is open to who is not let in.
pub(super) const OUTSIDE: [&str; 2] = [LOGIN, STYLE];

/// Nothing inline, nothing from elsewhere, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

fn guarded(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        // Names stand in addresses. With none at all, browsers would not say which page sends a form.
        .insert_header((REFERRER_POLICY, "same-origin"));
    response
}

fn shown(status: StatusCode, page: Markup) -> HttpResponse {
    guarded(HttpResponse::build(status)).content_type("text/html; charset=utf-8").body(page.into_string())
}

/// What `work` makes of the rooms, away from the thread that serves.
async fn drawn(
    operators: web::Data<AdminState>,
    work: impl FnOnce(&AdminState) -> Result<Markup, Refused> + Send + 'static,
) -> HttpResponse {
    let drawn = web::block(move || work(&operators)).await;
    match drawn.unwrap_or_else(|error| Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))) {
        Ok(page) => shown(StatusCode::OK, page),
        Err((status, problem)) => refused(status, &problem),
    }
}

fn refused(status: StatusCode, problem: &str) -> HttpResponse {
    let page = layout::page(
        "Refused",
        false,
        &html! {
            section.principal { h2 { "This was not done" } p { (printable(problem)) } p { a href="/" { "Overview" } } }
        },
    );
    shown(status, page)
}

fn asked<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Refused> {
    query(request).map_err(|problem| (StatusCode::BAD_REQUEST, problem))
}

async fn overview(operators: web::Data<AdminState>) -> HttpResponse {
    drawn(operators, |operators| {
        let leave = operators.auth.is_locked().then_some(LOGOUT);
        Ok(overview::page(&operators.status(), &operators.issuers, leave))
    })
    .await
}

async fn keys(operators: web::Data<AdminState>, request: HttpRequest) -> HttpResponse {
    let search = asked::<Search>(&request);
    drawn(operators, move |operators| {
        let (search, cache) = (search?, &operators.services.cache);
        let living = cache.active_credentials(&search.filter());
        Ok(people::keys(&operators.issuers, &search, &living, &cache.revoked()))
    })
    .await
}

async fn advise(operators: web::Data<AdminState>, request: HttpRequest) -> HttpResponse {
    let question = asked::<Question>(&request);
    drawn(operators, move |operators| {
        let question = question?;
        let what_if = question.what_if().map_err(|problem| (StatusCode::BAD_REQUEST, problem.to_string()))?;
        Ok(advice::page(&question, &operators.services.cache.advice(&what_if)))
    })
    .await
}

async fn about_to_revoke(operators: web::Data<AdminState>, request: HttpRequest) -> HttpResponse {
    about_to(Act::Revoke, operators, &request).await
}

async fn about_to_restore(operators: web::Data<AdminState>, request: HttpRequest) -> HttpResponse {
    about_to(Act::Restore, operators, &request).await
}

async fn about_to(act: Act, operators: web::Data<AdminState>, request: &HttpRequest) -> HttpResponse {
    let named = asked::<Named>(request);
    drawn(operators, move |operators| {
        let named = named?;
        let issuer = operators.issuer(named.issuer)?;
        let filter = people::theirs(&issuer, &named.subject);
        let living = operators.services.cache.active_credentials(&filter);
        Ok(people::confirm(act, &issuer, &named.subject, &living))
    })
    .await
}

async fn revoke(
    operators: web::Data<AdminState>,
    request: HttpRequest,
    named: Result<web::Form<Named>, actix_web::Error>,
) -> HttpResponse {
    act(Act::Revoke, operators, &request, named).await
}

async fn restore(
    operators: web::Data<AdminState>,
    request: HttpRequest,
    named: Result<web::Form<Named>, actix_web::Error>,
) -> HttpResponse {
    act(Act::Restore, operators, &request, named).await
}

async fn act(
    act: Act,
    operators: web::Data<AdminState>,
    request: &HttpRequest,
    named: Result<web::Form<Named>, actix_web::Error>,
) -> HttpResponse {
    if auth::is_from_a_page_elsewhere(request.headers()) {
        return refused(StatusCode::FORBIDDEN, "a page of another site asked for this");
    }
    let client = client(request);
    let named = named.map_err(|error| (StatusCode::BAD_REQUEST, format!("the form cannot be read: {error}")));
    drawn(operators, move |operators| {
        let web::Form(named) = named?;
        let revocation = match act {
            Act::Revoke => operators.revoke(named, client),
            Act::Restore => operators.restore(named, client),
        }?;
        Ok(people::done(act, &revocation))
    })
    .await
}

/// The token, as typed.
#[derive(Deserialize)]
struct Shown {
    token: String,
}

/// What a browser is shown that has not been let in.
pub(super) fn outside(problem: Option<&str>) -> HttpResponse {
    let page = layout::auth(LOGIN, problem);
    shown(StatusCode::UNAUTHORIZED, page)
}

async fn login(
    operators: web::Data<AdminState>,
    request: HttpRequest,
    typed: Option<web::Form<Shown>>,
) -> HttpResponse {
    if auth::is_from_a_page_elsewhere(request.headers()) {
        return refused(StatusCode::FORBIDDEN, "a page of another site asked for this");
    }
    // Whoever claims it falsely gets a cookie that is used less, not more.
    let secure = request.connection_info().scheme() == "https";
    let token = typed.as_ref().map_or("", |typed| typed.token.trim());
    if let Some(cookie) = operators.auth.open(token, secure, operators.services.clock.now()) {
        return guarded(HttpResponse::SeeOther()).cookie(cookie).insert_header((LOCATION, "/")).finish();
    }
    operators.turn_away(client(&request));
    outside(Some("That is not the token of [admin]."))
}

/// A browser that goes to where the token was sent.
async fn home() -> HttpResponse {
    guarded(HttpResponse::SeeOther()).insert_header((LOCATION, "/")).finish()
}

async fn logout(request: HttpRequest) -> HttpResponse {
    if auth::is_from_a_page_elsewhere(request.headers()) {
        return refused(StatusCode::FORBIDDEN, "a page of another site asked for this");
    }
    guarded(HttpResponse::SeeOther()).cookie(auth::shut()).insert_header((LOCATION, "/")).finish()
}

async fn style() -> HttpResponse {
    guarded(HttpResponse::Ok())
        .content_type("text/css; charset=utf-8")
        .body(include_str!("page/operators.css"))
}

async fn script() -> HttpResponse {
    guarded(HttpResponse::Ok())
        .content_type("text/javascript; charset=utf-8")
        .body(include_str!("page/operators.js"))
}
