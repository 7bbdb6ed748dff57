//! The `OpenAPI` description of the public API, made from the handlers, the bodies and the table of problem types.
//!
//! Each handler describes its success. The errors come from [`errors`]: one row for each operation.
#![expect(unused_qualifications, reason = "utoipa's macros write qualified names")]

mod examples;

use serde_json::json;
use utoipa::{
    Modify, OpenApi, PartialSchema, ToSchema,
    openapi::{
        Components, ContentBuilder, HeaderBuilder, OpenApi as Document, Ref, RefOr, Response,
        ResponseBuilder,
        example::ExampleBuilder,
        path::{Operation, ParameterBuilder, ParameterIn, PathItem},
        schema::{ObjectBuilder, SchemaType, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

pub(super) use self::examples::{
    cossign_example, credentials_example, explanation_example, key_and_credentials_example,
    scope_item_example, sts_sdk_example,
};
use super::{
    dropin, health,
    problem::{self, ProblemType},
    refusal::{Envelope, Problem},
    shape::{ObjectKey, Sts3, StsSdk, Times, V1},
    v1,
};

const DESCRIPTION: &str = "An app's logged-in user sends their token and gets a temporary COS key that reaches \
their own folder and nothing else.

`/v1` is this service's own API; its errors are RFC 9457 problems. `/sign`, `/sts` and `/getKeyAndCredentials` \
answer existing clients of Tencent's SDKs and demo servers with the default template; their errors are an envelope, \
with the same HTTP status.

Every answer has `X-Request-Id`, `Cache-Control: no-store` and `X-Content-Type-Options: nosniff`. An unknown path \
answers 404 with a problem; a method that a path does not support answers 405 with `Allow`. Times are seconds since \
1970 by the server's clock. Clients must ignore members they do not know: more may be added.";

#[derive(OpenApi)]
#[openapi(
    info(title = "cosbroker", description = DESCRIPTION),
    servers((url = "/")),
    tags(
        (name = "v1", description = "This service's own API."),
        (name = "drop-in", description = "Routes that existing clients already call. They serve the default template."),
        (name = "service", description = "The service itself; no token is needed."),
    ),
    paths(
        v1::get, v1::post, v1::explained,
        dropin::sign, dropin::sts, dropin::sts_scoped, dropin::key_and_credentials,
        health::healthz, health::readyz, health::openapi,
    ),
    components(schemas(Problem<'static>, Envelope<'static>)),
    modifiers(&Bearer, &Errors, &NamedTemplates),
)]
struct Description;

/// The description as the reference has it, which a test compares with [`document`]: it is made once, not in each process.
pub(super) const DOCUMENT: &str = include_str!("../../docs/reference/openapi.json");

/// Makes the description, as JSON.
pub fn document() -> String {
    Description::openapi().to_pretty_json().unwrap_or_default()
}

/// The body of a `/v1/credentials` answer.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes bodies that are written in parts")]
pub(super) enum CredentialsBody {
    /// The STS SDK JSON and more.
    V1(V1Answer),
    /// With `format=sts3`: the JSON of the STS API itself.
    Sts3(Sts3Answer),
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes bodies that are written in parts")]
pub(super) struct V1Answer {
    #[serde(flatten)]
    #[schema(inline)]
    shared: StsSdk<'static>,
    #[serde(flatten)]
    #[schema(inline)]
    rest: V1<'static>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes bodies that are written in parts")]
pub(super) struct Sts3Answer {
    #[serde(flatten)]
    #[schema(inline)]
    shared: Sts3<'static>,
    #[serde(flatten)]
    #[schema(inline)]
    times: Times,
}

/// The body of a `/getKeyAndCredentials` answer.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes bodies that are written in parts")]
pub(super) struct KeyAndCredentials {
    #[serde(flatten)]
    #[schema(inline)]
    shared: StsSdk<'static>,
    #[serde(flatten)]
    #[schema(inline)]
    rest: ObjectKey<'static>,
}

/// One item of a scope (`templates::Scope`).
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a type of a crate that knows nothing of HTTP")]
pub(super) struct ScopeItem {
    /// The action as CAM writes it.
    action: String,
    /// The bucket with its appid.
    bucket: String,
    /// The bucket's region.
    region: String,
    /// An object's key, or a prefix that ends in `*`; without a leading slash.
    prefix: String,
}

/// Whether a request is allowed, and why (`templates::Explanation`).
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a type of a crate that knows nothing of HTTP")]
pub(super) struct ExplanationBody {
    /// Whether COS allows the request.
    allowed: bool,
    /// The reason, as a sentence.
    reason: String,
    /// The statement that decides, if there is one, in CAM's form.
    #[schema(value_type = Option<Object>)]
    statement: Option<String>,
    /// The condition that decides, if there is one.
    condition: Option<UnmetCondition>,
}

/// A condition that the request does not meet.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a type of a crate that knows nothing of HTTP")]
pub(super) struct UnmetCondition {
    /// The operator, such as `numeric_less_than_equal`.
    operator: String,
    /// The condition key, such as `cos:content-length`.
    key: String,
    /// The request's value, if it has the key.
    found: Option<String>,
}

/// Declares how callers authenticate.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("The token that the app's user is logged in with."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Problem types of every operation that needs a token.
const AUTHENTICATED: [&ProblemType; 12] = [
    problem::UNAUTHENTICATED,
    problem::REQUIREMENT_NOT_MET,
    problem::REVOKED,
    problem::NO_SUCH_TEMPLATE,
    problem::IDENTITY_NOT_RENDERABLE,
    problem::RATE_LIMITED,
    problem::TOKEN_TOO_LARGE,
    problem::INTERNAL,
    problem::MISCONFIGURED,
    problem::CREDENTIALS_UNAVAILABLE,
    problem::IDENTITY_UNAVAILABLE,
    problem::TOKEN_KEY_UNKNOWN,
];
/// Problem types of an operation that reads a scope from the body.
const SCOPED: [&ProblemType; 5] = [
    problem::BAD_REQUEST,
    problem::SCOPE_NOT_ALLOWED,
    problem::BODY_TOO_SLOW,
    problem::BODY_TOO_LARGE,
    problem::TOO_MANY_SCOPES,
];

/// Returns the problem types of an operation beyond [`AUTHENTICATED`]; none for one that needs no token.
fn errors(operation_id: &str) -> Option<&'static [&'static ProblemType]> {
    const TTL: [&ProblemType; 2] = [problem::BAD_REQUEST, problem::MIN_REMAINING_TOO_LONG];
    const TTL_AND_SCOPE: [&ProblemType; 6] = [
        problem::BAD_REQUEST,
        problem::MIN_REMAINING_TOO_LONG,
        problem::SCOPE_NOT_ALLOWED,
        problem::BODY_TOO_SLOW,
        problem::BODY_TOO_LARGE,
        problem::TOO_MANY_SCOPES,
    ];
    const QUERY: [&ProblemType; 1] = [problem::BAD_REQUEST];
    match operation_id {
        "getCredentials" => Some(&TTL),
        "postCredentials" => Some(&TTL_AND_SCOPE),
        "explain" | "getKeyAndCredentials" => Some(&QUERY),
        "postSts" => Some(&SCOPED),
        "sign" | "getSts" => Some(&[]),
        _ => None,
    }
}

/// Adds the error responses.
struct Errors;

impl Modify for Errors {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        for item in document.paths.paths.values_mut() {
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                add_errors(operation, components);
            }
        }
    }
}

