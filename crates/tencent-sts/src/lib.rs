#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod client;
mod credentials;
mod error;
mod policy;
mod request;
mod response;

pub use self::{
    client::{Call, Client, ClientConfig, InvalidConfig},
    credentials::{SourceCredentials, TemporaryCredential},
    error::{Error, ErrorClass, Interrupted, InvalidRequest, Rejection, UnreadableResponse},
    policy::{InvalidPolicy, InvalidScope, Policy, Scope, ScopeFault},
    request::{AssumeRole, AssumeRoleWithWebIdentity, GetFederationToken},
};
