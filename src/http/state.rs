//! State of one request while it is handled.

use std::{
    cell::{OnceCell, RefCell},
    rc::Rc,
    sync::Arc,
};

use super::{outcome::RequestOutcome, route::Route};
use crate::{
    request::{RequestContext, RequestId},
    telemetry::Span,
};
use templates::{Grant, identity::Identity};

/// State of one request, shared by the middleware and the handler.
#[derive(Debug, Clone)]
pub(super) struct RequestState(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    context: RequestContext,
    route: Route,
    caller: OnceCell<Arc<Identity>>,
    progress: RefCell<Progress>,
    /// Only if the request is sampled.
    span: RefCell<Option<Box<Span>>>,
}

#[derive(Debug)]
enum Progress {
    /// A handler works on it, or none does.
    Handling,
    /// A handler waits for the credential of this grant.
    Waiting(Arc<Grant>),
    /// A handler has answered it.
    Ended(RequestOutcome),
    /// The observer has taken its outcome.
    Observed,
}

impl RequestState {
    pub(super) fn new(context: RequestContext, route: Route, span: Option<Box<Span>>) -> Self {
        Self(Rc::new(Inner {
            context,
            route,
            caller: OnceCell::new(),
            progress: RefCell::new(Progress::Handling),
            span: RefCell::new(span),
        }))
    }

    pub(super) fn context(&self) -> &RequestContext {
        &self.0.context
    }

    pub(super) fn id(&self) -> RequestId {
        self.0.context.request_id
    }

    pub(super) fn route(&self) -> Route {
        self.0.route
    }

    /// The user whom the request's token names, once it is verified.
    pub(super) fn caller(&self) -> Option<&Arc<Identity>> {
        self.0.caller.get()
    }

    /// Notes the user whom the request's token names.
    pub(super) fn authenticated(&self, caller: Arc<Identity>) -> &Identity {
        self.0.caller.get_or_init(|| caller)
    }

    /// Notes that the handler waits for a credential.
    pub(super) fn waits_for(&self, grant: &Arc<Grant>) {
        self.0.progress.replace(Progress::Waiting(Arc::clone(grant)));
    }

    /// Notes how the request ended.
    pub(super) fn end(&self, outcome: RequestOutcome) {
        self.0.progress.replace(Progress::Ended(outcome));
    }

    /// Takes the outcome of a request that is answered.
    pub(super) fn take_outcome(&self) -> RequestOutcome {
        match self.0.progress.replace(Progress::Observed) {
            Progress::Ended(outcome) => outcome,
            // Answered by a layer around the handlers, or by a handler that serves no credentials.
            Progress::Handling | Progress::Waiting(_) | Progress::Observed => RequestOutcome::Answered,
        }
    }

    /// Takes the outcome of a request that will not be answered: none unless it waited for a credential.
    pub(super) fn take_abandoned(&self) -> Option<RequestOutcome> {
        match self.0.progress.replace(Progress::Observed) {
            Progress::Waiting(grant) => Some(RequestOutcome::Abandoned { grant }),
            Progress::Handling | Progress::Ended(_) | Progress::Observed => None,
        }
    }

    pub(super) fn take_span(&self) -> Option<Box<Span>> {
        self.0.span.take()
    }
}
