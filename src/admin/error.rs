//! The error of an operator's request.

use std::fmt::Display;

use actix_web::{HttpResponse, ResponseError, error::BlockingError, http::StatusCode};
use serde_json::json;

use crate::reload::ReloadFailed;

/// The reason why an operator's request was refused; the API responds with it as JSON, a page as HTML.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub(super) struct AdminError {
    pub(super) status: StatusCode,
    problem: String,
}

impl AdminError {
    pub(super) fn new(status: StatusCode, problem: impl Display) -> Self {
        Self { status, problem: problem.to_string() }
    }

    pub(super) fn bad_request(problem: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, problem)
    }
}

impl From<BlockingError> for AdminError {
    fn from(error: BlockingError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }
}

impl From<ReloadFailed> for AdminError {
    fn from(error: ReloadFailed) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }
}

impl ResponseError for AdminError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status).json(json!({"outcome": "refused", "problems": [self.problem]}))
    }
}
