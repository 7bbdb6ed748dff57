//! A call to STS for a grant, by the configured action.

use std::{fmt::Debug, sync::Arc};

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::{
    NoStsClient, TemporaryCredential,
    endpoints::{Endpoints, Transport},
    failure::Failure,
};
use crate::{config::StsAction, telemetry::TraceContext};
use runtime::clock::Clock;
use templates::Grant;
use tencent_sts::{AssumeRole, Call, GetFederationToken, Policy, SourceCredentials};

/// Makes single calls to STS. Tests and the simulation put an STS of their own behind it.
pub(super) trait CallSts: Debug + Send + Sync {
    /// Requests one temporary key. `context` is the call's place in a trace.
    fn call<'a>(
        &'a self,
        grant: &'a Grant,
        source_credentials: &'a SourceCredentials,
        context: Option<TraceContext>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<TemporaryCredential, Failure>>;

    /// The name of the action, which names the span of a call.
    fn action(&self) -> &'static str;

    /// The host that is called, with its port unless it is the usual one.
    fn host(&self) -> &str;
}

/// Calls STS by one action.
#[derive(Debug)]
pub(super) struct Caller {
    endpoints: Endpoints,
    action: StsAction,
}

impl Caller {
    pub(super) fn new(
        transport: Transport<'_>,
        action: StsAction,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NoStsClient> {
        Ok(Self { endpoints: Endpoints::new(transport, clock)?, action })
    }
}

impl CallSts for Caller {
    fn call<'a>(
        &'a self,
        grant: &'a Grant,
        source_credentials: &'a SourceCredentials,
        context: Option<TraceContext>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<TemporaryCredential, Failure>> {
        Box::pin(async move {
            // A third party gets random ids and two flags of a trace; `tracestate` and `baggage` belong to the app.
            let traceparent = context.map(|context| context.to_string());
            let call = Call { source_credentials, now, traceparent: traceparent.as_deref() };
            let name = grant.id().to_string();
            // Byte for byte what the verifier passed.
            let policy = Policy::from_encoded(grant.policy().wire());
            let duration = grant.duration();
            let outcome = match &self.action {
                StsAction::GetFederationToken => {
                    let request = GetFederationToken { name: &name, policy: &policy, duration };
                    self.endpoints.call(|client| client.get_federation_token(&request, &call)).await
                }
                StsAction::AssumeRole { role_arn, external_id } => {
                    let request = AssumeRole {
                        role_arn,
                        role_session_name: &name,
                        policy: &policy,
                        duration,
                        external_id: external_id.as_deref(),
                    };
                    self.endpoints.call(|client| client.assume_role(&request, &call)).await
                }
            };
            outcome.map_err(Failure::from)
        })
    }

    fn action(&self) -> &'static str {
        match self.action {
            StsAction::GetFederationToken => "GetFederationToken",
            StsAction::AssumeRole { .. } => "AssumeRole",
        }
    }

    fn host(&self) -> &str {
        self.endpoints.host()
    }
}
