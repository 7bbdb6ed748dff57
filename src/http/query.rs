//! Reading a request's query: no parameter twice, and what is wrong with it in its own words.

use actix_web::{HttpRequest, error::QueryPayloadError, web::Query};
use serde::de::DeserializeOwned;

/// The query as a value.
///
/// # Errors
/// What cannot be read of it, and why.
pub(crate) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, String> {
    match Query::from_query(request.query_string()) {
        Ok(Query(query)) => Ok(query),
        Err(QueryPayloadError::Deserialize(error)) => Err(format!("the query cannot be read: {error}")),
        Err(error) => Err(format!("the query cannot be read: {error}")),
    }
}
