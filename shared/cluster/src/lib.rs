//! All communication of the mesh tools with Kubernetes.
//!
//! - [`wire`]: chooses a cluster, sends requests, lists pages, follows watches.
//! - [`object`]: the few fields of Kubernetes objects that are read, labels and selectors.
//! - [`workload`]: owners of pods, their proxies, how they are rolled and how far a rollout is.
//! - [`control_plane`]: what a Linkerd control plane is made of, and how it was installed.
//! - [`lock`]: one `Lease` per control plane, taken and kept.
//! - [`clock`]: moments of the monotonic clock.
//! - [`act`], [`probe`], [`signals`] and [`group`]: the restart, the dry-run pod, Ctrl-C, and how a
//!   child process is killed.

pub mod act;
pub mod clock;
pub mod control_plane;
pub mod group;
pub mod lock;
pub mod object;
pub mod probe;
pub mod signals;
pub mod wire;
pub mod workload;

pub use group::Group;
pub use lock::{Claim, Grip, Holder, IfLocked, Lock, Lost, Taking};
pub use object::label;
pub use probe::{Injected, Probe, Refusal, Refuser};
pub use signals::{Asked, Signals};
pub use wire::{
    AT_ONCE, Change, Cluster, ClusterArgs, Error, Kind, Kinds, Options, Page, Pages, Reading,
    Right, Selection, Store, Stored, Target, User, Watch, Why,
};
