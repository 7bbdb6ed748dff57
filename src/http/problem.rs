//! Problem types: a table of every error of the public API. Documentation, metrics and tests derive from it.

use actix_web::http::StatusCode;

/// A problem type (RFC 9457): what all refusals of one kind have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProblemType {
    /// Last part of `urn:cosbroker:problem:<name>`; also the `reason` label and the audit `outcome`. Stable.
    pub name: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Title of the problem.
    pub title: &'static str,
    /// `code` of the drop-in routes. Stable.
    pub code: u32,
    /// `codeDesc` of the drop-in routes. Stable.
    pub code_desc: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What the caller does about it.
    pub caller: &'static str,
    /// What the operator does about it.
    pub operator: &'static str,
}

impl ProblemType {
    /// Every problem type, by status.
    pub const ALL: [&Self; 24] = [
        BAD_REQUEST,
        MIN_REMAINING_TOO_LONG,
        UNAUTHENTICATED,
        PREFLIGHT_REFUSED,
        REQUIREMENT_NOT_MET,
        REVOKED,
        SCOPE_NOT_ALLOWED,
        NO_SUCH_ROUTE,
        NO_SUCH_TEMPLATE,
        METHOD_NOT_ALLOWED,
        BODY_TOO_SLOW,
        HEAD_TOO_SLOW,
        BODY_TOO_LARGE,
        IDENTITY_NOT_RENDERABLE,
        RATE_LIMITED,
        TOO_MANY_SCOPES,
        HEAD_TOO_LARGE,
        TOKEN_TOO_LARGE,
        INTERNAL,
        MISCONFIGURED,
        CREDENTIALS_UNAVAILABLE,
        IDENTITY_UNAVAILABLE,
        OVERLOADED,
        TOKEN_KEY_UNKNOWN,
    ];

    /// The problem's `type`.
    pub fn uri(&self) -> String {
        format!("urn:cosbroker:problem:{}", self.name)
    }

    /// Whether this service fails, not the caller: a status of 500 and above.
    pub fn is_server_error(&self) -> bool {
        self.status >= StatusCode::INTERNAL_SERVER_ERROR.as_u16()
    }

    /// Whether an operator or a developer must act: status 500.
    pub(super) fn is_a_fault(&self) -> bool {
        self.status == StatusCode::INTERNAL_SERVER_ERROR.as_u16()
    }
}

pub(super) const BAD_REQUEST: &ProblemType = &ProblemType {
    name: "bad-request",
    status: 400,
    title: "Bad request",
    code: 10002,
    code_desc: "InvalidParameter",
    meaning: "The query, the body or the scope cannot be read, or a parameter is missing. `detail` names the part and what to send instead. If the request is no HTTP/1.1, the answer has no request id, and ends the connection.",
    caller: "Fix the request as `detail` says. The same request fails again.",
    operator: "Nothing.",
};

pub(super) const MIN_REMAINING_TOO_LONG: &ProblemType = &ProblemType {
    name: "min-remaining-too-long",
    status: 400,
    title: "min_remaining is too long",
    code: 10002,
    code_desc: "InvalidParameter",
    meaning: "`min_remaining` asks for a longer TTL than the keys of this template can have. `detail` names the maximum.",
    caller: "Send a smaller `min_remaining`, or none.",
    operator: "Raise the template's `duration` if apps need keys that stay active longer.",
};

pub(super) const UNAUTHENTICATED: &ProblemType = &ProblemType {
    name: "unauthenticated",
    status: 401,
    title: "Not authenticated",
    code: 10001,
    code_desc: "Unauthenticated",
    meaning: "The request has no bearer token, or one that is malformed, expired, not signed by a configured issuer, or meant for another audience. The answer is the same for every cause.",
    caller: "Get a new token from the issuer and send it as `Authorization: Bearer <token>`; let the user sign in again if necessary.",
    operator: "Look up the request id in the log: it names the cause. If every user is affected, compare `[[issuer]]` with the tokens.",
};

pub(super) const PREFLIGHT_REFUSED: &ProblemType = &ProblemType {
    name: "preflight-refused",
    status: 403,
    title: "Not allowed for this web page",
    code: 10003,
    code_desc: "PreflightRefused",
    meaning: "A browser asked whether a page may call this service (CORS), and it may not: the page's origin, the method or a header is not allowed. `detail` says which; the page sees only that the call failed.",
    caller: "Leave the header out, or ask the operator to allow the origin or the header.",
    operator: "Add the origin to `server.cors_origins`, or the header to `server.cors_headers`; `cosbroker check --page ORIGIN` says what is missing.",
};

pub(super) const REQUIREMENT_NOT_MET: &ProblemType = &ProblemType {
    name: "requirement-not-met",
    status: 403,
    title: "Not allowed",
    code: 10003,
    code_desc: "Forbidden",
    meaning: "The template requires a claim with certain values, and the token has no such value. `detail` names the claim.",
    caller: "Use another template, or let the user get the role that the claim stands for.",
    operator: "Check `require` in the template and the claims that the issuer puts into tokens.",
};

