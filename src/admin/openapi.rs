//! The `OpenAPI` description of the operators' API, made from the handlers. Members of a body whose types belong to other
//! modules are described here; a test compares their names with real answers.

use actix_web::HttpResponse;
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::{
        OpenApi as Document,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{api, keys};

const DESCRIPTION: &str = "What operators see and change: the state of the service, active keys, revocation, templates. \
It listens at `admin.listen`. With a token in `[admin]`, every request needs it; without one the listener is on loopback, \
and answers requests to an IP address or `localhost` only.

A refused request answers `{\"outcome\": \"refused\", \"problems\": [...]}`. Times are RFC 3339. Clients must ignore members \
they do not know: more may be added.";

#[derive(OpenApi)]
#[openapi(
    info(title = "cosbroker operators", description = DESCRIPTION),
    servers((url = "/")),
    security((), ("token" = [])),
    tags(
        (name = "state", description = "The state of the service."),
        (name = "keys", description = "Active keys and revoked users."),
        (name = "templates", description = "Templates and the settings of the cache."),
    ),
    paths(
        api::status, api::refusal, super::metrics, document_handler,
        keys::keys, keys::revoked, keys::revoke, keys::restore,
        api::templates, api::reload, api::advise,
    ),
    components(schemas(Refused)),
    modifiers(&Token),
)]
struct Description;

/// The description as the reference has it, which a test compares with [`document`].
const DOCUMENT: &str = include_str!("../../docs/reference/openapi-operators.json");

/// Makes the description, as JSON.
pub fn document() -> String {
    Description::openapi().to_pretty_json().unwrap_or_default()
}

/// Declares how operators authenticate.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The token of `admin.token_file` or `admin.token_env`."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// Handles `GET /openapi.json`.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "state",
    summary = "This document",
    description = "The OpenAPI description of this API.",
    responses((status = 200, description = "The description, OpenAPI 3.1.", body = serde_json::Value)),
)]
pub(super) async fn document_handler() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(DOCUMENT)
}

/// Why a request was refused.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is written elsewhere")]
pub(super) struct Refused {
    /// Always `refused`.
    outcome: String,
    /// What is wrong and how to fix it, one text for each problem.
    problems: Vec<String>,
}

/// The state of the service.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is written elsewhere")]
pub(super) struct StatusBody {
    /// The time now.
    #[schema(format = DateTime)]
    now: String,
    /// When the process started.
    #[schema(format = DateTime)]
    started_at: String,
    /// The program's version.
    version: String,
    /// What an operator must act on, the most severe first: `what`, `help`, `severity`, `since`.
    alarms: Vec<serde_json::Value>,
    /// The users who got no key in the last minute through no fault of theirs, up to 10,000.
    failing_users: usize,
    /// The rates before each sample of the last hour, the latest last.
    hour: Vec<serde_json::Value>,
    /// Requests since the start, by outcome.
    #[schema(value_type = Object)]
    requests: String,
    /// Cache misses since the start, by reason.
    #[schema(value_type = Object)]
    misses: String,
    /// Entries and bytes of the credential cache.
    #[schema(value_type = Object)]
    cache: String,
    /// How long the cache could serve the active users without STS.
    #[schema(value_type = Object)]
    stale_coverage: String,
    /// The circuit, the quota and the calls to STS.
    #[schema(value_type = Object)]
    sts: String,
    /// Each trusted issuer and its key set.
    issuers: Vec<serde_json::Value>,
    /// The active templates, and why the folder as it is now cannot be loaded, if it cannot.
    #[schema(value_type = Object)]
    templates: String,
    /// The number of active keys and of revoked users.
    #[schema(value_type = Object)]
    keys: String,
    /// The state of the audit log, if there is one.
    #[schema(value_type = Option<Object>)]
    audit: Option<String>,
    /// The last run of the isolation canary, if one is configured.
    #[schema(value_type = Option<Object>)]
    canary: Option<String>,
    /// Redis, the shared quota and the other replicas, if anything is shared with them.
    replicas: Option<ReplicasBody>,
    /// The latest refusals, the latest first.
    refusals: Vec<RefusalBody>,
}

/// What replicas share, and the fleet.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is written elsewhere")]
pub(super) struct ReplicasBody {
    /// The name of this replica.
    id: String,
    /// Whether Redis is used.
    redis_up: bool,
    /// Why Redis is not used.
    problem: Option<String>,
    /// Whether the quota is that of all replicas. If not, this one has its part of it.
    quota_shared: bool,
    /// Calls to STS a second that this replica may make alone.
    quota_alone: u32,
    /// How many replicas the configuration expects.
    expected: u32,
    /// The replicas heard of in the last half minute, this one included; none while they are unknown.
    fleet: Vec<ReplicaBody>,
    /// Since when the fleet is unknown, because Redis is not used.
    #[schema(format = DateTime)]
    fleet_unknown_since: Option<String>,
    /// Whether another replica serves a later version of the templates.
    templates_outdated: bool,
    /// Revocations and restorations that the others do not know yet.
    revocations_unannounced: usize,
    /// Keys looked up in Redis since the start, by outcome.
    #[schema(value_type = Object)]
    lookups: String,
    /// Values in Redis that were not used because they were altered, moved, written by others, or expired.
    values_refused: u64,
}

