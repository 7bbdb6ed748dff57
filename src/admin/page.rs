//! The operators' page: HTML that is complete without scripts.
//!
//! It shows what the API responds with, and changes state through the same methods.

mod advice;
mod chart;
mod chinese;
mod chinese_causes;
mod chinese_forms;
mod fleet;
mod headline;
mod keys;
mod language;
mod layout;
mod overview;
mod quantity;
mod refusals;
mod revocation;
mod services;
mod session;
mod template;
mod templates;
mod traffic;
mod view;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{
        StatusCode,
        header::{
            ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, REFERRER_POLICY, VARY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    web,
};
use maud::{Markup, html};
use serde::de::DeserializeOwned;

pub(super) use self::session::login_page;
use self::{
    advice::SettingsForm,
    keys::Search,
    language::Language,
    layout::Place,
    revocation::RevocationAction,
    session::{login, logout, redirect_home},
    template::{Inquiry, TemplatePage},
    view::Choices,
};
use super::{
    AdminState, api::refuse_cross_site, client, error::AdminError, keys::NamedUser, resource_allowing,
};
use crate::http::{GET_OR_HEAD, get_or_head, query};

pub(super) fn routes(services: &mut web::ServiceConfig) {
    services
        .service(resource_allowing(GET_OR_HEAD, "/").route(get_or_head().to(overview)))
        .service(resource_allowing(GET_OR_HEAD, "/keys").route(get_or_head().to(keys)))
        .service(
            resource_allowing("GET, HEAD, POST", "/revoke")
                .route(get_or_head().to(confirm_revoke))
                .route(web::post().to(revoke)),
        )
        .service(
            resource_allowing("GET, HEAD, POST", "/restore")
                .route(get_or_head().to(confirm_restore))
                .route(web::post().to(restore)),
        )
        .service(resource_allowing(GET_OR_HEAD, "/advise").route(get_or_head().to(advise)))
        .service(
            resource_allowing("GET, HEAD, POST", "/templates/{name}")
                .route(get_or_head().to(template))
                .route(web::post().to(asked_template)),
        )
        .service(
            resource_allowing("GET, HEAD, POST", LOGIN_PATH)
                .route(get_or_head().to(redirect_home))
                .route(web::post().to(login)),
        )
        .service(resource_allowing("POST", LOGOUT_PATH).route(web::post().to(logout)))
        .service(resource_allowing(GET_OR_HEAD, STYLE_PATH).route(get_or_head().to(style)))
        .service(resource_allowing(GET_OR_HEAD, "/operators.js").route(get_or_head().to(script)));
}

const LOGIN_PATH: &str = "/login";
const LOGOUT_PATH: &str = "/logout";
const TEMPLATES_PATH: &str = "/templates/";
const STYLE_PATH: &str = "/operators.css";

/// Returns whether the form of a path changes nothing but the session of the browser.
pub(super) fn changes_nothing(path: &str) -> bool {
    [LOGIN_PATH, LOGOUT_PATH].contains(&path) || path.starts_with(TEMPLATES_PATH)
}

/// The paths that need no authentication.
pub(super) const PUBLIC_PATHS: [&str; 2] = [LOGIN_PATH, STYLE_PATH];

/// Nothing inline, nothing from other sites, and no framing by other pages.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Adds the security headers of every page.
fn secured(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CONTENT_SECURITY_POLICY, CONTENT_POLICY))
        .insert_header((VARY, "accept-language"))
        // Addresses hold user names. With "no-referrer", browsers would not name the page that sends a form.
        .insert_header((REFERRER_POLICY, "same-origin"));
    response
}

fn html_response(status: StatusCode, page: Markup) -> HttpResponse {
    secured(HttpResponse::build(status)).content_type("text/html; charset=utf-8").body(page.into_string())
}

/// Returns the language of a browser.
fn language(headers: &HeaderMap) -> Language {
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|accepted| accepted.to_str().ok());
    Language::of(accepted.unwrap_or_default())
}

/// Renders a page away from the listener's thread; an error becomes a page as well.
async fn rendered(
    state: web::Data<AdminState>,
    language: Language,
    render: impl FnOnce(&AdminState) -> Result<Markup, AdminError> + Send + 'static,
) -> HttpResponse {
    match web::block(move || render(&state)).await.map_err(AdminError::from).flatten() {
        Ok(page) => html_response(StatusCode::OK, page),
        Err(error) => error_page(language, &error),
    }
}

fn error_page(language: Language, error: &AdminError) -> HttpResponse {
    let page = layout::page(
        language,
        Place::Elsewhere,
        language.text("refused"),
        &html! {
            section.principal {
                h2 { (language.text("The request was refused")) }
                p { (language.cause(&error.to_string())) }
                p { a href="/" { (language.text("Overview")) } }
            }
        },
    );
    html_response(error.status, page)
}

fn parsed_query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, AdminError> {
    query(request).map_err(AdminError::bad_request)
}

