//! Workloads: who owns a pod, whether it is meshed, how it is rolled. Pure.

pub mod how;
pub mod injection;
pub mod owner;
pub mod pin;
pub mod proxy;
pub mod rollout;
