//! Injected faults: a developer chooses what goes wrong, and for which requests.
//!
//! The registry decides without knowledge of HTTP; the middleware carries the decision out before the emulators.
//! Faults that an emulator itself must know are attached to the request (`injected`). The sandbox's own API and
//! the token issuer never fail.

mod api;
mod middleware;
mod registry;
mod response;
mod rule;
mod truncate;

pub(crate) use self::{
    api::routes, middleware::inject_faults, registry::FaultRegistry, truncate::remember_connection,
};
