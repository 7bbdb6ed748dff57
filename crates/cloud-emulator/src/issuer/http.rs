//! The token issuer over HTTP: tokens, keys, rotation, discovery.

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{IssuerError, SigningAlgorithm, TokenIssuer, TokenRequest, UnknownAlgorithm};
use crate::routing::resource_allowing;

/// Adds the issuer's routes.
pub(crate) fn routes(services: &mut web::ServiceConfig) {
    services
        .service(resource_allowing("GET", "/token").route(web::get().to(token)))
        .service(resource_allowing("POST", "/rotate").route(web::post().to(rotate)))
        .service(resource_allowing("GET", "/jwks.json").route(web::get().to(jwks)))
        .route("/.well-known/openid-configuration", web::get().to(discovery));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenQuery {
    sub: Option<String>,
    claims: Option<String>,
    alg: Option<String>,
    lifetime: Option<String>,
}

/// What is wrong with a query of `/token`.
#[derive(Debug, thiserror::Error)]
enum TokenQueryError {
    #[error("sub is missing: name the user, /token?sub=bob")]
    NoSubject,
    #[error("claims is not a JSON object: {0}")]
    Claims(#[from] serde_json::Error),
    #[error(transparent)]
    Algorithm(#[from] UnknownAlgorithm),
    #[error("lifetime `{0}` is not a duration; write it like 10m or 1h30m, or -1h for an expired token")]
    Lifetime(String),
}

impl TryFrom<TokenQuery> for TokenRequest {
    type Error = TokenQueryError;

    fn try_from(query: TokenQuery) -> Result<Self, TokenQueryError> {
        let mut request = Self::new(&query.sub.ok_or(TokenQueryError::NoSubject)?);
        if let Some(claims) = query.claims {
            request.claims = serde_json::from_str(&claims)?;
        }
        if let Some(name) = query.alg {
            request.algorithm = name.parse()?;
        }
        if let Some(text) = query.lifetime {
            request.lifetime = text.parse().map_err(|_| TokenQueryError::Lifetime(text))?;
        }
        Ok(request)
    }
}

/// `GET /token?sub=bob[&claims={"team":"red"}][&alg=RS256][&lifetime=10m]`
async fn token(issuer: web::Data<TokenIssuer>, query: web::Query<TokenQuery>) -> HttpResponse {
    match TokenRequest::try_from(query.into_inner()) {
        Ok(request) => match issuer.sign(request) {
            Ok(token) => HttpResponse::Ok().content_type("text/plain").body(token),
            Err(error) => failed(&error),
        },
        Err(error) => HttpResponse::BadRequest().body(format!("{error}\n")),
    }
}

fn failed(error: &IssuerError) -> HttpResponse {
    HttpResponse::InternalServerError().body(format!("{error}\n"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RotateQuery {
    #[serde(default)]
    forget: bool,
}

/// `POST /rotate[?forget=true]`
async fn rotate(issuer: web::Data<TokenIssuer>, query: web::Query<RotateQuery>) -> HttpResponse {
    match issuer.rotate(query.forget) {
        Ok(()) => HttpResponse::Ok().json(key_ids(&issuer)),
        Err(error) => failed(&error),
    }
}

/// Returns the `kid`s that sign now, and all that are published.
fn key_ids(issuer: &TokenIssuer) -> Value {
    let keys = issuer.keys();
    let signing = SigningAlgorithm::ALL.map(|algorithm| keys.signing(algorithm).kid.as_str());
    let published: Vec<&str> = keys.published().map(|key| key.kid.as_str()).collect();
    json!({"signing": signing, "kids": published})
}

/// `GET /jwks.json`
async fn jwks(issuer: web::Data<TokenIssuer>) -> HttpResponse {
    let keys = issuer.keys();
    let published: Vec<_> = keys.published().map(|key| &key.public).collect();
    HttpResponse::Ok().json(json!({"keys": published}))
}

/// `GET /.well-known/openid-configuration`
///
/// Clients refuse a document without the fields that OIDC Discovery §3 requires. There is no login page, so
/// both endpoints are `/token`.
async fn discovery(issuer: web::Data<TokenIssuer>) -> HttpResponse {
    let base = issuer.issuer.trim_end_matches('/');
    let token = format!("{base}/token");
    HttpResponse::Ok().json(json!({
        "issuer": issuer.issuer,
        "jwks_uri": format!("{base}/jwks.json"),
        "authorization_endpoint": token,
        "token_endpoint": token,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": TokenIssuer::ALGORITHMS,
        "scopes_supported": ["openid"],
        "claims_supported": ["iss", "aud", "sub", "iat", "exp"],
    }))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn request(query: &str) -> Result<TokenRequest, TokenQueryError> {
        web::Query::<TokenQuery>::from_query(query).unwrap().into_inner().try_into()
    }

    #[test]
    fn a_query_names_claims_algorithm_and_lifetime() {
        let expected = TokenRequest {
            claims: json!({"team": "red"}).as_object().unwrap().clone(),
            algorithm: SigningAlgorithm::EdDsa,
            lifetime: SignedDuration::from_hours(-1),
            ..TokenRequest::new("bob")
        };
        let query = r#"sub=bob&lifetime=-1h&alg=EdDSA&claims={"team":"red"}"#;
        assert_eq!(request(query).unwrap(), expected);
        assert_eq!(request("sub=bob").unwrap(), TokenRequest::new("bob"));
    }

    #[test]
    fn a_wrong_query_is_refused_with_a_correct_example() {
        for (query, expected) in [
            ("", "/token?sub=bob"),
            ("sub=bob&claims=[]", "not a JSON object"),
            ("sub=bob&alg=HS256", "one of ES256, RS256, EdDSA"),
            ("sub=bob&alg=es256", "one of ES256, RS256, EdDSA"),
            ("sub=bob&lifetime=soon", "write it like 10m"),
            ("sub=bob&lifetime=600", "write it like 10m"),
        ] {
            assert!(request(query).unwrap_err().to_string().contains(expected), "{query}");
        }
    }
}
