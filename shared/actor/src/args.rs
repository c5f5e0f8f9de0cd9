//! The flags that both tools have.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mesh_cli::{ConsentArgs, OutputArgs};
use mesh_cluster::{ClusterArgs, IfLocked};
use mesh_records::parse_duration;

/// The flags of a tool that acts.
#[derive(Args, Clone, Debug)]
pub struct ActorArgs {
    /// Maximum age of the survey; the tool starts nothing if the survey is older
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub max_age: Duration,

    /// What to do if another run holds the lock: `fail` (exit code 3), `skip` (exit code 0) or
    /// `wait=5m`
    #[arg(long, value_name = "HOW", default_value = "fail")]
    pub if_locked: IfLocked,

    /// Also append the records to this file
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// Exit with code 0 instead of 3 if the run stops early or another run holds the lock
    #[arg(long)]
    pub stop_ok: bool,

    /// Consent.
    #[command(flatten)]
    pub consent: ConsentArgs,

    /// Output.
    #[command(flatten)]
    pub output: OutputArgs,

    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}
