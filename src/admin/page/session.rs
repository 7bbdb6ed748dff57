//! The session of a browser: logging in with a token of `[admin]`, and out.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{HeaderMap, LOCATION},
    },
    web,
};
use serde::Deserialize;

use super::{LOGIN_PATH, error_page, html_response, language, layout, secured};
use crate::admin::{
    AdminState,
    api::refuse_cross_site,
    auth::{self, AuthFailure, Now},
    client, seconds_to_wait,
};

#[derive(Deserialize)]
pub(super) struct LoginForm {
    token: String,
}

/// Returns the page that a browser gets before it is logged in.
pub(in crate::admin) fn login_page(headers: &HeaderMap, problem: Option<&str>) -> HttpResponse {
    html_response(StatusCode::UNAUTHORIZED, layout::login(language(headers), LOGIN_PATH, problem))
}

pub(super) async fn login(
    state: web::Data<AdminState>,
    request: HttpRequest,
    form: Option<web::Form<LoginForm>>,
) -> HttpResponse {
    let language = language(request.headers());
    if let Err(error) = refuse_cross_site(&request) {
        return error_page(language, &error);
    }
    // A client that forges the scheme only restricts its own cookie.
    let secure = state.uses_tls || request.connection_info().scheme() == "https";
    let token = form.as_ref().map_or("", |form| form.token.trim());
    let (client, now) = (client(&request), Now::of(&*state.services.clock));
    match state.auth.login(token, secure, client, now, &*state.services.entropy) {
        Ok(cookie) => {
            secured(HttpResponse::SeeOther()).cookie(cookie).insert_header((LOCATION, "/")).finish()
        }
        Err(AuthFailure::MustWait(wait)) => {
            state.count_failed_login(client);
            let seconds = seconds_to_wait(wait).to_string();
            let problem = language
                .format("Too many wrong tokens came from this address. Try again in {} s.", &[&seconds]);
            login_page(request.headers(), Some(&problem))
        }
        Err(AuthFailure::InvalidToken | AuthFailure::HostNotLoopback) => {
            state.count_failed_login(client);
            login_page(request.headers(), Some(language.text("This is not the token of [admin].")))
        }
    }
}

/// Redirects a browser that opens the address of the login form.
pub(super) async fn redirect_home() -> HttpResponse {
    secured(HttpResponse::SeeOther()).insert_header((LOCATION, "/")).finish()
}

pub(super) async fn logout(state: web::Data<AdminState>, request: HttpRequest) -> HttpResponse {
    let language = language(request.headers());
    if let Err(error) = refuse_cross_site(&request) {
        return error_page(language, &error);
    }
    if let Some(cookie) = request.cookie(auth::COOKIE_NAME) {
        state.auth.logout(&cookie, state.services.clock.now());
    }
    secured(HttpResponse::SeeOther()).cookie(auth::logout_cookie()).insert_header((LOCATION, "/")).finish()
}