/// Adds a reference for each status; the response stands once, whatever the number of operations.
fn add_errors(operation: &mut Operation, components: &mut Components) {
    let Some(more) = operation.operation_id.as_deref().and_then(errors) else { return };
    let is_envelope = operation.tags.iter().flatten().any(|tag| tag == "drop-in");
    let mut problems: Vec<_> = AUTHENTICATED.iter().chain(more).copied().collect();
    problems.sort_by_key(|problem| problem.status);
    for same_status in problems.chunk_by(|a, b| a.status == b.status) {
        if let Some(first) = same_status.first() {
            let names: Vec<&str> = same_status.iter().map(|problem| problem.name).collect();
            let name = format!("{}.{}", names.join("."), if is_envelope { "envelope" } else { "problem" });
            let reference = RefOr::Ref(Ref::from_response_name(&name));
            operation.responses.responses.insert(first.status.to_string(), reference);
            components.responses.insert(name, RefOr::T(error_response(same_status, is_envelope)));
        }
    }
}

fn error_response(problems: &[&ProblemType], is_envelope: bool) -> Response {
    let description: Vec<String> =
        problems.iter().map(|problem| format!("`{}`: {}", problem.name, problem.meaning)).collect();
    let (content_type, schema) = if is_envelope {
        ("application/json", Ref::from_schema_name("Envelope"))
    } else {
        ("application/problem+json", Ref::from_schema_name("Problem"))
    };
    let content = problems.iter().fold(ContentBuilder::new().schema(Some(schema)), |content, problem| {
        let example = ExampleBuilder::new().value(Some(error_example(problem, is_envelope))).build();
        content.examples_from_iter([(problem.name, example)])
    });
    let response = ResponseBuilder::new()
        .description(description.join("\n\n"))
        .content(content_type, content.build())
        .header("X-Request-Id", header("Names the request in the log and the audit log."));
    match problems.first().map(|problem| problem.status) {
        Some(401) => response.header("WWW-Authenticate", header("RFC 6750.")).build(),
        Some(429 | 503) => response.header("Retry-After", header("Seconds to wait.")).build(),
        _ => response.build(),
    }
}