pub(super) const REVOKED: &ProblemType = &ProblemType {
    name: "revoked",
    status: 403,
    title: "Access revoked",
    code: 10003,
    code_desc: "Revoked",
    meaning: "An operator has revoked this user: no request of theirs gets a key, whatever the token.",
    caller: "Do not retry. Tell the user to contact the operator of the app.",
    operator: "`cosbroker keys revoked` lists revoked users; `cosbroker keys restore` restores one.",
};

pub(super) const SCOPE_NOT_ALLOWED: &ProblemType = &ProblemType {
    name: "scope-not-allowed",
    status: 403,
    title: "Scope not allowed",
    code: 10000,
    code_desc: "ScopeNotAllowed",
    meaning: "The requested scope is not within what the template grants this user. `detail` names the scope item and why.",
    caller: "Request a scope within the template, or none for the whole of it. `/v1/explain` says what the template grants.",
    operator: "Nothing, unless the template should grant more.",
};

pub(super) const NO_SUCH_ROUTE: &ProblemType = &ProblemType {
    name: "no-such-route",
    status: 404,
    title: "No such route",
    code: 10005,
    code_desc: "NotFound",
    meaning: "The path is not one of this service's.",
    caller: "Check the path; `/openapi.json` lists the routes.",
    operator: "Check that a proxy in front forwards the path unchanged.",
};

pub(super) const NO_SUCH_TEMPLATE: &ProblemType = &ProblemType {
    name: "no-such-template",
    status: 404,
    title: "No such template",
    code: 10005,
    code_desc: "TemplateNotFound",
    meaning: "There is no template of the requested name, or no name was given and no template is the default.",
    caller: "Send the name of a template, as in `/v1/credentials/{template}`.",
    operator: "Check the files in `templates.dir` and `templates.default`; `/api/templates` lists the templates that serve.",
};

pub(super) const METHOD_NOT_ALLOWED: &ProblemType = &ProblemType {
    name: "method-not-allowed",
    status: 405,
    title: "Method not allowed",
    code: 10002,
    code_desc: "MethodNotAllowed",
    meaning: "The route exists, but not for this HTTP method. The `Allow` header lists its methods.",
    caller: "Use one of the methods in `Allow`.",
    operator: "Nothing.",
};

pub(super) const BODY_TOO_SLOW: &ProblemType = &ProblemType {
    name: "body-too-slow",
    status: 408,
    title: "Body too slow",
    code: 10002,
    code_desc: "BodyTooSlow",
    meaning: "The request's body did not arrive in time.",
    caller: "Send the request again.",
    operator: "If it happens often, check the network and the proxies between clients and this service.",
};

pub(super) const HEAD_TOO_SLOW: &ProblemType = &ProblemType {
    name: "head-too-slow",
    status: 408,
    title: "Head too slow",
    code: 10002,
    code_desc: "HeadTooSlow",
    meaning: "The head of a connection's first request did not arrive in time. The answer has no request id, in every route the form of problem details, and ends the connection.",
    caller: "Send the request again.",
    operator: "If it happens often, check the network and the proxies between clients and this service.",
};

pub(super) const BODY_TOO_LARGE: &ProblemType = &ProblemType {
    name: "body-too-large",
    status: 413,
    title: "Body too large",
    code: 10002,
    code_desc: "BodyTooLarge",
    meaning: "The request's body is larger than this service reads. `detail` names the limit.",
    caller: "Send fewer scope items.",
    operator: "Nothing.",
};

pub(super) const IDENTITY_NOT_RENDERABLE: &ProblemType = &ProblemType {
    name: "identity-not-renderable",
    status: 422,
    title: "Identity cannot be used",
    code: 10004,
    code_desc: "IdentityNotRenderable",
    meaning: "The token is valid, but a claim that the template puts into the policy is missing or holds characters that are not safe there. `detail` names the claim.",
    caller: "Do not retry with the same token. Report `detail` and the request id to the operator.",
    operator: "Use a claim that every user has, or encode it in the template, as in `${sub|escape}`.",
};

pub(super) const RATE_LIMITED: &ProblemType = &ProblemType {
    name: "rate-limited",
    status: 429,
    title: "Rate limited",
    code: 10006,
    code_desc: "TooManyRequests",
    meaning: "This user sends more requests than `limits.per_user` allows.",
    caller: "Wait for `Retry-After`. Keep the key until its `refreshAt` instead of requesting one for each upload.",
    operator: "If a well-behaved app is limited, raise `limits.per_user`.",
};

pub(super) const TOO_MANY_SCOPES: &ProblemType = &ProblemType {
    name: "too-many-scopes",
    status: 429,
    title: "Too many scopes",
    code: 10006,
    code_desc: "TooManyRequests",
    meaning: "This user holds keys for as many scopes as `limits.scopes_per_user` allows.",
    caller: "Use one of those keys, request a wider scope, or wait for `Retry-After`.",
    operator: "If an app needs more scopes at once, raise `limits.scopes_per_user`.",
};

