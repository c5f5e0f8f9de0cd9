//! Communication with the API server: requests, lists, watches, and their errors.

mod cause;
pub mod connect;
mod credentials;
pub mod error;
mod exchange;
pub mod kinds;
mod kubeconfig;
pub mod page;
mod plugin;
pub mod request;
pub mod rights;
pub mod store;
pub mod target;
pub mod watch;
pub mod whoami;

#[cfg(test)]
mod tests;

pub use connect::{Cluster, ClusterArgs};
pub use error::{Error, Why};
pub use kinds::{Kind, Kinds};
pub use page::{Page, Pages, Selection};
pub use rights::Right;
pub use store::{Store, Stored};
pub use target::{Options, Target};
pub use watch::{Change, Watch};
pub use whoami::User;
