//! What breaks a rule: one file for each thing that rules are about.

pub(crate) mod certificates;
pub(crate) mod definitions;
pub(crate) mod extension;
pub(crate) mod health;
mod held;
mod injector;
pub(crate) mod target;
pub(crate) mod workload;
