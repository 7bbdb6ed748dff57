//! Observation: the one place that tells metrics, audit log, trace, recent refusals and log how a request ended.

use std::{borrow::Cow, time::Duration};

use actix_web::{HttpRequest, body::MessageBody, dev::ServiceResponse, http::StatusCode, web};

use super::{
    Api,
    outcome::{OutcomeLabel, RequestOutcome},
    problem::ProblemType,
    recent_refusals::RecentRefusal,
    refusal::Refusal,
    span,
    state::RequestState,
};
use crate::{
    audit::{Event, Refused},
    credential_cache::{CacheOutcome, CachedCredential},
    identity::Comparison,
};
use diagnostics::to_single_line;

/// Observes one request: [`Observer::finish`] when it is answered, else its drop when the client disconnected.
#[derive(Debug)]
pub(super) struct Observer {
    api: web::Data<Api>,
    state: RequestState,
    /// On the monotonic clock.
    started: Duration,
}

/// An ended request, as its observers see it.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    pub(super) state: &'a RequestState,
    pub(super) outcome: &'a RequestOutcome,
    pub(super) label: Option<OutcomeLabel>,
    /// The template that the request names or defaults to, if it exists.
    pub(super) template: Option<Cow<'a, str>>,
    /// None if the client disconnected before.
    pub(super) answer: Option<Answer<'a>>,
}

/// The answer to a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer<'a> {
    pub(super) request: &'a HttpRequest,
    pub(super) status: StatusCode,
}

impl Observer {
    pub(super) fn start(api: web::Data<Api>, state: RequestState, started: Duration) -> Self {
        Self { api, state, started }
    }

    /// Observes the answer of a request.
    pub(super) fn finish(self, response: &ServiceResponse<impl MessageBody>) {
        let answer = Answer { request: response.request(), status: response.status() };
        self.observe(&self.state.take_outcome(), Some(answer));
    }

    fn observe(&self, outcome: &RequestOutcome, answer: Option<Answer<'_>>) {
        let ended = Ended {
            state: &self.state,
            outcome,
            label: outcome.label().or_else(|| refused_by_a_layer(answer)),
            template: self.template(outcome, answer),
            answer,
        };
        self.count(&ended);
        match outcome {
            RequestOutcome::Served { credential, how, ttl } => self.record_served(credential, *how, *ttl),
            RequestOutcome::Refused(refusal) => self.record_refusal(refusal, &ended),
            RequestOutcome::Answered | RequestOutcome::Abandoned { .. } => {}
        }
        if let Some(span) = self.state.take_span() {
            span::end(*span, &ended);
        }
    }

    /// The metrics.
    fn count(&self, ended: &Ended<'_>) {
        let metrics = &self.api.metrics;
        let route = self.state.route();
        if let RequestOutcome::Refused(refusal) = ended.outcome {
            metrics.refused(refusal.problem());
        }
        let took = ended.answer.map(|_| self.api.clock.monotonic().saturating_sub(self.started));
        if let Some(label) = ended.label.filter(|_| self.is_for_credentials(ended.outcome)) {
            metrics.credential_request(ended.template.as_deref(), label, took);
        }
        if let RequestOutcome::Served { ttl, .. } = ended.outcome {
            metrics.served_ttl(*ttl);
        }
        if let Some((answer, took)) = ended.answer.zip(took) {
            metrics.answered(route, answer.status, ended.label, took);
        }
    }

    fn is_for_credentials(&self, outcome: &RequestOutcome) -> bool {
        match outcome {
            RequestOutcome::Served { .. } | RequestOutcome::Abandoned { .. } => true,
            RequestOutcome::Refused(refusal) => {
                self.state.route().serves_credentials() && !refusal.is_routing_error()
            }
            RequestOutcome::Answered => false,
        }
    }

    /// The audit log and the log. A credential that STS issued for this request has its audit line already.
    fn record_served(&self, credential: &CachedCredential, how: CacheOutcome, ttl: Duration) {
        let context = *self.state.context();
        let grant = credential.grant();
        if how != CacheOutcome::Fetched && self.api.audit.includes_hits() {
            self.api.audit.record(Event::serve(
                how.name(),
                context,
                grant,
                credential.key_id(),
                credential.expires_at(),
            ));
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
    fn record_refusal(&self, refusal: &Refusal, ended: &Ended<'_>) {
        let problem = refusal.problem();
        let cause = to_single_line(&refusal.to_string());
        self.log_refusal(problem, &cause, refusal.comparison());
        if refusal.is_routing_error() {
            return;
        }
        let context = *self.state.context();
        let principal = self.state.caller().map(|caller| caller.principal());
        let template = ended.template.as_deref().map(str::to_owned);
        self.api.recent.note(RecentRefusal {
            at: self.api.clock.now(),
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
        self.api.audit.record(Event::Refusal(Refused {
            outcome: problem.name,
            status: problem.status,
            cause,
            context,
            principal: principal.map(|principal| principal.clone().into()),
            template,
        }));
    }

    fn log_refusal(&self, problem: &ProblemType, cause: &str, comparison: Option<&Comparison>) {
        let context = self.state.context();
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

    /// The template of a request. Names of templates that do not exist come from callers and are left out.
    fn template<'a>(&self, outcome: &'a RequestOutcome, answer: Option<Answer<'_>>) -> Option<Cow<'a, str>> {
        match outcome {
            RequestOutcome::Served { credential, .. } => Some(credential.grant().template_name().into()),
            RequestOutcome::Abandoned { grant } => Some(grant.template_name().into()),
            RequestOutcome::Answered => None,
            RequestOutcome::Refused(refusal) if refusal.is_routing_error() => None,
            RequestOutcome::Refused(_) => {
                let templates = self.api.templates.current();
                let named = answer.and_then(|answer| answer.request.match_info().get("template"));
                let named = named.or(templates.default_name())?;
                templates.names().any(|known| known == named).then(|| named.to_owned().into())
            }
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        if let Some(abandoned) = self.state.take_abandoned() {
            self.observe(&abandoned, None);
        }
    }
}

/// Label of a request that no handler ended: a layer such as CORS may have refused it.
fn refused_by_a_layer(answer: Option<Answer<'_>>) -> Option<OutcomeLabel> {
    answer.filter(|answer| !answer.status.is_success()).map(|_| OutcomeLabel::Refused)
}
