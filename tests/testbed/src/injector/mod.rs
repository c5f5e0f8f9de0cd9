//! The proxy injector: a real admission webhook at the address of the chart's own Service.
//!
//! It answers while the injector's Service has a ready endpoint and the test has not closed it,
//! with the chart's certificate and configuration from the cluster. Where
//! `LINKERD_INJECTOR` names a program, that answers.

mod alone;
mod follow;
mod inject;
mod listen;
mod mounts;
mod owner;
mod process;
mod review;
mod values;
mod world;

pub use self::{alone::main as alone, world::Injector};
pub(crate) use self::{
    follow::has_ready_endpoint,
    listen::{acceptor, tls_acceptor},
    process::Processes,
    values::NAMESPACE,
    world::Where,
};
