//! The lab: an API server within this process, with exactly the resources and verbs that the mesh
//! tools and their tests use.
//!
//! It does what Kubernetes does, controllers, scheduler and admission webhooks included; where it
//! differs it is wrong. What it does not know it answers with 501, and says it in
//! [`Lab::unknown`], so that a test fails on it.

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
mod store;
mod watch;
mod write;

pub use crate::lab::{Lab, Witness};
