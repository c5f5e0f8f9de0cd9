//! The proxy injector: a real admission webhook at the address of the chart's own Service.
//!
//! It answers while the injector's Service has a ready endpoint and the test has not closed it,
//! with the certificate and the configuration that the chart put into the cluster.

mod follow;
mod inject;
mod listen;
mod owner;
mod review;
mod values;
mod world;

pub use self::world::Injector;
pub(crate) use self::{listen::tls_acceptor, values::NAMESPACE};
