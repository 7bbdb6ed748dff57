//! The policies of the sub-account or role whose keys call STS. A temporary key allows nothing that these do not allow
//! at the time of a request (docs 1312/48195).

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::routing::resource_allowing;
use cam::{
    Policy,
    evaluate::{Decision, Request, evaluate},
};

/// The name of the vendor's preset policy that allows everything. The account has it at first.
const PRESET_POLICY: &str = "AdministratorAccess";

/// The policies of the account, by name.
#[derive(Debug)]
pub(crate) struct AccountPolicies(Mutex<BTreeMap<String, Policy>>);

impl Default for AccountPolicies {
    fn default() -> Self {
        Self(Mutex::new(BTreeMap::from([(PRESET_POLICY.to_owned(), everything())])))
    }
}

/// Returns the policy that allows everything.
pub(crate) fn everything() -> Policy {
    Policy::new(vec![cam::Statement {
        effect: cam::Effect::Allow,
        action: vec!["*".to_owned()],
        resource: vec!["*".to_owned()],
        condition: cam::Conditions::default(),
    }])
}

impl AccountPolicies {
    /// Decides on a request: a deny of one policy beats the allows of the others.
    pub(crate) fn decide(&self, request: &Request<'_>) -> AccountDecision {
        let mut decision = AccountDecision::NotMentioned;
        for (name, policy) in self.lock().iter() {
            match evaluate(policy, request) {
                Decision::ExplicitlyDenied(_) => return AccountDecision::Denied(name.clone()),
                Decision::Allowed(_) => decision = AccountDecision::Allowed,
                Decision::ConditionUnmet(_) | Decision::NotMentioned => {}
            }
        }
        decision
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Policy>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the account's policies say of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccountDecision {
    #[error("the account may do it")]
    Allowed,
    /// The policy of this name denies the request.
    #[error("the account's policy `{0}` denies it")]
    Denied(String),
    #[error("no policy of the account allows it")]
    NotMentioned,
}

/// Adds `/account/policies`, which lists the policies, and attaches and detaches one.
pub(crate) fn routes(services: &mut web::ServiceConfig) {
    services.service(resource_allowing("GET", "/account/policies").route(web::get().to(list))).service(
        resource_allowing("PUT, DELETE", "/account/policies/{name}")
            .route(web::put().to(attach))
            .route(web::delete().to(detach)),
    );
}

async fn list(policies: web::Data<AccountPolicies>) -> HttpResponse {
    let policies: BTreeMap<String, Value> =
        policies.lock().iter().map(|(name, policy)| (name.clone(), json!(policy))).collect();
    HttpResponse::Ok().json(json!({"policies": policies}))
}

async fn attach(
    policies: web::Data<AccountPolicies>,
    name: web::Path<String>,
    body: web::Bytes,
) -> HttpResponse {
    match Policy::parse(&body) {
        Ok(policy) => {
            policies.lock().insert(name.into_inner(), policy);
            HttpResponse::NoContent().finish()
        }
        Err(error) => HttpResponse::BadRequest().body(format!("the body is not a CAM policy: {error}\n")),
    }
}

async fn detach(policies: web::Data<AccountPolicies>, name: web::Path<String>) -> HttpResponse {
    match policies.lock().remove(name.as_str()) {
        Some(_) => HttpResponse::NoContent().finish(),
        None => HttpResponse::NotFound()
            .body(format!("the account has no policy `{name}`; GET /account/policies lists them\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(policies: &AccountPolicies, action: &str) -> AccountDecision {
        policies.decide(&Request { action, resource: "qcs::cos:r:uid/1:b-1/a", ..Request::default() })
    }

    #[test]
    fn the_account_may_do_everything_until_its_preset_policy_is_detached() {
        let policies = AccountPolicies::default();
        assert_eq!(decide(&policies, "name/cos:PutObject"), AccountDecision::Allowed);
        policies.lock().clear();
        assert_eq!(decide(&policies, "name/cos:PutObject"), AccountDecision::NotMentioned);
    }

    #[test]
    fn a_deny_of_one_policy_beats_the_allow_of_another() {
        let policies = AccountPolicies::default();
        let deny =
            br#"{"version":"2.0","statement":[{"effect":"deny","action":"name/cos:Put*","resource":"*"}]}"#;
        policies.lock().insert("deny".to_owned(), Policy::parse(deny).unwrap());
        assert_eq!(decide(&policies, "name/cos:PutObject"), AccountDecision::Denied("deny".to_owned()));
        assert_eq!(decide(&policies, "name/cos:GetObject"), AccountDecision::Allowed);
    }
}
