//! Linkerd's versions: how to read, compare and look them up.
//!
//! Nothing in this crate reads a clock, a file or the network. [`Version`] reads any version string
//! from a cluster and never fails; [`Target`] reads what a person typed and explains mistakes;
//! [`Releases`] holds the facts that change with time (which release belongs to which minor
//! version, its Kubernetes range, which releases are not recommended) and is read from a data file.
//!
//! Linkerd's documentation calls the X of 2.X.Y "major" and the Y "minor". These tools say "minor
//! version" for the X ([`Minor`] in the code) and "patch" for the Y.

mod between;
mod channel;
mod check;
mod check_lists;
mod check_notes;
mod fact;
mod field;
mod hops;
mod kubernetes;
mod minor;
mod note;
mod number;
mod parts;
mod place;
mod releases;
mod schema;
mod skew;
mod target;
mod version;

pub use channel::Channel;
pub use fact::{Count, Setting, Use};
pub use hops::{Hop, Move};
pub use kubernetes::{Fit, KubernetesVersion, Support};
pub use minor::{Confidence, Minor, MinorOf, NotAMinor};
pub use note::{Condition, Demand, GatewayApi, Note, bundle_within};
pub use parts::{COMPONENTS, INJECTOR_WEBHOOK, ReadDefinition, ShippedDefinition};
pub use releases::{Charts, Known, Line, Releases, Repository, Source};
pub use schema::{ReleasesError, Trouble};
pub use skew::Skew;
pub use target::{Problem, Target, TargetError};
pub use version::{Version, same_release};
