//! Observation: the one place that tells metrics, audit log, trace, recent refusals and log how a request ended.

use std::{borrow::Cow, time::Duration};

use actix_web::http::StatusCode;

use super::{
    call::Call,
    outcome::{OutcomeLabel, RequestOutcome},
    problem::ProblemType,
    recent_refusals::RecentRefusal,
    refusal::Refusal,
    span,
};
use crate::{
    audit::{Event, Refused},
    credential_cache::{CacheOutcome, CachedCredential},
    identity::Comparison,
};
use diagnostics::to_single_line;
use templates::identity::Identity;

/// An ended request, as its observers see it.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    pub(super) call: &'a Call,
    pub(super) outcome: &'a RequestOutcome,
    /// The template that the request names or defaults to, if it exists.
    pub(super) template: Option<Cow<'a, str>>,
    /// Of the answer; none if the client disconnected before.
    pub(super) status: Option<StatusCode>,
}

/// Observes how a request ended.
pub(super) fn observe(call: &Call, outcome: &RequestOutcome, status: Option<StatusCode>) {
    let ended = Ended { call, outcome, template: template(call, outcome), status };
    ended.count();
    match outcome {
        RequestOutcome::Served { credential, how, ttl } => ended.record_served(credential, *how, *ttl),
        RequestOutcome::Refused(refusal) => ended.record_refusal(refusal),
        RequestOutcome::Answered | RequestOutcome::Abandoned { .. } => {}
    }
    if let Some(span) = call.take_span() {
        span::end(*span, &ended);
    }
}

/// The template of a request. Names of templates that do not exist come from callers and are left out.
fn template<'a>(call: &Call, outcome: &'a RequestOutcome) -> Option<Cow<'a, str>> {
    match outcome {
        RequestOutcome::Served { credential, .. } => Some(credential.grant().template_name().into()),
        RequestOutcome::Abandoned { grant } => Some(grant.template_name().into()),
        RequestOutcome::Answered => None,
        RequestOutcome::Refused(refusal) if refusal.is_routing_error() => None,
        RequestOutcome::Refused(_) => {
            let templates = call.api.templates.current();
            let named = call.template().or(templates.default_name())?;
            templates.names().any(|known| known == named).then(|| named.to_owned().into())
        }
    }
}

impl Ended<'_> {
    pub(super) fn label(&self) -> Option<OutcomeLabel> {
        self.outcome.label()
    }

    /// The metrics.
    fn count(&self) {
        let (api, route) = (&self.call.api, self.call.route());
        if let RequestOutcome::Refused(refusal) = self.outcome {
            api.metrics.refused(refusal.problem());
        }
        let took = self.status.map(|_| api.clock.monotonic().saturating_sub(self.call.started()));
        if let Some(label) = self.label().filter(|_| self.is_for_credentials()) {
            api.metrics.credential_request(self.template.as_deref(), label, took);
        }
        if let RequestOutcome::Served { ttl, .. } = self.outcome {
            api.metrics.served_ttl(*ttl);
        }
        if let Some((status, took)) = self.status.zip(took) {
            api.metrics.answered(route, status, self.label(), took);
        }
    }

    fn is_for_credentials(&self) -> bool {
        match self.outcome {
            RequestOutcome::Served { .. } | RequestOutcome::Abandoned { .. } => true,
            RequestOutcome::Refused(refusal) => {
                self.call.route().serves_credentials() && !refusal.is_routing_error()
            }
            RequestOutcome::Answered => false,
        }
    }

    /// The audit log and the log. A credential that STS issued for this request has its audit line already.
    fn record_served(&self, credential: &CachedCredential, how: CacheOutcome, ttl: Duration) {
        let (api, context) = (&self.call.api, *self.call.context());
        let grant = credential.grant();
        if how != CacheOutcome::Fetched && api.audit.includes_hits() {
            let (key_id, expires_at) = (credential.key_id(), credential.expires_at());
            api.audit.record(Event::serve(how.name(), context, grant, &key_id, expires_at));
        }
        tracing::debug!(
            request_id = %context.request_id,
            trace_id = context.trace.map(|trace| tracing::field::display(trace.trace_id())),
            grant_id = %grant.id(),
            outcome = how.name(),
            ttl = ttl.as_secs(),
            "credential served"
        );
    }

    /// The log, the audit log and the recent refusals.
    fn record_refusal(&self, refusal: &Refusal) {
        let problem = refusal.problem();
        let cause = to_single_line(&refusal.to_string());
        self.log_refusal(problem, &cause, refusal.comparison());
        if refusal.is_routing_error() {
            return;
        }
        let (api, context) = (&self.call.api, *self.call.context());
        let principal = self.call.caller().map(Identity::principal);
        let template = self.template.as_deref().map(str::to_owned);
        api.recent.note(RecentRefusal {
            at: api.clock.now(),
            status: problem.status,
            outcome: problem.name,
            cause: cause.clone(),
            request_id: context.request_id.to_string(),
            client: context.client,
            issuer: principal.map(|principal| principal.issuer().to_owned()),
            subject: principal.map(|principal| principal.subject().to_owned()),
            template: template.clone(),
            comparison: refusal.comparison().cloned(),
            count: 0,
        });
        api.audit.record(Event::Refusal(Refused {
            outcome: problem.name,
            status: problem.status,
            cause,
            context,
            principal: principal.map(|principal| principal.clone().into()),
            template,
        }));
    }

    fn log_refusal(&self, problem: &ProblemType, cause: &str, comparison: Option<&Comparison>) {
        let context = self.call.context();
        let request_id = tracing::field::display(context.request_id);
        let trace_id = context.trace.map(|trace| tracing::field::display(trace.trace_id()));
        let (status, problem_name) = (problem.status, problem.name);
        if problem.is_a_fault() {
            tracing::error!(request_id, trace_id, status, problem = problem_name, cause, "request failed");
        } else if let Some(Comparison { token: token_says, configured, help }) = comparison {
            let problem = problem_name;
            tracing::info!(
                request_id,
                trace_id,
                status,
                problem,
                cause,
                token_says,
                configured,
                help,
                "request refused"
            );
        } else {
            tracing::info!(request_id, trace_id, status, problem = problem_name, cause, "request refused");
        }
    }
}
