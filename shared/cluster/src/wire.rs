//! Communication with the API server: requests, lists, watches, and their errors.

mod arriving;
mod cause;
pub mod connect;
mod credentials;
pub mod error;
mod exchange;
pub mod kinds;
mod kubeconfig;
mod listing;
pub mod page;
mod plugin;
mod progress;
pub mod request;
pub mod rights;
mod said;
pub mod store;
pub mod target;
pub mod watch;
pub mod whoami;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

pub use connect::{Cluster, ClusterArgs};
pub use error::{Error, Why};
pub use kinds::{Kind, Kinds};
pub use page::{Page, Pages, Reading, Selection};
pub use request::AT_ONCE;
pub use rights::Right;
pub use store::{Store, Stored};
pub use target::{Options, Target};
pub use watch::{Change, Watch};
pub use whoami::User;
