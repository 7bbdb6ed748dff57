//! Reading a request's query: each parameter at most once.

use actix_web::{HttpRequest, error::QueryPayloadError, web::Query};
use serde::de::DeserializeOwned;

/// The query cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the query cannot be read: {reason}")]
pub(crate) struct QueryError {
    reason: String,
}

/// The query as a value.
///
/// # Errors
/// If a parameter is unknown, doubled or malformed.
pub(crate) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, QueryError> {
    match Query::from_query(request.query_string()) {
        Ok(Query(query)) => Ok(query),
        Err(QueryPayloadError::Deserialize(error)) => Err(QueryError { reason: error.to_string() }),
        Err(error) => Err(QueryError { reason: error.to_string() }),
    }
}
