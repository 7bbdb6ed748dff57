//! Faults that change how an emulator sees one request.
//!
//! The fault middleware attaches a [`RequestFault`] to the request; the STS and COS emulators read it here, so
//! that they do not depend on the fault module.

use std::time::Duration;

use actix_web::{HttpMessage, HttpRequest};
use jiff::{SignedDuration, Timestamp};

use runtime::clock::Clock;

/// A fault that one request carries to its emulator.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RequestFault {
    /// The emulator's clock is off by this much.
    ClockSkew(SignedDuration),
    /// Credentials have at most this TTL.
    CredentialTtl(Duration),
}

impl RequestFault {
    /// Attaches the fault to a request.
    pub(crate) fn attach(self, request: &impl HttpMessage) {
        request.extensions_mut().insert(self);
    }

    fn of(request: &HttpRequest) -> Option<Self> {
        request.extensions().get::<Self>().copied()
    }
}

/// The emulator's time as this request sees it.
pub(crate) fn now(request: &HttpRequest, clock: &dyn Clock) -> Timestamp {
    let now = clock.now();
    match RequestFault::of(request) {
        Some(RequestFault::ClockSkew(by)) => now.checked_add(by).unwrap_or(now),
        _ => now,
    }
}

/// The TTL in seconds of a credential that this request gets when it wants `requested` seconds.
pub(crate) fn credential_ttl(request: &HttpRequest, requested: u64) -> u64 {
    match RequestFault::of(request) {
        Some(RequestFault::CredentialTtl(ttl)) => requested.min(ttl.as_secs()),
        _ => requested,
    }
}
