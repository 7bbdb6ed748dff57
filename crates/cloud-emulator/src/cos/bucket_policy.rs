//! The policy of a bucket, which holds for every caller (docs 436/8282, 436/8276, 436/8285). The emulator has denies
//! only: what a bucket's policy allows is refused by name, as is a principal other than everybody.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use actix_web::{HttpResponse, dev::Payload};
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use super::{body::read_xml, emulator::CosEmulator, error::CosError, request::CosRequest};
use cam::{
    Effect, Policy,
    evaluate::{Decision, Request, evaluate},
};

/// The maximum size of a bucket's policy (docs 436/8282).
const MAX_BUCKET_POLICY_BYTES: usize = 20 << 10;

/// The principal that stands for everybody, in the vendor's spellings.
const EVERYBODY: [&str; 2] = ["qcs::cam::anyone:anyone", "*"];

/// The policies of buckets, by the bucket's name.
#[derive(Debug, Default)]
pub(super) struct BucketPolicies(Mutex<BTreeMap<String, BucketPolicy>>);

#[derive(Debug)]
struct BucketPolicy {
    /// The text as it was put.
    text: String,
    policy: Policy,
}

impl BucketPolicies {
    /// Returns whether the policy of the request's bucket denies it. Policies are about their own bucket only.
    pub(super) fn denies(&self, request: &Request<'_>) -> bool {
        self.lock()
            .values()
            .any(|bucket| matches!(evaluate(&bucket.policy, request), Decision::ExplicitlyDenied(_)))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BucketPolicy>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CosEmulator {
    /// Puts a policy in place of the bucket's previous one.
    pub(super) async fn put_bucket_policy(
        &self,
        request: &CosRequest,
        body: &mut Payload,
    ) -> Result<HttpResponse, CosError> {
        let body = read_xml(body, MAX_BUCKET_POLICY_BYTES).await?;
        request.check_digest(&Md5::digest(&body).into())?;
        let text = String::from_utf8(body.into())
            .map_err(|_| CosError::MalformedPolicy("it is not UTF-8".to_owned()))?;
        let policy = parse(&text, &request.address.bucket)?;
        self.bucket_policies.lock().insert(request.address.bucket.clone(), BucketPolicy { text, policy });
        Ok(HttpResponse::NoContent().finish())
    }

    /// Returns the text of the bucket's policy.
    pub(super) fn get_bucket_policy(&self, request: &CosRequest) -> Result<HttpResponse, CosError> {
        let policies = self.bucket_policies.lock();
        let policy = policies.get(&request.address.bucket).ok_or(CosError::NoSuchBucketPolicy)?;
        Ok(HttpResponse::Ok().content_type("application/json").body(policy.text.clone()))
    }

    /// Deletes the bucket's policy, if it has one.
    pub(super) fn delete_bucket_policy(&self, request: &CosRequest) -> HttpResponse {
        self.bucket_policies.lock().remove(&request.address.bucket);
        HttpResponse::NoContent().finish()
    }
}

/// Reads a bucket's policy. Its elements begin with a small or a capital letter, as the vendor's examples have both.
fn parse(text: &str, bucket: &str) -> Result<Policy, CosError> {
    let value = strict_json::from_slice(text.as_bytes()).map_err(|error| malformed(error.to_string()))?;
    let Value::Object(mut policy) = with_small_names(value) else {
        return Err(malformed("it is not an object"));
    };
    let Some(Value::Array(statements)) = policy.remove("statement") else {
        return Err(malformed("it has no list `Statement`"));
    };
    let statements = statements.into_iter().map(without_principal).collect::<Result<Vec<_>, _>>()?;
    policy.insert("statement".to_owned(), json!(statements));
    let policy = Policy::parse(Value::Object(policy).to_string().as_bytes())
        .map_err(|error| malformed(error.to_string()))?;
    for statement in &policy.statement {
        if statement.effect == Effect::Allow {
            return Err(CosError::NotImplemented("the effect `allow` in a bucket's policy".to_owned()));
        }
        if let Some(other) = statement.resource.iter().find(|resource| !is_in(bucket, resource)) {
            return Err(malformed(format!("`{other}` is not in this bucket, {bucket}")));
        }
    }
    Ok(policy)
}

/// Whether a resource of six segments is in a bucket.
fn is_in(bucket: &str, resource: &str) -> bool {
    let path = resource.splitn(6, ':').nth(5).and_then(|path| path.strip_prefix(bucket));
    path.is_some_and(|key| key.starts_with('/'))
}

fn malformed(fault: impl Into<String>) -> CosError {
    CosError::MalformedPolicy(fault.into())
}

/// Refuses a statement that is not for everybody, and removes its principal.
fn without_principal(statement: Value) -> Result<Value, CosError> {
    let Value::Object(mut statement) = with_small_names(statement) else {
        return Err(malformed("a statement is not an object"));
    };
    let principal = statement.remove("principal").ok_or_else(|| malformed("a statement has no Principal"))?;
    let named = match principal.get("qcs") {
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
        None => return Err(malformed("a Principal has no list `qcs`")),
    };
    match named.iter().find(|one| one.as_str().is_none_or(|one| !EVERYBODY.contains(&one))) {
        Some(other) => Err(CosError::NotImplemented(format!("the principal {other} in a bucket's policy"))),
        None => Ok(Value::Object(statement)),
    }
}

/// Returns an object with the first letter of each name in lower case.
fn with_small_names(value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    let small: Map<String, Value> = fields
        .into_iter()
        .map(|(name, value)| {
            let mut letters = name.chars();
            let first = letters.next().map(|letter| letter.to_ascii_lowercase());
            (first.into_iter().chain(letters).collect(), value)
        })
        .collect();
    Value::Object(small)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKET: &str = "b-1";

    fn policy(statement: &str) -> String {
        format!(r#"{{"version":"2.0","Statement":[{statement}]}}"#)
    }

    const DENY: &str = r#"{"Principal":{"qcs":["qcs::cam::anyone:anyone"]},"Effect":"deny",
        "Action":["name/cos:*"],"Resource":["qcs::cos:r:uid/1:b-1/users/alice/*"]}"#;

    #[test]
    fn both_spellings_of_the_names_are_read() {
        let capital = parse(&policy(DENY), BUCKET).unwrap();
        assert_eq!(capital.statement[0].resource, ["qcs::cos:r:uid/1:b-1/users/alice/*"]);
        let small = policy(DENY)
            .replace("Statement", "statement")
            .replace("Principal", "principal")
            .replace("Effect", "effect")
            .replace("Action", "action")
            .replace("Resource", "resource");
        assert_eq!(parse(&small, BUCKET).unwrap(), capital);
    }

    #[test]
    fn what_the_emulator_does_not_enforce_is_refused_by_name() {
        for (from, to, named) in [
            ("deny", "allow", "`allow`"),
            ("qcs::cam::anyone:anyone", "qcs::cam::uin/1:uin/2", "uin/1:uin/2"),
        ] {
            let refused = parse(&policy(&DENY.replace(from, to)), BUCKET).unwrap_err();
            assert!(matches!(&refused, CosError::NotImplemented(what) if what.contains(named)), "{refused}");
        }
        for (from, to) in [
            ("b-1/", "b-2/"),
            (r#""Principal":{"qcs":["qcs::cam::anyone:anyone"]},"#, ""),
            ("Resource", "Ressource"),
        ] {
            let refused = parse(&policy(&DENY.replace(from, to)), BUCKET);
            assert!(matches!(refused, Err(CosError::MalformedPolicy(_))), "{to}: {refused:?}");
        }
        assert!(matches!(parse("{}", BUCKET), Err(CosError::MalformedPolicy(_))));
    }
}