fn header(description: &str) -> utoipa::openapi::Header {
    HeaderBuilder::new().schema(Some(String::schema())).description(Some(description)).build()
}

fn error_example(problem: &ProblemType, is_envelope: bool) -> serde_json::Value {
    const REQUEST_ID: &str = "11adbe2fc1b4f50a4d5d57b891afd48a";
    if is_envelope {
        json!({
            "code": problem.code,
            "codeDesc": problem.code_desc,
            "message": problem.caller,
            "requestId": REQUEST_ID,
        })
    } else {
        json!({
            "type": problem.uri(),
            "title": problem.title,
            "status": problem.status,
            "detail": problem.caller,
            "requestId": REQUEST_ID,
        })
    }
}

/// Adds the paths that name a template: each is the path of the default template with one more parameter.
struct NamedTemplates;

impl Modify for NamedTemplates {
    fn modify(&self, document: &mut Document) {
        for path in ["/v1/credentials", "/v1/explain"] {
            if let Some(item) = document.paths.paths.get(path).map(with_template) {
                document.paths.paths.insert(format!("{path}/{{template}}"), item);
            }
        }
    }
}

fn with_template(item: &PathItem) -> PathItem {
    let mut item = item.clone();
    for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
        operation.operation_id = operation.operation_id.take().map(|id| format!("{id}OfTemplate"));
        let schema = ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .pattern(Some("^[A-Za-z0-9_-]{1,64}$"))
            .build();
        let template = ParameterBuilder::new()
            .name("template")
            .parameter_in(ParameterIn::Path)
            .description(Some("The template's name."))
            .schema(Some(schema))
            .example(Some(json!("upload")))
            .build();
        operation.parameters.get_or_insert_default().insert(0, template.into());
    }
    item
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn description() -> Value {
        serde_json::from_str(&document()).unwrap()
    }

    fn operations(document: &Value) -> Vec<(String, Value)> {
        let paths = document["paths"].as_object().unwrap();
        paths
            .iter()
            .flat_map(|(path, item)| {
                item.as_object()
                    .unwrap()
                    .iter()
                    .map(move |(method, operation)| (format!("{method} {path}"), operation.clone()))
            })
            .collect()
    }

    #[test]
    fn every_operation_has_a_summary_a_description_and_an_example_of_its_success() {
        for (name, operation) in operations(&description()) {
            assert!(operation["summary"].is_string() && operation["description"].is_string(), "{name}");
            let success = &operation["responses"]["200"]["content"]["application/json"];
            assert!(name.contains("openapi.json") || !success["example"].is_null(), "{name}: {success}");
        }
    }

    #[test]
    fn every_problem_type_that_a_route_can_answer_is_described() {
        let document = description();
        let described: BTreeSet<String> = document["components"]["responses"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|response| response["content"].as_object().cloned().unwrap_or_default().into_iter())
            .flat_map(|(_, content)| content["examples"].as_object().cloned().unwrap_or_default().into_iter())
            .map(|(name, _)| name)
            .collect();
        // These are for requests that no operation describes, or that were not read.
        let no_operation = [
            "no-such-route",
            "method-not-allowed",
            "preflight-refused",
            "head-too-slow",
            "head-too-large",
            "overloaded",
        ];
        for problem in ProblemType::ALL.iter().filter(|problem| !no_operation.contains(&problem.name)) {
            assert!(described.contains(problem.name), "{}", problem.name);
        }
    }

    #[test]
    fn operation_ids_are_unique() {
        let document = description();
        let operations = operations(&document);
        let ids: BTreeSet<&str> =
            operations.iter().map(|(_, operation)| operation["operationId"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), operations.len());
    }
}