pub(super) const HEAD_TOO_LARGE: &ProblemType = &ProblemType {
    name: "head-too-large",
    status: 431,
    title: "Head too large",
    code: 10002,
    code_desc: "HeadTooLarge",
    meaning: "The request line and headers are larger than this service reads (128 KiB, 96 headers). The answer has no request id, in every route the form of problem details, and ends the connection.",
    caller: "Send fewer headers, such as cookies.",
    operator: "Look for the proxy or library that adds them.",
};

pub(super) const TOKEN_TOO_LARGE: &ProblemType = &ProblemType {
    name: "token-too-large",
    status: 431,
    title: "Token too large",
    code: 10001,
    code_desc: "TokenTooLarge",
    meaning: "The bearer token is larger than this service accepts, or a proxy cut it.",
    caller: "Request a token with fewer claims.",
    operator: "Check which claims the issuer puts into tokens, and the header limits of proxies.",
};

pub(super) const INTERNAL: &ProblemType = &ProblemType {
    name: "internal",
    status: 500,
    title: "Internal error",
    code: 10009,
    code_desc: "InternalError",
    meaning: "This service has a bug: a rendered policy failed its last check and was not sent.",
    caller: "Report the request id to the operator.",
    operator: "Look up the request id in the log and report the bug. If one template is affected, take back its last change.",
};

pub(super) const MISCONFIGURED: &ProblemType = &ProblemType {
    name: "misconfigured",
    status: 500,
    title: "This template cannot be served",
    code: 10009,
    code_desc: "InternalError",
    meaning: "STS rejects what the template or the configuration requests.",
    caller: "Report the request id to the operator.",
    operator: "Look up the request id in the log: it has Tencent's error code. Check the template's bucket, region and `duration`, and `sts.role_arn`.",
};

pub(super) const CREDENTIALS_UNAVAILABLE: &ProblemType = &ProblemType {
    name: "credentials-unavailable",
    status: 503,
    title: "Credentials unavailable",
    code: 10007,
    code_desc: "ServiceUnavailable",
    meaning: "STS issues no key now, and the cache holds none for this user: STS fails or throttles, the circuit is open, the quota is used up, or the source credentials are rejected.",
    caller: "Wait for `Retry-After`, then try again. A key that has not expired stays usable.",
    operator: "`cosbroker_sts_calls_total` and the log say why. Check the source credentials, their rights, this machine's clock and the network.",
};

pub(super) const IDENTITY_UNAVAILABLE: &ProblemType = &ProblemType {
    name: "identity-unavailable",
    status: 503,
    title: "Tokens cannot be checked now",
    code: 10008,
    code_desc: "IdentityUnavailable",
    meaning: "The issuer's keys cannot be fetched, so the token cannot be checked. It may be valid.",
    caller: "Wait for `Retry-After`, then try again with the same token.",
    operator: "Check that the issuer's key set can be fetched from this machine: `cosbroker check --online` and the log say what it returned.",
};

pub(super) const OVERLOADED: &ProblemType = &ProblemType {
    name: "overloaded",
    status: 503,
    title: "Overloaded",
    code: 10007,
    code_desc: "ServiceUnavailable",
    meaning: "There are as many connections as the service takes, in total or from this address, so this one was refused. Its request was not read: the answer has no request id, in every route the form of problem details, and ends the connection. A TLS connection is closed without an answer.",
    caller: "Wait for `Retry-After`, then try again. Keep connections open for several requests only if you send them within seconds.",
    operator: "`cosbroker_connections_refused_total` says which limit. Raise `server.max_connections` or `server.max_connections_per_address`; put proxies into `server.trusted_proxies`.",
};

pub(super) const TOKEN_KEY_UNKNOWN: &ProblemType = &ProblemType {
    name: "token-key-unknown",
    status: 503,
    title: "The token's key is not known yet",
    code: 10008,
    code_desc: "IdentityUnavailable",
    meaning: "The issuer's key set has no key for this token, and may not be fetched again yet. The issuer may have just changed its keys; or the token is forged, and is refused once the key set was fetched.",
    caller: "Wait for `Retry-After`, then try again with the same token. Do not sign the user out.",
    operator: "Nothing, if it passes within a minute. Else callers send tokens of another issuer, or made-up ones.",
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_problem_type_has_a_name_of_its_own_and_all_texts() {
        let names: BTreeSet<&str> = ProblemType::ALL.iter().map(|problem| problem.name).collect();
        assert_eq!(names.len(), ProblemType::ALL.len());
        assert!(ProblemType::ALL.is_sorted_by_key(|problem| (problem.status, problem.name)));
        for problem in ProblemType::ALL {
            assert!(StatusCode::from_u16(problem.status).is_ok_and(|status| status.as_u16() >= 400));
            assert!(problem.name.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase()));
            for text in [problem.title, problem.meaning, problem.caller, problem.operator] {
                assert!(!text.is_empty(), "{}", problem.name);
            }
        }
    }
}