/// A replica, as it told of itself when it was last heard of.
#[derive(ToSchema)]
#[expect(dead_code, clippy::struct_excessive_bools, reason = "describes a body that is written elsewhere")]
pub(super) struct ReplicaBody {
    /// A random name for the life of its process.
    id: String,
    /// The name of its machine, and the port of its public listener.
    name: String,
    /// Whether it is the one that answers.
    this: bool,
    /// Whether it was heard of in the last five seconds.
    present: bool,
    /// The time since it was heard of.
    unheard_for_seconds: u64,
    /// The program's version.
    version: String,
    /// When the process started.
    #[schema(format = DateTime)]
    started_at: String,
    /// The version of its templates.
    templates: String,
    /// Whether another that is present serves a later version of the templates.
    templates_outdated: bool,
    /// Whether a user without a cached key could be served.
    ready: bool,
    /// The share of hits in the last minute.
    hit_rate: Option<f64>,
    /// The number of its active keys.
    active_keys: u64,
    /// Calls to STS a second in the last minute.
    sts_calls_per_second: Option<f64>,
    /// Calls to STS a second that may be made now.
    sts_calls_allowed: u32,
    /// Whether these are for all replicas together. If not, for this one alone.
    quota_shared: bool,
    /// The circuit to STS: `closed`, `open` or `half_open`.
    breaker: String,
    /// The severity of its most severe alarm: `critical` or `warning`.
    alarm: Option<String>,
}

/// A refused request.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is written elsewhere")]
pub(super) struct RefusalBody {
    /// When it was answered.
    #[schema(format = DateTime)]
    at: String,
    /// The HTTP status of the answer.
    status: u16,
    /// The last part of the problem's `type`.
    outcome: String,
    /// The cause, in one line.
    cause: String,
    /// The answer's `X-Request-Id`.
    request_id: String,
    /// The address of the client.
    client: Option<String>,
    /// The verified token's `iss`.
    issuer: Option<String>,
    /// The verified token's `sub`.
    subject: Option<String>,
    /// The requested template, if it exists.
    template: Option<String>,
    /// What an invalid token says, and what the configuration wants.
    #[schema(value_type = Option<Object>)]
    comparison: Option<String>,
    /// How many refusals with this outcome, cause and template there were since the start, this one included; 0 if they
    /// have more causes than are counted.
    count: u64,
}

/// Active keys.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is written elsewhere")]
pub(super) struct KeysBody {
    /// Those listed, the last to expire first.
    keys: Vec<KeyBody>,
    /// The number of all that the filter selects.
    active: usize,
    /// The number of those listed.
    listed: usize,
    /// When the last of them expires.
    #[schema(format = DateTime)]
    expires_last_at: Option<String>,
    #[serde(flatten)]
    #[schema(inline)]
    coverage: CoverageBody,
}

/// A key that has not expired. It holds no secret.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is written elsewhere")]
pub(super) struct KeyBody {
    /// The token's `iss`.
    issuer: String,
    /// The token's `sub`.
    subject: String,
    /// The name of its template.
    template: String,
    /// The bucket, with its appid.
    bucket: String,
    /// The region, such as `ap-guangzhou`.
    region: String,
    /// The folder it is confined to.
    prefix: String,
    /// Whether its holder chose a narrower scope than the template's.
    narrowed: bool,
    /// `TmpSecretId`, which stands in COS's access log.
    key_id: String,
    /// As in the answer, the log and the STS session name.
    grant_id: String,
    /// When it was issued.
    #[schema(format = DateTime)]
    issued_at: String,
    /// When it expires.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// What the list of keys does not include: it begins with the process, and its memory is bounded.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is written elsewhere")]
pub(super) struct CoverageBody {
    /// The time now, by this broker's clock.
    #[schema(format = DateTime)]
    now: String,
    /// Keys issued before, or by other replicas, are not known here.
    #[schema(format = DateTime)]
    known_since: String,
    /// Active keys of any user that the list had no room for.
    forgotten: u64,
    /// When the last of those expires.
    #[schema(format = DateTime)]
    forgotten_until: Option<String>,
}

/// The users who get no more keys.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is written elsewhere")]
pub(super) struct RevokedBody {
    /// Each user, and since when.
    revoked: Vec<serde_json::Value>,
}

/// The result of a revocation or a restoration.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is written elsewhere")]
pub(super) struct RevocationBody {
    /// The token's `iss`.
    issuer: String,
    /// The token's `sub`.
    subject: String,
    /// When the user was revoked.
    #[schema(format = DateTime)]
    revoked_at: String,
    /// Whether the user was revoked before, so that nothing changed.
    already: bool,
    /// Whether the change outlives the process.
    lasting: bool,
    /// Why it does not, if there is a file and it could not be written.
    problem: Option<String>,
    /// The number of the user's active keys, which cannot be called back.
    active: usize,
    /// When the last of them expires.
    #[schema(format = DateTime)]
    expires_last_at: Option<String>,
    #[serde(flatten)]
    #[schema(inline)]
    coverage: CoverageBody,
}

/// The result of a reload.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is written elsewhere")]
pub(super) struct ReloadBody {
    /// `loaded` or `unchanged`.
    outcome: String,
    /// What changed of each template.
    #[schema(value_type = Object)]
    changes: String,
}
