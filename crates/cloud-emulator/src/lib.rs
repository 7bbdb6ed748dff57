#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod account;
mod account_policies;
mod clock;
mod cors;
mod cos;
mod demo;
mod fault;
mod header_case;
mod injected;
mod issuer;
mod presign;
mod routing;
mod server;
mod session;
mod storage;
mod sts;
mod weakness;

pub use self::{
    account::Account,
    clock::MovableClock,
    demo::DemoPage,
    issuer::{IssuerError, SigningAlgorithm, TokenIssuer, TokenRequest, UnknownAlgorithm},
    server::{CloudEmulator, EmulatorConfig},
    session::{Session, SessionKey},
    storage::Storage,
    sts::StsEmulator,
    weakness::{UnknownWeakness, Weakness},
};
