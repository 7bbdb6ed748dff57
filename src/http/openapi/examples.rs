//! Examples of bodies for the description of the API. Every secret is shortened.

use serde_json::{Value, json};

fn keys() -> Value {
    json!({"tmpSecretId": "AKID931a…", "tmpSecretKey": "_DaIXhqv…", "sessionToken": "eyJ…"})
}

pub(in crate::http) fn sts_sdk_example() -> Value {
    json!({
        "credentials": keys(),
        "startTime": 1_795_486_326,
        "expiredTime": 1_795_488_126,
        "expiration": "2026-11-24T02:42:06Z",
        "requestId": "3e75afd7…",
    })
}

/// Returns the object with the members of another added.
fn with_members(mut object: Value, mut more: Value) -> Value {
    if let (Some(members), Some(more)) = (object.as_object_mut(), more.as_object_mut()) {
        members.append(more);
    }
    object
}

pub(in crate::http) fn credentials_example() -> Value {
    with_members(
        sts_sdk_example(),
        json!({
            "bucket": "examplebucket-1250000000",
            "region": "ap-guangzhou",
            "prefix": "users/alice/",
            "grantId": "jbhlhjmnlpopcbji",
            "serverTime": 1_795_486_326,
            "refreshAt": 1_795_487_629,
        }),
    )
}

pub(in crate::http) fn cossign_example() -> Value {
    json!({
        "code": 0,
        "message": "",
        "codeDesc": "Success",
        "data": {"credentials": keys(), "expiredTime": 1_795_488_126},
    })
}

pub(in crate::http) fn key_and_credentials_example() -> Value {
    with_members(
        sts_sdk_example(),
        json!({
            "bucket": "examplebucket-1250000000",
            "region": "ap-guangzhou",
            "key": "users/alice/9f86d081884c7d659a2feaa0c55ad015.jpg",
        }),
    )
}

pub(in crate::http) fn scope_item_example() -> Value {
    json!({
        "action": "name/cos:PutObject",
        "bucket": "examplebucket-1250000000",
        "region": "ap-guangzhou",
        "prefix": "users/alice/photos/*",
    })
}

pub(in crate::http) fn explanation_example() -> Value {
    json!({
        "allowed": false,
        "reason": "The condition numeric_less_than_equal on cos:content-length is not met.",
        "condition": {"operator": "numeric_less_than_equal", "key": "cos:content-length", "found": "20000000"},
        "template": "upload",
        "bucket": "examplebucket-1250000000",
        "region": "ap-guangzhou",
        "prefix": "users/alice/",
        "grantId": "jbhlhjmnlpopcbji",
        "serverTime": 1_795_486_326,
    })
}
