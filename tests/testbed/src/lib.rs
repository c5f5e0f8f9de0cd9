//! The test bed: etcd and the Kubernetes servers on loopback, with a fake kubelet and a fake proxy
//! injector instead of containers.
//!
//! A [`Bed`] has a blocking interface and an asynchronous core, so that tests are plain functions.
//! Beds of several processes can run side by side. A bed ends when it is dropped, also after a
//! panic.

mod apply;
mod ask;
mod assets;
mod audit;
mod bed;
mod capability;
mod charts;
mod children;
mod cli;
mod delay;
mod egress;
mod event;
mod fault;
mod fleet;
mod ground;
mod injector;
mod journal;
mod kubeconfig;
mod kubectl;
mod kubelet;
mod lab;
mod linkerd;
mod load;
mod lock;
mod manifest;
mod nodes;
mod pki;
mod place;
mod program;
mod refusal;
mod registry;
mod release;
mod replay;
mod servers;
mod shop;
mod start;
mod still;
mod validator;
mod wait;
mod warehouse;
mod webhook;

pub use crate::{
    ask::Ask,
    assets::{Assets, Missing, Requirement},
    bed::Bed,
    capability::Capability,
    charts::Charts,
    cli::main as linkerd_cli,
    event::AuditEvent,
    fault::{FaultProxy, Held, Match, On, Victim, When},
    injector::{Injector, alone as linkerd_injector},
    kubelet::{BEHAVIOUR, Hold, Kubelet, READY_DELAY, STOP_DELAY, WITH_PROXY},
    pki::{MeshIdentity, Pair},
    program::main,
    registry::Registry,
    servers::Server,
    shop::Shop,
    still::{Still, rendered},
};
