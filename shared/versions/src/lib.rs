//! What the mesh tools know about Linkerd's versions.
//!
//! Pure: nothing here reads a clock, a file or a network. [`Version`] reads whatever a cluster
//! carries and never fails; [`Target`] reads what a person typed and says what is wrong with it;
//! [`Releases`] is the knowledge that changes with time (which release belongs to which 2.x, what
//! it needs of Kubernetes, what upstream advises against) and is read from a data file.
//!
//! Linkerd's documentation calls the X of 2.X.Y "major" and the Y "minor"; other people call them
//! minor and patch. Messages for people say "2.X" and "patch"; the code says [`Minor`] for the
//! 2.X.

mod channel;
mod check;
mod hops;
mod kubernetes;
mod minor;
mod number;
mod releases;
mod schema;
mod skew;
mod target;
mod version;

pub use channel::Channel;
pub use hops::{Hop, Move};
pub use kubernetes::{Fit, KubernetesVersion, Support};
pub use minor::{Confidence, Minor, MinorOf, NotAMinor};
pub use releases::{Charts, Known, Line, Releases, Repository};
pub use schema::{ReleasesError, Trouble};
pub use skew::Skew;
pub use target::{Problem, Target, TargetError};
pub use version::Version;
