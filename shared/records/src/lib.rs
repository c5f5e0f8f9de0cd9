//! The stream contract of the mesh tools, schema `mesh/1`.
//!
//! Four programs exchange these records as NDJSON, one JSON object per line. Each tool begins its
//! output with a `stream` record and finishes it with an `end` record (a bracket), so that a reader
//! notices a stream that was cut off.
//!
//! [`stream`], [`mesh`], [`workload`], [`judgement`] and [`action`] declare each record once, [`record`]
//! lists them, [`line`](mod@line) reads and splices raw lines, [`reader`] checks the
//! brackets, [`writer`] writes them.

pub mod action;
mod agreement;
mod clean;
mod duration;
pub mod error;
pub mod explain;
pub mod identity;
pub mod judgement;
pub mod line;
pub mod mesh;
mod obstacle;
mod paste;
pub mod preview;
pub mod reader;
pub mod record;
#[cfg(feature = "schema")]
pub mod schema;
mod secret;
pub mod stream;
pub mod word;
pub mod workload;
pub mod writer;

pub use action::{
    Deed, InFlight, Intent, Outcome, Progress, ProgressPods, Rolled, RolledPods, SkipClass,
    Skipped, Step, StepName, StepState, Strategy,
};
pub use clean::Clean;
pub use duration::{after, parse_duration, parse_timeout, roughly};
pub use error::{KEEP, StreamError};
pub use explain::{Explain, Explained};
pub use identity::{WorkloadKind, WorkloadRef};
pub use judgement::{
    Ask, Decided, Finding, From, Hop, HopKind, Plan, Severity, Verdict, VerdictScope,
};
pub use line::{Lines, RawLine};
pub use mesh::{
    Anomaly, Certificate, CertificateRole, Component, ContainerVersion, ControlPlane, Crd,
    Extension, ExtensionPart, FailurePolicy, InstalledBy, Need, Release, Selects, State, Unseen,
    Webhook,
};
pub use paste::{Paste, command};
pub use preview::{Forecast, Patch};
pub use reader::{Closed, Expect, Item, Reader, What};
pub use record::{Record, RecordType};
pub use secret::{sayable, sayable_address};
pub use stream::{
    By, Consistency, DryRun, End, EndOutcome, Scope, Source, Stream, Tool, Totals, whole_seconds,
};
pub use word::{Obstacle, Rule, Trouble, Word};
pub use workload::{
    Downtime, DowntimeGrade, Pin, PinPlace, PodCounts, Proxy, ProxyCount, Roll, RollBy, Skew,
    SkewAction, SkewState, TrustAnchors, VersionSource, Workload, hold_back,
};
pub use writer::Writer;

/// The schema that this crate reads and writes. New fields are optional; a field whose meaning
/// changes needs a new record type.
pub const SCHEMA: &str = "mesh/1";
