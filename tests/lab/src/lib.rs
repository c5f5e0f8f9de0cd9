//! The lab: an API server inside the test process, with exactly the resources and verbs that the
//! mesh tools and their tests use.
//!
//! It behaves like Kubernetes, with controllers, scheduler and admission webhooks; a difference is
//! a bug of the lab. It answers unsupported requests with 501 and lists them in [`Lab::unknown`],
//! so that a test fails on them.

mod admit;
mod budget;
mod controllers;
mod discovery;
mod fresh;
mod kind;
mod lab;
mod list;
mod object;
mod patch;
mod refusal;
mod request;
mod server;
mod start;
mod still;
mod store;
mod watch;
mod write;

pub use crate::lab::{Lab, Witness};
