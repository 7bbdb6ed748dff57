//! cosbroker: logged-in users get temporary Tencent Cloud COS keys, each of which reaches its user's own folder and
//! nothing else.

pub mod admin;
pub mod app;
pub mod audit;
pub mod canary;
pub mod cli;
pub mod config;
mod connections;
pub mod credential_cache;
pub mod http;
pub mod identity;
pub mod metrics;
pub mod network;
pub mod reload;
pub mod replicas;
pub mod request;
#[cfg(test)]
mod simulation;
pub mod sts;
mod systemd;
pub mod telemetry;
