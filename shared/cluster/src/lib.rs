//! The one crate that speaks to Kubernetes for the mesh tools.
//!
//! [`connect`] chooses a cluster, [`request`] sends one request under one deadline, [`watch`]
//! follows a kind, [`object`] declares the few fields that are read.

pub mod act;
pub mod apply;
pub mod connect;
pub mod control_plane;
pub mod error;
pub mod fold;
pub mod grip;
pub mod group;
pub mod how;
pub mod injection;
pub mod kinds;
pub mod label;
pub mod lease;
pub mod lock;
pub mod look;
pub mod object;
mod oddity;
pub mod owner;
pub mod page;
pub mod probe;
pub mod proxy;
pub mod request;
pub mod rollout;
pub mod sight;
pub mod signals;
pub mod target;
pub mod usage;
pub mod watch;

#[cfg(test)]
mod lock_tests;
#[cfg(test)]
mod wire_tests;

pub use connect::{Cluster, ClusterArgs, User};
pub use error::{Error, Why};
pub use grip::{Grip, Lock, Lost};
pub use how::{Owner, how};
pub use injection::{Injection, injection};
pub use kinds::{Kinds, Opinion};
pub use lease::{Claim, Holder};
pub use lock::{IfLocked, Taking};
pub use page::{Page, Pages, Selection};
pub use probe::Probe;
pub use request::Patch;
pub use signals::{Asked, Signals};
pub use target::{Options, Target};
pub use watch::{Change, Watch};
