//! The stream contract of the mesh tools, schema `mesh/1`.
//!
//! Four programs share this crate's records and nothing else. They write one JSON object a line;
//! each tool brackets what it writes with a `stream` and an `end`, so that a stream that was cut
//! never reads as a whole one.
//!
//! [`record`] declares each record once, [`line`](mod@line) reads and splices raw lines, [`reader`] checks the
//! brackets, [`writer`] writes them.

pub mod action;
mod agreement;
mod duration;
pub mod error;
pub mod explain;
pub mod judgement;
pub mod line;
pub mod mesh;
pub mod reader;
pub mod record;
pub mod word;
pub mod writer;

pub use action::{
    Deed, InFlight, Intent, Outcome, Progress, ProgressPods, Rolled, RolledPods, SkipClass,
    Skipped, Step, StepName, StepState, Strategy,
};
pub use duration::{parse_duration, parse_timeout};
pub use error::StreamError;
pub use explain::{Explain, Explained};
pub use judgement::{
    Ask, Decided, Finding, From, Hop, HopKind, Plan, Severity, Verdict, VerdictScope, WorkloadRef,
};
pub use line::{Lines, RawLine};
pub use mesh::{
    Anomaly, Certificate, CertificateRole, Component, ControlPlane, Crd, Downtime, DowntimeGrade,
    Extension, FailurePolicy, InstalledBy, Need, Pin, PinPlace, PodCounts, Proxy, ProxyCount,
    Release, Roll, RollBy, Skew, SkewAction, SkewState, State, TrustAnchors, Unseen, VersionSource,
    Webhook, Workload, WorkloadKind, hold_back,
};
pub use reader::{Closed, Expect, Item, Reader, What};
pub use record::{
    By, Consistency, DryRun, End, EndOutcome, Record, RecordType, Scope, Source, Stream, Tool,
    Totals, whole_seconds,
};
pub use word::{Obstacle, Rule, Trouble, Word};
pub use writer::Writer;

/// The schema that this crate reads and writes. Changes are additive; a new meaning is a new type.
pub const SCHEMA: &str = "mesh/1";