async fn overview(state: web::Data<AdminState>, request: HttpRequest) -> HttpResponse {
    let language = language(request.headers());
    let choices = parsed_query::<Choices>(&request);
    rendered(state, language, move |state| {
        let logout_path = state.auth.requires_token().then_some(LOGOUT_PATH);
        let claims_of = |issuer: &str, subject: &str| state.services.verifier.claims_of_user(issuer, subject);
        let (view, status) = (choices?.view(), state.status());
        Ok(overview::page(language, view, &status, &state.issuers, &claims_of, logout_path))
    })
    .await
}

async fn keys(state: web::Data<AdminState>, request: HttpRequest) -> HttpResponse {
    let language = language(request.headers());
    let search = parsed_query::<Search>(&request);
    rendered(state, language, move |state| {
        let (search, cache) = (search?, &state.services.cache);
        Ok(keys::page(language, &state.issuers, &search, cache))
    })
    .await
}

async fn advise(state: web::Data<AdminState>, request: HttpRequest) -> HttpResponse {
    let language = language(request.headers());
    let form = parsed_query::<SettingsForm>(&request);
    rendered(state, language, move |state| {
        let form = form?;
        let what_if = form.what_if()?;
        Ok(advice::page(language, &form, &state.services.cache.advice(&what_if)))
    })
    .await
}

async fn template(
    state: web::Data<AdminState>,
    request: HttpRequest,
    name: web::Path<String>,
) -> HttpResponse {
    let language = language(request.headers());
    rendered(state, language, move |state| template_page(state, language, &name, &Inquiry::default())).await
}

/// Responds with what a template grants to the claims of a form. They stand in the body of the request, because addresses are
/// written to logs and to the browser's history.
async fn asked_template(
    state: web::Data<AdminState>,
    request: HttpRequest,
    name: web::Path<String>,
    form: Result<web::Form<Inquiry>, actix_web::Error>,
) -> HttpResponse {
    let language = language(request.headers());
    if let Err(error) = refuse_cross_site(&request) {
        return error_page(language, &error);
    }
    let form = form.map_err(|error| AdminError::bad_request(format!("the form cannot be read: {error}")));
    rendered(state, language, move |state| template_page(state, language, &name, &form?.0)).await
}

fn template_page(
    state: &AdminState,
    language: Language,
    name: &str,
    inquiry: &Inquiry,
) -> Result<Markup, AdminError> {
    let templates = state.services.templates.status();
    let status = templates.templates.iter().find(|template| template.name == name).ok_or_else(|| {
        AdminError::new(StatusCode::NOT_FOUND, "no template of this name is active; see the overview")
    })?;
    let inspection = state
        .services
        .templates
        .inspect()
        .map_err(|problem| AdminError::new(StatusCode::SERVICE_UNAVAILABLE, problem.to_string()))?;
    let page = TemplatePage {
        language,
        status,
        is_refused: !templates.problems.is_empty(),
        inspection: &inspection,
        inquiry,
        verifier: &state.services.verifier,
    };
    Ok(page.draw())
}

async fn confirm_revoke(state: web::Data<AdminState>, request: HttpRequest) -> HttpResponse {
    confirm(RevocationAction::Revoke, state, &request).await
}

async fn confirm_restore(state: web::Data<AdminState>, request: HttpRequest) -> HttpResponse {
    confirm(RevocationAction::Restore, state, &request).await
}

async fn confirm(
    action: RevocationAction,
    state: web::Data<AdminState>,
    request: &HttpRequest,
) -> HttpResponse {
    let language = language(request.headers());
    let user = parsed_query::<NamedUser>(request);
    rendered(state, language, move |state| {
        let user = user?;
        let issuer = state.issuer(user.issuer)?;
        let active = state.services.cache.active_credentials(&keys::count_of_user(&issuer, &user.subject));
        Ok(revocation::confirmation(language, action, &issuer, &user.subject, &active))
    })
    .await
}

type UserForm = Result<web::Form<NamedUser>, actix_web::Error>;

async fn revoke(state: web::Data<AdminState>, request: HttpRequest, form: UserForm) -> HttpResponse {
    apply(RevocationAction::Revoke, state, &request, form).await
}

async fn restore(state: web::Data<AdminState>, request: HttpRequest, form: UserForm) -> HttpResponse {
    apply(RevocationAction::Restore, state, &request, form).await
}

async fn apply(
    action: RevocationAction,
    state: web::Data<AdminState>,
    request: &HttpRequest,
    form: UserForm,
) -> HttpResponse {
    let language = language(request.headers());
    if let Err(error) = refuse_cross_site(request) {
        return error_page(language, &error);
    }
    let client = client(request);
    let form = form.map_err(|error| AdminError::bad_request(format!("the form cannot be read: {error}")));
    rendered(state, language, move |state| {
        let web::Form(user) = form?;
        let revocation = match action {
            RevocationAction::Revoke => state.revoke(user, client),
            RevocationAction::Restore => state.restore(user, client),
        }?;
        Ok(revocation::result(language, action, &revocation))
    })
    .await
}

async fn style() -> HttpResponse {
    secured(HttpResponse::Ok())
        .content_type("text/css; charset=utf-8")
        .body(include_str!("page/operators.css"))
}

async fn script() -> HttpResponse {
    secured(HttpResponse::Ok())
        .content_type("text/javascript; charset=utf-8")
        .body(include_str!("page/operators.js"))
}
