//! Workloads: who owns a pod, whether it is meshed, how it is rolled. Pure.
//!
//! A pod is meshed if [`proxy::sidecar`] finds a proxy in it.

pub mod how;
pub mod injection;
pub mod owner;
pub mod pin;
pub mod proxy;
pub mod rollout;
pub mod steps;
